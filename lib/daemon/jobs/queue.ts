/**
 * Bounded job queue: fair between submitters, ordered by priority within one, limited by a memory budget.
 *
 * Start-time fair queueing with equal cost per job: each submitter has a virtual time that increases by one with each
 * of its jobs that starts, and the lowest virtual time starts next. One submitter's flood does not delay others, and
 * priority only reorders a submitter's own jobs. A priority is worth waiting time (see {@linkcode PRIORITY_MS}): an
 * hour-old "low" job starts before a new "high" one, so none starves.
 *
 * Each step costs at most the logarithm of the number of queued jobs. The queue reads no clock and stores only tickets,
 * so its order is deterministic.
 * @module
 */
import type { Priority } from "../../core/mod.ts";
import { Heap } from "../../util/mod.ts";

/** Limits of the queue; may change at any time. */
export interface QueueLimits {
  /** Maximum number of running jobs. */
  concurrency: number;
  /** Maximum total memory of running jobs, in MiB. */
  memoryMb: number;
}

/**
 * Maximum number of jobs that may overtake the next one while it lacks memory; then all wait until it fits. Prevents
 * small jobs from starving a large one.
 */
export const MAX_PASSES = 16;

/** Maximum number of jobs skipped for lack of memory in one call of next(); bounds its cost. */
export const MAX_LOOKS = 64;

/** Maximum number of submitters that a position is computed from; beyond it the position is an estimate. */
export const POSITION_SAMPLE = 1000;

/** Places per submitter above which the order is rebuilt: submissions and cancellations make places stale. */
const MAX_PLACES_PER_SUBMITTER = 4;

/** Submitter whose next job starts no earlier than a virtual time. */
interface Turn {
  submitter: string;
  time: number;
}

/** Decides which job runs next. */
export class JobQueue {
  #limits: QueueLimits;
  readonly #queues = new Map<string, SubmitterQueue>();
  /** Submitter queues in the order in which their first jobs start; may contain stale places. */
  #order = new Heap<Place>(startsBefore);
  readonly #running = new Map<string, Ticket>();
  #waiting = 0;
  #runningMemory = 0;
  /** Virtual time of the last start; an idle submitter accumulates no credit. */
  #now = 0;
  /** Future virtual times of submitters without queued jobs: a submitter that returns must not start earlier. */
  readonly #turns = new Map<string, number>();
  /** The same ordered by time, to evict past ones; may contain stale entries. */
  readonly #turnsByTime = new Heap<Turn>((a, b) => a.time < b.time);
  readonly #runningOf = new Map<string, number>();

  constructor(limits: QueueLimits) {
    this.#limits = { ...limits };
  }

  /** Number of queued jobs. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Number of running jobs. */
  get running(): number {
    return this.#running.size;
  }

  /** Memory of running jobs, in MiB. */
  get runningMemoryMb(): number {
    return this.#runningMemory;
  }

  /** Queued and running jobs of one submitter. */
  countOf(submitter: string): number {
    return (this.#queues.get(submitter)?.length ?? 0) + (this.#runningOf.get(submitter) ?? 0);
  }

  /** Changes the limits; running jobs continue. */
  setLimits(limits: QueueLimits): void {
    this.#limits = { ...limits };
  }

  /** Adds a job. */
  push(ticket: Ticket): void {
    const { submitter } = ticket;
    let queue = this.#queues.get(submitter);
    if (queue === undefined) {
      queue = new SubmitterQueue(submitter, this.#turns.get(submitter) ?? this.#now);
      this.#queues.set(submitter, queue);
    }
    queue.push(ticket);
    this.#waiting++;
    if (queue.first?.ticket === ticket) this.#place(queue);
  }

  /** Removes a queued job; returns whether it was queued. */
  remove(ticket: Ticket): boolean {
    const queue = this.#queues.get(ticket.submitter);
    return queue !== undefined && this.#take(queue, ticket);
  }

  #take(queue: SubmitterQueue, ticket: Ticket): boolean {
    const { first } = queue;
    if (!queue.remove(ticket)) return false;
    this.#waiting--;
    if (queue.length === 0) this.#queues.delete(queue.submitter);
    else if (first?.ticket === ticket) this.#place(queue);
    return true;
  }

  /** Adds the current place of a queue; its earlier place becomes stale. */
  #place(queue: SubmitterQueue): void {
    this.#order.push({ queue, time: queue.time, first: queue.first! });
    if (this.#order.size <= MAX_PLACES_PER_SUBMITTER * this.#queues.size) return;
    this.#order = new Heap(startsBefore);
    for (const each of this.#queues.values()) {
      this.#order.push({ queue: each, time: each.time, first: each.first! });
    }
  }

  /** Removes the queue that starts next from the order. */
  #popPlace(): Place | undefined {
    while (true) {
      const place = this.#order.pop();
      if (place === undefined) return undefined;
      const { queue, time, first } = place;
      if (this.#queues.get(queue.submitter) !== queue) continue;
      if (queue.time === time && queue.first === first) return place;
    }
  }

  /**
   * Number of jobs that start before a queued one, without regard to memory and later submissions; `undefined` if it is
   * not queued. With more than {@linkcode POSITION_SAMPLE} other submitters it is an estimate from that many, because
   * each submission computes it.
   */
  position(ticket: Ticket): number | undefined {
    const own = this.#queues.get(ticket.submitter);
    const found = own?.find(ticket);
    if (own === undefined || found === undefined) return undefined;
    const time = own.time + found.index;
    let [before, sampled] = [0, 0];
    for (const queue of this.#queues.values()) {
      if (queue === own) continue;
      // Entry j of a queue has the virtual time queue.time + j.
      const earlier = Math.min(Math.max(time - queue.time, 0), queue.length);
      before += earlier;
      const rival = queue.time + earlier === time ? queue.at(earlier) : undefined;
      if (rival !== undefined && isBefore(rival, found.entry)) before++;
      if (++sampled === POSITION_SAMPLE) break;
    }
    const others = this.#queues.size - 1;
    return found.index + (sampled < others ? Math.round(before * others / sampled) : before);
  }

  /**
   * Starts the next job: it counts as running until {@linkcode release}. Returns `undefined` if none is queued or none
   * fits.
   */
  next(): Ticket | undefined {
    if (this.#waiting === 0 || this.#running.size >= this.#limits.concurrency) return undefined;
    const free = this.#limits.memoryMb - this.#runningMemory;
    const passed: Place[] = [];
    let started: Ticket | undefined;
    while (started === undefined && passed.length < MAX_LOOKS) {
      const place = this.#popPlace();
      if (place === undefined) break;
      const { queue, first } = place;
      // A job above the whole budget, accepted before a reload lowered it, runs alone.
      if (first.ticket.memoryMb <= free || this.#running.size === 0) {
        for (const { first } of passed) first.passes++;
        started = this.#start(queue, first);
      } else {
        passed.push(place);
        if (first.passes >= MAX_PASSES) break;
      }
    }
    for (const place of passed) this.#order.push(place);
    return started;
  }

  #start(queue: SubmitterQueue, { ticket }: Entry): Ticket {
    const { submitter } = queue;
    this.#now = Math.max(this.#now, queue.time);
    queue.time = this.#now + 1;
    this.#turns.set(submitter, queue.time);
    this.#turnsByTime.push({ submitter, time: queue.time });
    this.#evictPastTurns();
    this.#take(queue, ticket);
    this.#running.set(ticket.id, ticket);
    this.#runningOf.set(submitter, (this.#runningOf.get(submitter) ?? 0) + 1);
    this.#runningMemory += ticket.memoryMb;
    return ticket;
  }

  #evictPastTurns(): void {
    for (let turn = this.#turnsByTime.peek(); turn !== undefined && turn.time <= this.#now;) {
      if (this.#turns.get(turn.submitter) === turn.time) this.#turns.delete(turn.submitter);
      this.#turnsByTime.pop();
      turn = this.#turnsByTime.peek();
    }
  }

  /** Releases the slot of a running job. */
  release(ticket: Ticket): void {
    if (!this.#running.delete(ticket.id)) return;
    const { submitter, memoryMb } = ticket;
    const left = (this.#runningOf.get(submitter) ?? 0) - 1;
    if (left > 0) this.#runningOf.set(submitter, left);
    else this.#runningOf.delete(submitter);
    this.#runningMemory -= memoryMb;
  }
}

/** Place of a queue in the order of starts; stale once the queue's time or first entry changes. */
interface Place {
  queue: SubmitterQueue;
  time: number;
  first: Entry;
}

function startsBefore(a: Place, b: Place): boolean {
  return a.time < b.time || (a.time === b.time && isBefore(a.first, b.first));
}

/** Job in the queue. */
export interface Ticket {
  /** Job id. */
  id: string;
  /** Submitter of the job. */
  submitter: string;
  /** Priority among the submitter's jobs. */
  priority: Priority;
  /** Memory limit of the job, in MiB. */
  memoryMb: number;
  /** Time of acceptance, in Unix milliseconds. */
  createdAt: number;
}

/** Head start of each priority over "low", in milliseconds of waiting. */
export const PRIORITY_MS: Readonly<Record<Priority, number>> = {
  low: 0,
  normal: 60_000,
  high: 600_000,
};

/** Order of priorities among equal keys: a lower priority has waited longer. */
const PRIORITIES = ["low", "normal", "high"] as const;

/** Queued job. */
export interface Entry {
  ticket: Ticket;
  /** Sort key; the lowest starts first. */
  key: number;
  /** Number of jobs that overtook it while it lacked memory. */
  passes: number;
}

/** Whether one submitter's entry starts before another's at the same virtual time. */
export function isBefore(a: Entry, b: Entry): boolean {
  return a.key < b.key || (a.key === b.key && a.ticket.submitter < b.ticket.submitter);
}

/**
 * Entries of one priority, sorted by key. Adding and removing at the ends is O(1); only after the wall clock steps back
 * is an entry inserted in between.
 */
class SortedEntries {
  #entries: Entry[] = [];
  /** Index of the first entry: shifting the array on each removal would be quadratic. */
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

  /** Number of entries with a key of at most `key`. */
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

  /** Index of a ticket among the entries of its key, or -1. */
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

/** Priority queue of one submitter's jobs. */
export class SubmitterQueue {
  readonly submitter: string;
  /** Virtual time of its next start. */
  time: number;
  readonly #byPriority: Record<Priority, SortedEntries> = {
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

  /** Number of queued jobs. */
  get length(): number {
    return this.#length;
  }

  /** Entry that starts next. */
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

  /** Removes a job; returns whether it was queued. */
  remove(ticket: Ticket): boolean {
    const entries = this.#byPriority[ticket.priority];
    const index = entries.find(keyOf(ticket), ticket.id);
    if (index < 0) return false;
    entries.remove(index);
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

  /** Finds the entry of a job and the number of entries that start before it. */
  find(ticket: Ticket): { entry: Entry; index: number } | undefined {
    const place = this.#byPriority[ticket.priority].find(keyOf(ticket), ticket.id);
    if (place < 0) return undefined;
    const entry = this.#byPriority[ticket.priority].at(place)!;
    return { entry, index: this.#rank(ticket.priority, place) };
  }

  /** Entry that starts after `index` others of the queue. */
  at(index: number): Entry | undefined {
    if (index === 0) return this.#first;
    for (const priority of PRIORITIES) {
      // Ranks increase within a priority: binary search.
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

  /** Number of entries that start before the one at an index of a priority. */
  #rank(priority: Priority, place: number): number {
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

/** Smoothing factor of the moving average: recent jobs dominate after about five samples. */
const WEIGHT = 0.2;

// Bounds: retrying sooner only adds load; beyond a minute the estimate is meaningless.
const SHORTEST_MS = 1000;
const LONGEST_MS = 60_000;

/** Exponential moving average of job durations. */
export class RetryAfterEstimator {
  #averageMs = SHORTEST_MS;

  /** Records the duration of a finished job. */
  add(durationMs: number): void {
    this.#averageMs += WEIGHT * (durationMs - this.#averageMs);
  }

  /** Estimated time until a queue slot frees up, in milliseconds. */
  retryAfterMs(waiting: number, concurrency: number): number {
    // Each start frees one slot, but all rejected clients compete for it.
    const drained = this.#averageMs * Math.max(1, waiting / 2) / Math.max(1, concurrency);
    return Math.round(Math.min(LONGEST_MS, Math.max(SHORTEST_MS, drained)));
  }
}
