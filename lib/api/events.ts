/**
 * Events of a daemon's job.
 *
 * @module
 */
import type { EventJson } from "./api_types.gen.ts";

/** An event whose output is `Data`: base64 text in a response, bytes in the client. */
export type ApiEvent<Data> = EventJson extends infer Event
  ? Event extends { data: string } ? Omit<Event, "data"> & { data: Data } : Event
  : never;

/** Reports whether an event is the last of its job. */
export function isFinalEvent(event: { type: string; rerun?: boolean }): boolean {
  return event.type === "finished" || event.type === "failed" ||
    (event.type === "interrupted" && event.rerun === false);
}
