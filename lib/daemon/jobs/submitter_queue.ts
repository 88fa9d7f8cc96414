/**
 * Priority queue of one submitter's jobs.
 *
 * A job's priority is worth waiting time (see {@linkcode PRIORITY_MS}): an hour-old "low" job goes before a
 * fresh "high" one, so none starves.
 * @module
 */
import type { JobPriority } from "../store/mod.ts";

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

/** What a priority is worth against "low", in milliseconds of waiting. */
export const PRIORITY_MS: Readonly<Record<JobPriority, number>> = {
  low: 0,
  normal: 60_000,
  high: 600_000,
};

/** Of equal keys the first of these goes first: it has waited longer. */
const PRIORITIES = ["low", "normal", "high"] as const;

/** A waiting job. */
export interface Entry {
  ticket: Ticket;
  /** Lower goes first. */
  key: number;
  /** How often others have gone before it for lack of memory. */
  passes: number;
}

/** Whether one submitter's entry goes before another's of the same virtual time. */
export function isBefore(a: Entry, b: Entry): boolean {
  return a.key < b.key || (a.key === b.key && a.ticket.submitter < b.ticket.submitter);
}

/**
 * Entries of one priority, in order of their keys. They come and go at the ends (time goes on), which
 * costs nothing; only after a step back of the clock is one put in between.
 */
class SortedEntries {
  #entries: Entry[] = [];
  /** Where the first entry is: to move all others up each time one leaves would be quadratic. */
  #head = 0;

  get length(): number {
    return this.#entries.length - this.#head;
  }

  get first(): Entry | undefined {
    return this.at(0);
  }

  at(index: number): Entry | undefined {
    return this.#entries[this.#head + index];
  }

  /** How many entries have a key of at most `key`. */
  upTo(key: number): number {
    let [low, high] = [this.#head, this.#entries.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#entries[middle]!.key <= key) low = middle + 1;
      else high = middle;
    }
    return low - this.#head;
  }

  add(entry: Entry): void {
    const place = this.upTo(entry.key);
    if (place === this.length) this.#entries.push(entry);
    else this.#entries.splice(this.#head + place, 0, entry);
  }

  /** Where a ticket is, or -1. Only entries of its key are looked at. */
  find(key: number, id: string): number {
    for (let index = this.upTo(key) - 1; index >= 0; index--) {
      const entry = this.at(index)!;
      if (entry.key !== key) return -1;
      if (entry.ticket.id === id) return index;
    }
    return -1;
  }

  remove(index: number): void {
    if (index > 0) {
      this.#entries.splice(this.#head + index, 1);
      return;
    }
    this.#head++;
    if (this.#head * 2 > this.#entries.length) {
      this.#entries.splice(0, this.#head);
      this.#head = 0;
    }
  }
}

/** The waiting jobs of one submitter. */
export class SubmitterQueue {
  readonly submitter: string;
  /** Virtual time of its next job. */
  time: number;
  readonly #byPriority: Record<JobPriority, SortedEntries> = {
    high: new SortedEntries(),
    normal: new SortedEntries(),
    low: new SortedEntries(),
  };

  #length = 0;
  /** Cached: position() reads the first entry of every queue. */
  #first: Entry | undefined;

  constructor(submitter: string, time: number) {
    this.submitter = submitter;
    this.time = time;
  }

  /** How many wait. */
  get length(): number {
    return this.#length;
  }

  /** The next to start. */
  get first(): Entry | undefined {
    return this.#first;
  }

  /** Adds a job. */
  push(ticket: Ticket): void {
    const key = keyOf(ticket);
    this.#byPriority[ticket.priority].add({ ticket, key, passes: 0 });
    this.#length++;
    this.#first = this.#findFirst();
  }

  /** Takes a job out; tells whether it was there. */
  remove(ticket: Ticket): boolean {
    const line = this.#byPriority[ticket.priority];
    const index = line.find(keyOf(ticket), ticket.id);
    if (index < 0) return false;
    line.remove(index);
    this.#length--;
    this.#first = this.#findFirst();
    return true;
  }

  #findFirst(): Entry | undefined {
    let first: Entry | undefined;
    for (const priority of PRIORITIES) {
      const entry = this.#byPriority[priority].first;
      if (entry !== undefined && (first === undefined || entry.key < first.key)) first = entry;
    }
    return first;
  }

  /** The entry of a job and how many of the queue start before it. */
  find(ticket: Ticket): { entry: Entry; index: number } | undefined {
    const place = this.#byPriority[ticket.priority].find(keyOf(ticket), ticket.id);
    if (place < 0) return undefined;
    const entry = this.#byPriority[ticket.priority].at(place)!;
    return { entry, index: this.#rank(ticket.priority, place) };
  }

  /** The entry that starts after `index` others of the queue. */
  at(index: number): Entry | undefined {
    if (index === 0) return this.#first;
    for (const priority of PRIORITIES) {
      // Ranks rise along a line, so that the one looked for is found by halving, if it is there.
      let [low, high] = [0, this.#byPriority[priority].length];
      while (low < high) {
        const middle = (low + high) >>> 1;
        const rank = this.#rank(priority, middle);
        if (rank === index) return this.#byPriority[priority].at(middle);
        if (rank < index) low = middle + 1;
        else high = middle;
      }
    }
    return undefined;
  }

  /** How many of the queue start before the entry at a place of a line. */
  #rank(priority: JobPriority, place: number): number {
    const { key } = this.#byPriority[priority].at(place)!;
    let rank = place;
    let goesFirst = true;
    for (const other of PRIORITIES) {
      if (other === priority) goesFirst = false;
      else rank += this.#byPriority[other].upTo(goesFirst ? key : key - 1);
    }
    return rank;
  }
}

function keyOf({ createdAt, priority }: Ticket): number {
  return createdAt - PRIORITY_MS[priority];
}
