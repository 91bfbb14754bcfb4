/** What happens to an identity, step by step, on the journey topic. */
export { type Journey, type JourneyEvent, type JourneyTaker, journeyLog } from './journey.ts'
export { readJourney } from './journey-reader.ts'
export { JOURNEY_TOPIC, JourneySink, type JourneySinkOptions } from './journey-sink.ts'
