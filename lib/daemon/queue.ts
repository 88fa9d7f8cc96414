/**
 * The queue: bounded, fair between submitters, ordered by priority within one, and within a budget
 * of memory. It holds no clock and no job, only tickets, so that what it does can be tested to the
 * last ticket.
 *
 * Between submitters it is start-time fair queueing with every job at the same cost: each submitter has
 * a virtual time that rises by one for each of its jobs that starts, and the lowest goes next. So nobody
 * waits behind another's flood, and calling all one's jobs "high" moves them past nobody else's.
 *
 * Within a submitter a job's priority is worth waiting time (see PRIORITY_MS): an hour-old "low" job goes
 * before a fresh "high" one, so none starves.
 * @module
 */
import type { JobPriority } from "./types.ts";

/** A job as the queue sees it. */
export interface Ticket {
  /** Job id. */
  id: string;
  /** Whose job it is. */
  submitter: string;
  /** Order among the submitter's jobs. */
  priority: JobPriority;
  /** What it may use while it runs, in MiB. */
  memoryMb: number;
  /** When it was accepted, in Unix milliseconds. */
  createdAt: number;
}

/** Bounds of the queue; may change while it is used. */
export interface QueueLimits {
  /** Jobs that run at once. */
  concurrency: number;
  /** Memory of running jobs together, in MiB. */
  memoryMb: number;
}

/** What a priority is worth against "low", in milliseconds of waiting. */
export const PRIORITY_MS: Readonly<Record<JobPriority, number>> = {
  low: 0,
  normal: 60_000,
  high: 600_000,
};

/**
 * How often the next job may be passed by others while too little memory is free for it; then
 * everybody waits until it fits. Without it small jobs would hold off a large one for ever.
 */
export const MAX_PASSES = 16;

interface Entry {
  ticket: Ticket;
  /** Lower goes first. */
  key: number;
  passes: number;
}

interface Lane {
  submitter: string;
  /** Virtual time of its next job. */
  time: number;
  entries: Entry[];
}

function keyOf(ticket: Ticket): number {
  return ticket.createdAt - PRIORITY_MS[ticket.priority];
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.key < b.key || (a.key === b.key && a.ticket.submitter < b.ticket.submitter);
}

/** First index whose key is greater: equal keys stay in order of arrival. */
function upperBound(entries: readonly Entry[], key: number): number {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle]?.key ?? 0) <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Decides which job runs next. */
export class JobQueue {
  #limits: QueueLimits;
  readonly #lanes = new Map<string, Lane>();
  readonly #running = new Map<string, Ticket>();
  #waiting = 0;
  #runningMemory = 0;
  /** Virtual time of the last start: who comes back after a pause has no credit from it. */
  #now = 0;
  /** Times of submitters of whom nothing waits, while they lie ahead: coming back must not skip them. */
  readonly #turns = new Map<string, number>();

  constructor(limits: QueueLimits) {
    this.#limits = { ...limits };
  }

  /** Jobs that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Jobs that run. */
  get running(): number {
    return this.#running.size;
  }

  /** Memory of running jobs, in MiB. */
  get runningMemoryMb(): number {
    return this.#runningMemory;
  }

  /** Jobs of one submitter that wait or run. */
  countOf(submitter: string): number {
    let count = this.#lanes.get(submitter)?.entries.length ?? 0;
    for (const ticket of this.#running.values()) if (ticket.submitter === submitter) count++;
    return count;
  }

  /** Changes the bounds; running jobs run on. */
  setLimits(limits: QueueLimits): void {
    this.#limits = { ...limits };
  }

  /** Adds a job. */
  push(ticket: Ticket): void {
    let lane = this.#lanes.get(ticket.submitter);
    if (lane === undefined) {
      lane = {
        submitter: ticket.submitter,
        time: this.#turns.get(ticket.submitter) ?? this.#now,
        entries: [],
      };
      this.#lanes.set(ticket.submitter, lane);
    }
    const key = keyOf(ticket);
    lane.entries.splice(upperBound(lane.entries, key), 0, { ticket, key, passes: 0 });
    this.#waiting++;
  }

  /** Takes a waiting job out; tells whether it was there. */
  remove(ticket: Ticket): boolean {
    const lane = this.#lanes.get(ticket.submitter);
    const index = lane?.entries.findIndex((entry) => entry.ticket.id === ticket.id) ?? -1;
    if (lane === undefined || index < 0) return false;
    this.#take(lane, index);
    return true;
  }

  #take(lane: Lane, index: number): void {
    lane.entries.splice(index, 1);
    this.#waiting--;
    if (lane.entries.length === 0) this.#lanes.delete(lane.submitter);
  }

  /**
   * How many jobs start before a waiting one, if no more come and memory is no matter; `undefined`
   * when it does not wait.
   */
  position(ticket: Ticket): number | undefined {
    const own = this.#lanes.get(ticket.submitter);
    const index = own?.entries.findIndex((entry) => entry.ticket.id === ticket.id) ?? -1;
    const mine = own?.entries[index];
    if (own === undefined || mine === undefined) return undefined;
    const time = own.time + index;
    let before = index;
    for (const lane of this.#lanes.values()) {
      if (lane === own) continue;
      // Entry j of a lane has the time lane.time + j, so that these many are certainly before.
      const earlier = Math.min(Math.max(time - lane.time, 0), lane.entries.length);
      before += earlier;
      const rival = lane.entries[earlier];
      const tied = rival !== undefined && lane.time + earlier === time;
      if (tied && isBefore(rival, mine)) before++;
    }
    return before;
  }

  /** Lanes in the order in which their first jobs would start. */
  #order(): Lane[] {
    return [...this.#lanes.values()].sort((a, b) =>
      a.time - b.time || (isBefore(a.entries[0]!, b.entries[0]!) ? -1 : 1)
    );
  }

  /**
   * The job to start now, which then counts as running until {@linkcode release}; `undefined` when
   * nothing waits or nothing fits.
   */
  next(): Ticket | undefined {
    if (this.#waiting === 0 || this.#running.size >= this.#limits.concurrency) return undefined;
    const free = this.#limits.memoryMb - this.#runningMemory;
    const passed: Entry[] = [];
    for (const lane of this.#order()) {
      const entry = lane.entries[0];
      if (entry === undefined) continue;
      // A job over the whole budget (which was larger once) runs alone rather than never.
      if (entry.ticket.memoryMb <= free || this.#running.size === 0) {
        for (const other of passed) other.passes++;
        this.#start(lane, entry);
        return entry.ticket;
      }
      if (entry.passes >= MAX_PASSES) return undefined;
      passed.push(entry);
    }
    return undefined;
  }

  #start(lane: Lane, entry: Entry): void {
    this.#now = Math.max(this.#now, lane.time);
    lane.time = this.#now + 1;
    this.#turns.set(lane.submitter, lane.time);
    for (const [submitter, time] of this.#turns) {
      if (time <= this.#now) this.#turns.delete(submitter);
    }
    this.#take(lane, 0);
    this.#running.set(entry.ticket.id, entry.ticket);
    this.#runningMemory += entry.ticket.memoryMb;
  }

  /** Notes that a running job is over. */
  release(ticket: Ticket): void {
    if (!this.#running.delete(ticket.id)) return;
    this.#runningMemory -= ticket.memoryMb;
  }
}
