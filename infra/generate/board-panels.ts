/** What the board shows: one list, from which the board and the page of metrics are made. */

export interface Query {
  readonly expr: string
  /** Of each line; labels in double braces. */
  readonly legend: string
}

export interface Panel {
  readonly title: string
  readonly unit: 's' | 'short' | 'ops' | 'percentunit'
  readonly queries: readonly Query[]
  /** What an operator asks that this answers, where it is one of the outcomes every operator asks for. */
  readonly outcome?: string
}

export interface Row {
  readonly title: string
  readonly panels: readonly Panel[]
}

const p99 = (histogram: string, by: string): string =>
  `histogram_quantile(0.99, sum by (le, ${by}) (rate(${histogram}_bucket[1m])))`
const perSecond = (counter: string, by: string, matching = ''): string =>
  `sum by (${by}) (rate(${counter}${matching && `{${matching}}`}[1m]))`

/** Endings that somebody else brings about. */
const FORCED =
  'session_end_by_administrator|reauthentication_forced|account_suspension|account_deletion|affiliation_suspension|affiliation_removal|session_limit|token_reuse|password_reset|device_loss|compromise|suspension|offboarding|admin|policy'

export const ROWS: readonly Row[] = [
  {
    title: 'How long can somebody act who may not any more',
    panels: [
      {
        title: 'Exposure, p99',
        unit: 's',
        outcome: 'revocation propagation',
        queries: [{ expr: p99('countersign_exposure_seconds', 'instance'), legend: '{{instance}}' }],
      },
      {
        title: 'Age of the proven view',
        unit: 's',
        queries: [{ expr: 'countersign_view_age_seconds', legend: '{{instance}} {{log}}' }],
      },
      {
        title: 'Closed views',
        unit: 'short',
        queries: [{ expr: 'sum by (instance, reason) (countersign_view_closed)', legend: '{{instance}} {{reason}}' }],
      },
      {
        title: 'Revocations by answer',
        unit: 'ops',
        queries: [{ expr: perSecond('countersign_revocations_total', 'answer'), legend: '{{answer}}' }],
      },
      {
        title: 'Logouts that are on the log when they are answered',
        unit: 'percentunit',
        outcome: 'logout completion',
        queries: [
          {
            expr: 'sum(rate(countersign_revocations_total{reason=~"logout|session_end|sessions_end_all",answer="acknowledged"}[5m])) / sum(rate(countersign_revocations_total{reason=~"logout|session_end|sessions_end_all",answer!="refused"}[5m]))',
            legend: 'complete',
          },
        ],
      },
      {
        title: 'Time until an ending is answered, p99',
        unit: 's',
        queries: [{ expr: p99('countersign_revocation_seconds', 'reason'), legend: '{{reason}}' }],
      },
    ],
  },
  {
    title: 'Identities',
    panels: [
      {
        title: 'Logins that failed',
        unit: 'ops',
        outcome: 'failed logins',
        queries: [{ expr: perSecond('countersign_logins_total', 'result', 'result!="issued"'), legend: '{{result}}' }],
      },
      {
        title: 'Sessions',
        unit: 'short',
        outcome: 'active sessions',
        queries: [{ expr: 'max(countersign_sessions_active)', legend: 'active' }],
      },
      {
        title: 'Sessions that time ended',
        unit: 'ops',
        outcome: 'expirations',
        queries: [
          { expr: perSecond('countersign_revocations_total', 'answer', 'reason="expiry"'), legend: '{{answer}}' },
        ],
      },
      {
        title: 'Endings by somebody else',
        unit: 'ops',
        outcome: 'forced ends',
        queries: [
          { expr: perSecond('countersign_revocations_total', 'reason', `reason=~"${FORCED}"`), legend: '{{reason}}' },
        ],
      },
      {
        title: 'Step-ups',
        unit: 'ops',
        outcome: 'step-up prompts',
        queries: [
          { expr: perSecond('countersign_step_ups_total', 'outcome', 'outcome!="abandoned"'), legend: '{{outcome}}' },
        ],
      },
      {
        title: 'Step-ups that nobody finished, in an hour',
        unit: 'short',
        outcome: 'abandonment after step-up',
        queries: [
          { expr: 'sum(increase(countersign_step_ups_total{outcome="abandoned"}[1h]))', legend: 'abandoned' },
          { expr: 'sum(increase(countersign_step_ups_total{outcome="prompted"}[1h]))', legend: 'prompted' },
        ],
      },
      {
        title: 'Refreshes that were refused',
        unit: 'ops',
        outcome: 'refresh failures',
        queries: [
          {
            expr: perSecond('countersign_token_requests_total', 'result', 'grant="refresh_token",result!="issued"'),
            legend: '{{result}}',
          },
        ],
      },
      {
        title: 'Refresh tokens used again, in ten minutes',
        unit: 'short',
        outcome: 'reuse',
        queries: [
          {
            expr: 'sum by (result) (increase(countersign_refreshes_total{result=~"reused|ahead"}[10m]))',
            legend: '{{result}}',
          },
        ],
      },
      {
        title: 'Bursts of refreshes, in ten minutes',
        unit: 'short',
        outcome: 'refresh bursts',
        queries: [{ expr: 'sum(increase(countersign_refresh_bursts_total[10m]))', legend: 'bursts' }],
      },
      {
        title: 'Journey events not on the log',
        unit: 'short',
        queries: [
          { expr: 'countersign_journey_pending', legend: '{{instance}} pending' },
          { expr: 'sum by (instance) (countersign_journey_dropped_total)', legend: '{{instance}} dropped' },
        ],
      },
    ],
  },
  {
    title: 'Boundaries',
    panels: [
      {
        // Of a session, and of an opaque token, identity says no more than that it is not good any more.
        title: 'Credentials that were not good any more',
        unit: 'ops',
        outcome: 'stale-token rejections',
        queries: [
          {
            expr: perSecond(
              'countersign_boundary_credentials_total',
              'code',
              'code=~"credential_(revoked|expired|too_old|invalid)"',
            ),
            legend: '{{code}}',
          },
        ],
      },
      {
        title: 'Used where it is not good, in ten minutes',
        unit: 'short',
        outcome: 'out-of-context uses',
        queries: [
          {
            expr: 'sum by (place, code) (increase(countersign_out_of_context_uses_total[10m]))',
            legend: '{{place}} {{code}}',
          },
        ],
      },
      {
        title: 'Asking identity about a credential, p99',
        unit: 's',
        outcome: 'lookup latency',
        queries: [
          { expr: p99('countersign_boundary_lookup_seconds', 'instance'), legend: '{{instance}}' },
          {
            expr: 'histogram_quantile(0.99, sum by (le) (rate(countersign_store_call_seconds_bucket{kind="lookup"}[1m])))',
            legend: 'of which the store',
          },
        ],
      },
      {
        title: 'Calls of the store that failed',
        unit: 'ops',
        outcome: 'store errors',
        queries: [{ expr: perSecond('countersign_store_errors_total', 'kind, code'), legend: '{{kind}} {{code}}' }],
      },
      {
        title: 'Requests',
        unit: 'ops',
        queries: [
          { expr: perSecond('countersign_http_requests_total', 'instance, status'), legend: '{{instance}} {{status}}' },
        ],
      },
      {
        title: 'Jobs sent',
        unit: 'ops',
        queries: [{ expr: perSecond('countersign_jobs_sent_total', 'topic'), legend: '{{topic}}' }],
      },
    ],
  },
  {
    title: 'Work',
    panels: [
      {
        title: 'Decisions by outcome',
        unit: 'ops',
        queries: [
          { expr: perSecond('countersign_decisions_total', 'class, outcome'), legend: '{{class}} {{outcome}}' },
        ],
      },
      {
        title: 'Denials and parks by reason',
        unit: 'ops',
        queries: [
          { expr: perSecond('countersign_decisions_total', 'reason', 'outcome!="executed"'), legend: '{{reason}}' },
        ],
      },
      {
        title: 'Work that waited for a fresh view, p99',
        unit: 's',
        queries: [{ expr: p99('countersign_wait_seconds', 'class'), legend: '{{class}}' }],
      },
      {
        title: 'Envelopes refused',
        unit: 'ops',
        queries: [{ expr: perSecond('countersign_envelope_faults_total', 'code'), legend: '{{code}}' }],
      },
      {
        title: 'Decisions not recorded yet',
        unit: 's',
        queries: [{ expr: 'countersign_decisions_unrecorded_seconds', legend: '{{instance}}' }],
      },
      {
        title: 'Deny filter: passed for nothing',
        unit: 'percentunit',
        outcome: 'filter false positives',
        queries: [
          {
            expr: 'rate(countersign_filter_false_positives_total[5m]) / rate(countersign_filter_lookups_total[5m])',
            legend: '{{instance}}',
          },
        ],
      },
    ],
  },
  {
    title: 'The log and its notary',
    panels: [
      {
        title: 'Checkpoints written or withheld',
        unit: 'ops',
        queries: [{ expr: perSecond('countersign_notary_checkpoints_total', 'result'), legend: '{{result}}' }],
      },
      {
        title: 'Endings not on the log: how many, and the age of the oldest',
        unit: 'short',
        queries: [
          { expr: 'countersign_outbox_pending', legend: '{{instance}} {{log}} rows' },
          { expr: 'countersign_outbox_oldest_seconds', legend: '{{instance}} {{log}} seconds' },
        ],
      },
      {
        title: 'Floors in the view',
        unit: 'short',
        queries: [{ expr: 'countersign_view_floors', legend: '{{instance}} {{log}}' }],
      },
      {
        title: 'On the log, and not believed',
        unit: 'ops',
        queries: [
          { expr: perSecond('countersign_signals_skipped_total', 'code'), legend: '{{code}}' },
          { expr: perSecond('countersign_checkpoints_total', 'result', 'result!="passed"'), legend: '{{result}}' },
        ],
      },
      {
        title: 'Servers that are ready',
        unit: 'short',
        queries: [{ expr: 'countersign_ready', legend: '{{instance}}' }],
      },
      {
        title: 'Trust bundle: time left',
        unit: 's',
        queries: [{ expr: 'min by (log) (countersign_bundle_remaining_seconds)', legend: '{{log}}' }],
      },
    ],
  },
]
