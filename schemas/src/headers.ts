/** Names of the record headers. Each may stand once on a record; a repeated one is refused. */

/** The identity envelope, binary, at most 16 KiB. */
export const ENVELOPE_HEADER = 'countersign-envelope'
/** The earlier envelopes that this one relies on, binary; only beside an envelope that names them. */
export const RELIES_ON_HEADER = 'countersign-relies-on'
/** The signature of a record on the signals log, binary. */
export const SIGNATURE_HEADER = 'countersign-signature'
/** `topic/partition/offset` of the original event, on parked and dead-lettered copies and on jobs redriven from them. */
export const ORIGIN_HEADER = 'countersign-origin'
/** Reason code, on parked and dead-lettered copies. */
export const REASON_HEADER = 'countersign-reason'
/** Epoch milliseconds, decimal, on parked and dead-lettered copies. */
export const PARKED_AT_HEADER = 'countersign-parked-at'
/** The one job class it is for: the one that set a copy aside. Others pass by what names another. */
export const CLASS_HEADER = 'countersign-class'
/** `topic/partition/offset` of the copy a job was redriven from. */
export const REDRIVEN_HEADER = 'countersign-redriven'
/** Correlation id, for people and logs; decides nothing. */
export const CORRELATION_HEADER = 'countersign-correlation'
/** W3C Trace Context §3.2. */
export const TRACEPARENT_HEADER = 'traceparent'
/** W3C Trace Context §3.3; only beside a `traceparent`. */
export const TRACESTATE_HEADER = 'tracestate'
/** Name of the replay that put a signal on its log once more; decides nothing. */
export const REPLAY_HEADER = 'countersign-replay'
/** When the log first appended what a replay put there once more; epoch milliseconds, decimal. */
export const ORIGINAL_TIMESTAMP_HEADER = 'countersign-original-timestamp'
