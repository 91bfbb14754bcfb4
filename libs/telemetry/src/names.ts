/**
 * Every metric, label and log field name. A name that is not here does not exist. No label carries a
 * user, a token or an unbounded value.
 */

export interface MetricSpec {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels: readonly string[]
  /** Labels that may be left out, and then do not show. */
  readonly optional?: readonly string[]
  /** Upper bounds, in the unit the name ends with; histograms only. */
  readonly buckets?: readonly number[]
}

const EXPOSURE = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const DURATION = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Which signals log, where a process follows several. */
const LOG = ['log'] as const

const BATCH = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096]

export const METRICS = {
  countersign_ready: { kind: 'gauge', help: '1 when `/readyz` says yes.', labels: [] },
  countersign_http_requests_total: {
    kind: 'counter',
    help: 'HTTP requests answered.',
    labels: ['route', 'method', 'status'],
  },
  countersign_http_request_seconds: {
    kind: 'histogram',
    help: 'Time to answer a request.',
    labels: ['route'],
    buckets: DURATION,
  },

  countersign_boundary_credentials_total: {
    kind: 'counter',
    help: 'Credentials judged at the boundary; code ok or why not.',
    labels: ['credential', 'code'],
  },
  countersign_boundary_lookup_seconds: {
    kind: 'histogram',
    help: 'Time until identity said what a credential stands for, or that it could not be asked.',
    labels: ['credential'],
    buckets: DURATION,
  },
  countersign_out_of_context_uses_total: {
    kind: 'counter',
    help: 'Genuine credentials and envelopes shown where they are not good: another audience, type, topic, key or payload. Place boundary or consumer.',
    labels: ['place', 'code'],
  },
  countersign_gateway_refusals_total: {
    kind: 'counter',
    help: 'Requests the gateway refused, by code.',
    labels: ['route', 'code'],
  },
  countersign_gateway_upstream_failures_total: {
    kind: 'counter',
    help: 'Answers of upstreams that did not come, or not in full.',
    labels: ['route', 'code'],
  },
  countersign_gateway_open_connections: {
    kind: 'gauge',
    help: 'WebSockets, event streams and other answers that last, open now.',
    labels: ['kind'],
  },
  countersign_gateway_connections_ended_total: {
    kind: 'counter',
    help: 'Of those, ended by the gateway, by code.',
    labels: ['kind', 'code'],
  },
  countersign_gateway_exchanges_total: {
    kind: 'counter',
    help: 'Access tokens for upstreams: kept, exchanged, refused or unavailable.',
    labels: ['route', 'result'],
  },
  countersign_jobs_sent_total: { kind: 'counter', help: 'Jobs appended.', labels: ['topic'] },
  countersign_jobs_unsent_total: { kind: 'counter', help: 'Jobs not appended, by code.', labels: ['topic', 'code'] },
  countersign_seal_batch_size: {
    kind: 'histogram',
    help: 'Envelopes under one signature.',
    labels: [],
    buckets: BATCH,
  },
  countersign_batch_size: {
    kind: 'histogram',
    help: 'Messages in each batch that a consumer was given.',
    labels: ['class'],
    buckets: BATCH,
  },
  countersign_envelopes_per_signature: {
    kind: 'histogram',
    help: 'Envelopes under each signature that a consumer verified.',
    labels: [],
    buckets: BATCH,
  },

  countersign_envelope_faults_total: {
    kind: 'counter',
    help: 'Envelopes refused by opening.',
    labels: ['class', 'code'],
  },
  countersign_decisions_total: { kind: 'counter', help: 'Final decisions.', labels: ['class', 'outcome', 'reason'] },
  countersign_attempts_total: { kind: 'counter', help: 'Handler attempts.', labels: ['class', 'result'] },
  countersign_effects_total: {
    kind: 'counter',
    help: 'Effects judged again before they were committed.',
    labels: ['class', 'result'],
  },
  countersign_request_decisions_total: {
    kind: 'counter',
    help: 'Decisions on HTTP requests.',
    labels: ['class', 'outcome', 'reason'],
  },
  countersign_handlers_running: { kind: 'gauge', help: 'Handlers running now.', labels: ['class'] },
  countersign_partitions_waiting: {
    kind: 'gauge',
    help: 'Partitions paused until their next message can be judged.',
    labels: ['class'],
  },
  countersign_wait_seconds: {
    kind: 'histogram',
    help: 'Time work waited for a fresh view.',
    labels: ['class'],
    buckets: EXPOSURE,
  },

  countersign_view_age_seconds: {
    kind: 'gauge',
    help: 'Age of the proven view, skew included.',
    labels: [],
    optional: LOG,
  },
  countersign_view_closed: {
    kind: 'gauge',
    help: '1 for the reason the view is closed for.',
    labels: ['reason'],
    optional: LOG,
  },
  countersign_view_floors: { kind: 'gauge', help: 'Floors in the view.', labels: [], optional: LOG },
  countersign_view_bytes: { kind: 'gauge', help: 'Memory of the view.', labels: [], optional: LOG },
  countersign_view_offset: { kind: 'gauge', help: 'Last offset folded.', labels: [], optional: LOG },
  countersign_view_residue: {
    kind: 'gauge',
    help: 'Verified signals no longer on the log, kept in force.',
    labels: [],
    optional: LOG,
  },
  countersign_filter_lookups_total: {
    kind: 'counter',
    help: 'Targets looked up in the deny filter.',
    labels: [],
    optional: LOG,
  },
  countersign_filter_false_positives_total: {
    kind: 'counter',
    help: 'Of those, passed on by the filter though the table had nothing.',
    labels: [],
    optional: LOG,
  },
  countersign_bundle_remaining_seconds: {
    kind: 'gauge',
    help: 'Until the trust bundle in force expires; 0 without one.',
    labels: [],
    optional: LOG,
  },
  countersign_view_rereads_total: {
    kind: 'counter',
    help: 'Re-reads after a digest that differed.',
    labels: ['reason'],
    optional: LOG,
  },
  countersign_signals_folded_total: { kind: 'counter', help: 'Signals folded.', labels: [], optional: LOG },
  countersign_signals_skipped_total: {
    kind: 'counter',
    help: 'Records on the signals log that are not signals.',
    labels: ['code'],
    optional: LOG,
  },
  countersign_checkpoints_total: {
    kind: 'counter',
    help: 'Checkpoints passed or refused.',
    labels: ['result'],
    optional: LOG,
  },
  countersign_tail_restarts_total: {
    kind: 'counter',
    help: 'Tails restarted by the watchdog.',
    labels: [],
    optional: LOG,
  },
  countersign_exposure_seconds: {
    kind: 'histogram',
    help: 'From log-append of a signal to its application here.',
    labels: [],
    optional: LOG,
    buckets: EXPOSURE,
  },

  countersign_revocations_total: { kind: 'counter', help: 'Revocations by answer.', labels: ['answer', 'reason'] },
  countersign_revocation_seconds: {
    kind: 'histogram',
    help: 'From asking for an ending to its answer, acknowledged or not.',
    labels: ['reason'],
    buckets: EXPOSURE,
  },
  countersign_sessions_active: {
    kind: 'gauge',
    help: 'Sessions of all kinds that have neither ended nor expired. The same from each identity of one store.',
    labels: [],
  },
  countersign_store_call_seconds: {
    kind: 'histogram',
    help: "Time of a call of identity's store; kind lookup (what a credential stands for), read or write.",
    labels: ['kind'],
    buckets: DURATION,
  },
  countersign_store_errors_total: {
    kind: 'counter',
    help: "Calls of identity's store that failed.",
    labels: ['kind', 'code'],
  },
  countersign_logins_total: { kind: 'counter', help: 'Logins by result.', labels: ['result'] },
  countersign_step_ups_total: {
    kind: 'counter',
    help: 'Step-ups: prompted, then passed or abandoned; failed for each proof that did not hold, unmet where there was none to show.',
    labels: ['outcome'],
  },
  countersign_journey_pending: { kind: 'gauge', help: 'Journey events not yet on their topic.', labels: [] },
  countersign_journey_dropped_total: {
    kind: 'counter',
    help: 'Journey events lost: buffer full, closed before they were sent, or not to be encoded.',
    labels: ['reason'],
  },
  countersign_token_requests_total: {
    kind: 'counter',
    help: 'Requests to the token endpoint; result issued or the error.',
    labels: ['grant', 'result'],
  },
  countersign_refreshes_total: {
    kind: 'counter',
    help: 'Genuine refresh tokens judged: rotated, repeated, ended; reused and ahead are alarms.',
    labels: ['result'],
  },
  countersign_refresh_bursts_total: {
    kind: 'counter',
    help: 'Minutes in which one family was refreshed more than ten times.',
    labels: [],
  },
  countersign_introspections_total: { kind: 'counter', help: 'Introspections by result.', labels: ['result'] },
  countersign_successors_total: {
    kind: 'counter',
    help: 'Envelopes asked to be gone on for, by result.',
    labels: ['result'],
  },
  countersign_outbox_pending: { kind: 'gauge', help: 'Outbox rows not yet acknowledged.', labels: [], optional: LOG },
  countersign_outbox_oldest_seconds: {
    kind: 'gauge',
    help: 'Age of the oldest pending row.',
    labels: [],
    optional: LOG,
  },
  countersign_notary_epoch: { kind: 'gauge', help: 'Epoch this notary holds; 0 for none.', labels: [], optional: LOG },
  countersign_notary_checkpoints_total: {
    kind: 'counter',
    help: 'Checkpoints written or withheld.',
    labels: ['result'],
    optional: LOG,
  },
  countersign_notary_repaired_total: { kind: 'counter', help: 'Outbox rows appended again.', labels: [] },

  countersign_decisions_unrecorded_seconds: {
    kind: 'gauge',
    help: 'For how long decisions could not be recorded on the log; 0 when the last one was.',
    labels: [],
  },
  countersign_decisions_spooled: { kind: 'gauge', help: 'Records of decisions waiting in the spool.', labels: [] },
  countersign_decisions_spool_ratio: {
    kind: 'gauge',
    help: 'Part of its bound that the spool holds, 0 to 1.',
    labels: [],
  },
  countersign_decisions_spool_drained_total: {
    kind: 'counter',
    help: 'Records of decisions that went from the spool to the log.',
    labels: [],
  },

  countersign_sentence_bound_seconds: {
    kind: 'gauge',
    help: 'Longest a revoked credential can still start work, from configuration; +Inf where nothing bounds it.',
    labels: ['credential', 'class'],
  },
  countersign_sentence_p99_seconds: {
    kind: 'gauge',
    help: 'The same, measured: 99th percentile over the last revocations.',
    labels: ['credential', 'class'],
  },
  countersign_sentence_revocations: {
    kind: 'gauge',
    help: 'How many revocations that is measured over.',
    labels: ['credential', 'class'],
  },
  countersign_archive_records_total: {
    kind: 'counter',
    help: 'Records brought into the archive.',
    labels: ['role'],
  },
  countersign_archive_lag_records: {
    kind: 'gauge',
    help: 'Records on the log that are not in the archive yet, when its ends were last asked for.',
    labels: [],
  },
  countersign_archive_age_seconds: {
    kind: 'gauge',
    help: 'Since when the archive may miss records; +Inf until it has caught up once.',
    labels: [],
  },
  countersign_archive_checkpoints_total: { kind: 'counter', help: 'Checkpoints of the archive signed.', labels: [] },
  countersign_archive_gaps_total: {
    kind: 'counter',
    help: 'Times records were gone from the log before they were archived.',
    labels: [],
  },
  countersign_archive_failures_total: {
    kind: 'counter',
    help: 'Tries that held archiving up, by what failed.',
    labels: ['during'],
  },
} as const satisfies Record<string, MetricSpec>

export type MetricName = keyof typeof METRICS

/** Log fields whose text may be written: closed vocabularies, opaque handles and places, never content. */
export const TEXT_FIELDS: ReadonlySet<string> = new Set([
  'acr',
  'action',
  'actor',
  'address',
  'answer',
  'audience',
  'brokers',
  'cause',
  'class',
  'client',
  'closed',
  'code',
  'component',
  'consumer',
  'correlation',
  'credential',
  'data',
  'destination',
  'device',
  'effect',
  'epoch',
  'eventId',
  'family',
  'from',
  'group',
  'host',
  'id',
  'initiator',
  'job',
  'jobClass',
  'keyId',
  'kind',
  'level',
  'log',
  'logId',
  'log_id',
  'logical',
  'method',
  'name',
  'notary',
  'object',
  'operation',
  'origin',
  'outcome',
  'parent',
  'path',
  'phase',
  'principal',
  'provider',
  'reason',
  'requestId',
  'result',
  'revocation',
  'role',
  'roles',
  'route',
  'rule',
  'schedule',
  'schema',
  'scope',
  'scopes',
  'service',
  'session',
  'signal',
  'state',
  'status',
  'step',
  'sub',
  'target',
  'tenant',
  'to',
  'tokenHandle',
  'topic',
  'topics',
  'traceId',
  'txn',
  'type',
  'url',
  'version',
  'workload',
])
