/** What has to happen for each alert, told in the metrics of the process it happens to. */
import type { Metrics } from '@countersign/telemetry'
import type { Labels } from '../promql/series.ts'

/** Steps are one scrape apart. */
export interface Story {
  /** What is expected of the alert besides its rule's own labels. */
  readonly labels: Labels
  /** Done before each scrape, all along. */
  readonly ordinary: (metrics: Metrics) => void
  /** Done after that, while there is trouble; `down`: the process does not answer. */
  readonly trouble: ((metrics: Metrics) => void) | 'down'
  /** How long it lasts, minutes. */
  readonly minutes: number
}

export const INSTANCE = 'one:8080'
const here = { instance: INSTANCE, job: 'countersign' }
const at = { instance: INSTANCE }

const nothing = (): void => {}
const story = (
  labels: Labels,
  trouble: Story['trouble'],
  { ordinary = nothing, minutes = 3 }: { ordinary?: Story['ordinary']; minutes?: number } = {},
): Story => ({ labels, ordinary, trouble, minutes })

/** Of one of many: ordinary steps count in `usual`, those in trouble in `other` as well. */
type Count = (metrics: Metrics) => void
const times =
  (n: number, count: (metrics: Metrics) => { add(n: number): void }): Count =>
  (metrics) =>
    count(metrics).add(n)

const request = (status: string) => (m: Metrics) =>
  m.counter('countersign_http_requests_total', { route: '/invoices', method: 'POST', status })
const credential = (code: string) => (m: Metrics) =>
  m.counter('countersign_boundary_credentials_total', { credential: 'cookie', code })
const login = (result: string) => (m: Metrics) => m.counter('countersign_logins_total', { result })
const logout = (answer: string) => (m: Metrics) =>
  m.counter('countersign_revocations_total', { answer, reason: 'logout' })
const refresh = (result: string) => (m: Metrics) => m.counter('countersign_refreshes_total', { result })
const token = (result: string) => (m: Metrics) =>
  m.counter('countersign_token_requests_total', { grant: 'refresh_token', result })
const stepUp = (outcome: string) => (m: Metrics) => m.counter('countersign_step_ups_total', { outcome })
const decided = (outcome: string, reason: string) => (m: Metrics) =>
  m.counter('countersign_decisions_total', { class: 'payments', outcome, reason })
const attempted = (result: string) => (m: Metrics) =>
  m.counter('countersign_attempts_total', { class: 'payments', result })
const dropped = (m: Metrics) => m.counter('countersign_journey_dropped_total', { reason: 'overflow' })
const reread = (m: Metrics) => m.counter('countersign_view_rereads_total', { reason: 'digest_differs' })
const skipped = (m: Metrics) => m.counter('countersign_signals_skipped_total', { code: 'signal_unverified' })
const refused = (m: Metrics) => m.counter('countersign_checkpoints_total', { result: 'checkpoint_gap' })
const written = (result: string) => (m: Metrics) => m.counter('countersign_notary_checkpoints_total', { result })
const failing = (m: Metrics) =>
  m.counter('countersign_store_errors_total', { kind: 'lookup', code: 'SESSION_STORE_UNAVAILABLE' })
const strayed = (m: Metrics) =>
  m.counter('countersign_out_of_context_uses_total', { place: 'consumer', code: 'envelope_topic_mismatch' })
const forged = (m: Metrics) =>
  m.counter('countersign_envelope_faults_total', { class: 'payments', code: 'envelope_signature_invalid' })
const unsent = (m: Metrics) =>
  m.counter('countersign_jobs_unsent_total', { topic: 'payments.run', code: 'view_not_fresh' })
const upstream = (m: Metrics) =>
  m.counter('countersign_gateway_upstream_failures_total', { route: '/invoices', code: 'upstream_unavailable' })

/** A counter that stands at nought until it rises. */
const rise = (count: (metrics: Metrics) => { add(n: number): void }, labels: Labels, minutes = 3): Story =>
  story(labels, times(1, count), { ordinary: times(0, count), minutes })

export const STORIES: Readonly<Record<string, Story>> = {
  TargetDown: story(here, 'down'),
  NotReady: story(here, (m) => m.gauge('countersign_ready', {}, 0), {
    ordinary: (m) => m.gauge('countersign_ready', {}, 1),
    minutes: 4,
  }),
  RequestsFailing: story(at, times(5, request('500')), { ordinary: times(40, request('200')), minutes: 10 }),

  ViewStale: story(here, (m) => m.gauge('countersign_view_age_seconds', {}, 8), {
    ordinary: (m) => {
      m.gauge('countersign_view_age_seconds', {}, 1.2)
      m.gauge('countersign_view_closed', { reason: 'unproven' }, 0)
    },
  }),
  ViewClosed: story(
    { ...here, reason: 'digest_differs' },
    (m) => m.gauge('countersign_view_closed', { reason: 'digest_differs' }, 1),
    { ordinary: (m) => m.gauge('countersign_view_closed', { reason: 'digest_differs' }, 0) },
  ),
  ViewReread: rise(reread, { ...here, reason: 'digest_differs' }),
  ViewResidue: story(here, (m) => m.gauge('countersign_view_residue', {}, 2), {
    ordinary: (m) => m.gauge('countersign_view_residue', {}, 0),
  }),
  SignalsNotBelieved: rise(skipped, { ...here, code: 'signal_unverified' }),
  CheckpointsRefused: rise(refused, { ...here, result: 'checkpoint_gap' }),
  TailRestarts: rise((m) => m.counter('countersign_tail_restarts_total', {}), here),
  ExposureHigh: story(at, (m) => m.observe('countersign_exposure_seconds', {}, 3), {
    ordinary: (m) => m.observe('countersign_exposure_seconds', {}, 0.02),
    minutes: 6,
  }),
  TrustBundleExpiring: story(here, (m) => m.gauge('countersign_bundle_remaining_seconds', {}, 500_000), {
    ordinary: (m) => m.gauge('countersign_bundle_remaining_seconds', {}, 2_590_000),
    minutes: 12,
  }),
  FilterImprecise: story(
    here,
    times(5, (m) => m.counter('countersign_filter_false_positives_total', {})),
    {
      ordinary: (m) => {
        m.counter('countersign_filter_lookups_total', {}).add(100)
        m.counter('countersign_filter_false_positives_total', {}).add(0)
      },
      minutes: 20,
    },
  ),

  NoNotary: story({}, (m) => m.gauge('countersign_notary_epoch', {}, 0), {
    ordinary: (m) => m.gauge('countersign_notary_epoch', {}, 4),
  }),
  NotaryWithholds: story({ result: 'rows_missing' }, times(15, written('rows_missing')), {
    ordinary: (m) => {
      written('written')(m).add(15)
      written('rows_missing')(m).add(0)
    },
    minutes: 4,
  }),
  LogLostSignals: rise((m) => m.counter('countersign_notary_repaired_total', {}), here),

  RevocationsPending: story(here, (m) => m.gauge('countersign_outbox_oldest_seconds', {}, 20), {
    ordinary: (m) => m.gauge('countersign_outbox_oldest_seconds', {}, 0),
  }),
  RevocationsSlow: story({}, (m) => m.observe('countersign_revocation_seconds', { reason: 'logout' }, 4), {
    ordinary: (m) => m.observe('countersign_revocation_seconds', { reason: 'logout' }, 0.03),
    minutes: 10,
  }),
  LogoutsIncomplete: story({}, times(3, logout('pending')), {
    ordinary: times(10, logout('acknowledged')),
    minutes: 6,
  }),
  StoreFailing: rise(failing, { ...at, kind: 'lookup' }, 5),
  LookupsSlow: story(at, (m) => m.observe('countersign_store_call_seconds', { kind: 'lookup' }, 0.8), {
    ordinary: (m) => m.observe('countersign_store_call_seconds', { kind: 'lookup' }, 0.002),
    minutes: 10,
  }),
  LoginsFailing: story({}, times(40, login('login_failed')), { ordinary: times(5, login('issued')), minutes: 10 }),
  StepUpsAbandoned: story({}, times(2, stepUp('abandoned')), { ordinary: times(2, stepUp('prompted')), minutes: 60 }),
  RefreshReuse: rise(refresh('reused'), { ...here, result: 'reused' }),
  StoreRolledBack: rise(refresh('ahead'), { ...here, result: 'ahead' }),
  RefreshesFailing: story({}, times(10, token('invalid_grant')), { ordinary: times(10, token('issued')), minutes: 10 }),
  RefreshBursts: rise((m) => m.counter('countersign_refresh_bursts_total', {}), here),
  JourneyBehind: story(here, (m) => m.gauge('countersign_journey_pending', {}, 5_000), {
    ordinary: (m) => m.gauge('countersign_journey_pending', {}, 3),
    minutes: 4,
  }),
  JourneyDropped: rise(dropped, { ...here, reason: 'overflow' }),

  IdentityUnreachable: story(at, times(2, credential('sessions_unavailable')), {
    ordinary: times(20, credential('ok')),
    minutes: 5,
  }),
  StaleCredentials: story(at, times(15, credential('credential_revoked')), {
    ordinary: times(20, credential('ok')),
    minutes: 10,
  }),
  OutOfContextUses: rise(strayed, { place: 'consumer', code: 'envelope_topic_mismatch' }),
  UpstreamsFailing: story({ route: '/invoices', code: 'upstream_unavailable' }, times(5, upstream), { minutes: 10 }),
  JobsUnsent: story({ ...at, topic: 'payments.run', code: 'view_not_fresh' }, times(3, unsent), { minutes: 5 }),

  EnvelopesForged: rise(forged, { class: 'payments', code: 'envelope_signature_invalid' }),
  WorkParked: story({ class: 'payments' }, times(3, decided('parked', 'view_stale')), {
    ordinary: times(20, decided('executed', 'allowed')),
    minutes: 4,
  }),
  WorkDeadLettered: rise(decided('dead_lettered', 'handler_failed'), { class: 'payments', reason: 'handler_failed' }),
  WorkDenied: story({ class: 'payments' }, times(80, decided('denied', 'suspension')), {
    ordinary: times(20, decided('executed', 'allowed')),
    minutes: 20,
  }),
  HandlersFailing: story({ class: 'payments' }, times(5, attempted('failed')), {
    ordinary: times(20, attempted('done')),
    minutes: 10,
  }),
  PartitionsWaiting: story(
    { ...here, class: 'payments' },
    (m) => m.gauge('countersign_partitions_waiting', { class: 'payments' }, 2),
    {
      ordinary: (m) => m.gauge('countersign_partitions_waiting', { class: 'payments' }, 0),
      minutes: 4,
    },
  ),
  DecisionsUnrecorded: story(here, (m) => m.gauge('countersign_decisions_unrecorded_seconds', {}, 30), {
    ordinary: (m) => m.gauge('countersign_decisions_unrecorded_seconds', {}, 0),
  }),
  SpoolFilling: story(here, (m) => m.gauge('countersign_decisions_spool_ratio', {}, 0.7), {
    ordinary: (m) => m.gauge('countersign_decisions_spool_ratio', {}, 0),
  }),
  ArchiveBehind: story(here, (m) => m.gauge('countersign_archive_age_seconds', {}, 300), {
    ordinary: (m) => m.gauge('countersign_archive_age_seconds', {}, 1),
  }),
  ArchiveGap: rise((m) => m.counter('countersign_archive_gaps_total', {}), here),
  ArchiveFailing: rise(
    (m) => m.counter('countersign_archive_failures_total', { during: 'store' }),
    { ...at, during: 'store' },
    5,
  ),
}
