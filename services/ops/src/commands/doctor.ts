/** `doctor`. */
import type { Command } from 'commander'
import {
  type CommandContext,
  collect,
  identityOption,
  withExamples,
  withLog,
  withRoot,
  withWindow,
} from '../command.ts'
import { doctor } from '../doctor.ts'
import { PROBE_HELP } from '../probes/means.ts'

export function doctorCommand(program: Command, { env, terminal, clock, end, placed }: CommandContext): void {
  const command = program
    .command('doctor')
    .description('Check log, checkpoints and identity; probe every route of a gateway and every job class of workers.')
    .addHelpText('after', PROBE_HELP)
  withExamples(withWindow(withRoot(withLog(command)), env), [
    { run: 'doctor --data ./data', shows: 'log, topics, checkpoints, trust bundle and identity' },
  ])
    .addOption(identityOption(env))
    .option('--budget <duration>', 'staleness allowed', '5s')
    .option('--epsilon <duration>', 'skew tolerated', '250ms')
    .option('--timeout <duration>', 'how long to wait for a proof, or an answer', '6s')
    .option('--worker <url>', 'a worker whose job classes are probed; may be repeated', collect)
    .option('--envelope-key-file <file>', 'key that seals probes, PKCS#8 PEM')
    .option('--envelope-key-id <id>', 'its id in the trust bundle', 'doctor')
    .option('--probe-tenant <tenant>', 'the tenant that key is for', 'doctor')
    .option('--probe-secret-file <file>', 'file with the probe secret of the workers; or COUNTERSIGN_PROBE_SECRET')
    .option('--gateway <url>', 'inside listener of a gateway whose routes are probed')
    .option('--client <id>', "doctor's client at identity", 'doctor')
    .option('--client-secret-file <file>', 'file with its secret; or COUNTERSIGN_DOCTOR_CLIENT_SECRET')
    .option('--session-file <file>', 'file with a session cookie, name=value, for routes that demand a strong login')
    .action(async (options) => end(await doctor(placed(options), env, terminal, clock)))
}
