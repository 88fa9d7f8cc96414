/**
 * Figures as people read them: sizes, durations, times and the ends of jobs.
 *
 * @module
 */
import type { JobJson } from "../../../api/mod.ts";

const UNITS = ["kB", "MB", "GB", "TB"];

/** A number of bytes with its unit, such as `1.5 MB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  let [value, unit] = [bytes / 1000, 0];
  // 999,950 rounds to 1,000.0 kB, which is 1.0 MB.
  while (value >= 999.95 && unit < UNITS.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value.toFixed(1)} ${UNITS[unit]}`;
}

/** A duration in milliseconds with its unit, such as `1.5 s`. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const [minutes, seconds] = [Math.floor(ms / 60_000), Math.floor(ms % 60_000 / 1000)];
  const [large, small] = minutes < 60
    ? [`${minutes} min`, seconds && `${seconds} s`]
    : [`${Math.floor(minutes / 60)} h`, minutes % 60 && `${minutes % 60} min`];
  return small === 0 ? large : `${large} ${small}`;
}

/** A latency in milliseconds; empty if it is unknown. */
export function latencyText(ms: number | null): string {
  if (ms === null) return "";
  return ms < 1 ? "< 1 ms" : `${Math.round(ms)} ms`;
}

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const DATE_AND_TIME = new Intl.DateTimeFormat(undefined, {
  dateStyle: "medium",
  timeStyle: "medium",
});

/** A time in the reader's zone, without the date if it is today; empty for none. */
export function timeText(at: string | null): string {
  if (at === null) return "";
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  return (isToday ? TIME : DATE_AND_TIME).format(date);
}

/** How a job ended, in a few words; empty before its end. */
export function resultText({ status, exit_code, error }: JobJson): string {
  if (status === "exited") return `exit ${exit_code}`;
  return status ?? error?.code ?? "";
}

/** How long a job ran; empty before its end. */
export function runTimeText({ started_at, finished_at }: JobJson): string {
  if (started_at === null || finished_at === null) return "";
  return durationText(Date.parse(finished_at) - Date.parse(started_at));
}
