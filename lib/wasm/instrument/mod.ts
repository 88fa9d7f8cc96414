/**
 * Rewrites function bodies so that a job's results are the same on every machine, and its instructions are counted
 * (docs/adr/0016-fuel.md and 0017-canonical-nan.md).
 *
 * @module
 */
export { instrument, type InstrumentedModule } from "./instrument.ts";
