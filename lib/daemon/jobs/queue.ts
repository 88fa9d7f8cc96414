/**
 * Bounded job queue: fair between submitters, ordered by priority within one, limited by a memory budget. It has
 * no clock and stores only tickets, so that its order is deterministic.
 *
 * Between submitters it is start-time fair queueing with every job at the same cost: each submitter has
 * a virtual time that rises by one for each of its jobs that starts, and the lowest goes next. A flood
 * by one submitter does not delay others, and "high" priority only reorders a submitter's own jobs.
 *
 * Within a submitter priority decides (see queue.ts). Each step costs at most the logarithm of how many
 * wait, so that a long queue is no slower than a short one.
 * @module
 */
import { Heap } from "../../util/mod.ts";
import { type Entry, isBefore, SubmitterQueue, type Ticket } from "./submitter_queue.ts";

export { type Ticket } from "./submitter_queue.ts";

/** Bounds of the queue; may change while it is used. */
export interface QueueLimits {
  /** Jobs that run at once. */
  concurrency: number;
  /** Memory of running jobs together, in MiB. */
  memoryMb: number;
}

/**
 * Maximum number of jobs that may overtake the next one while it lacks memory; then all wait until it fits.
 * Without it small jobs could starve a large one.
 */
export const MAX_PASSES = 16;

/**
 * Maximum number of jobs that do not fit to skip in search of one that fits; bounds the cost of next().
 */
export const MAX_LOOKS = 64;

/** Other submitters that a position is computed from; with more it is an estimate (see position()). */
export const POSITION_SAMPLE = 1000;

/** Beyond this most of the order is out of date (who submits and cancels, and nothing starts): made anew. */
const MAX_PLACES_PER_SUBMITTER = 4;

/** A submitter who may not start before a virtual time. */
interface Turn {
  submitter: string;
  time: number;
}

/** Decides which job runs next. */
export class JobQueue {
  #limits: QueueLimits;
  readonly #queues = new Map<string, SubmitterQueue>();
  /** Submitter queues in the order in which their first jobs start, with what that order was made from. */
  #order = new Heap<Place>(startsBefore);
  readonly #running = new Map<string, Ticket>();
  #waiting = 0;
  #runningMemory = 0;
  /** Virtual time of the last start; an idle submitter accumulates no credit. */
  #now = 0;
  /** Times of submitters of whom nothing waits, while they lie ahead: coming back must not skip them. */
  readonly #turns = new Map<string, number>();
  /** The same by time, to forget those that are over; some are out of date. */
  readonly #turnsByTime = new Heap<Turn>((a, b) => a.time < b.time);
  readonly #runningOf = new Map<string, number>();

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
    return (this.#queues.get(submitter)?.length ?? 0) + (this.#runningOf.get(submitter) ?? 0);
  }

  /** Changes the bounds; running jobs run on. */
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

  /** Takes a waiting job out; tells whether it was there. */
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

  /** Notes where a queue now stands; where it stood before is found out of date when it is met. */
  #place(queue: SubmitterQueue): void {
    this.#order.push({ queue, time: queue.time, first: queue.first! });
    if (this.#order.size <= MAX_PLACES_PER_SUBMITTER * this.#queues.size) return;
    this.#order = new Heap(startsBefore);
    for (const each of this.#queues.values()) {
      this.#order.push({ queue: each, time: each.time, first: each.first! });
    }
  }

  /** The queue that starts next, taken out of the order. */
  #popLane(): Place | undefined {
    while (true) {
      const place = this.#order.pop();
      if (place === undefined) return undefined;
      const { queue, time, first } = place;
      if (this.#queues.get(queue.submitter) !== queue) continue;
      if (queue.time === time && queue.first === first) return place;
    }
  }

  /**
   * How many jobs start before a waiting one, if no more come and memory is no matter; `undefined`
   * when it does not wait. While more than {@linkcode POSITION_SAMPLE} others have jobs waiting it is
   * estimated from that many, because each submission asks for it.
   */
  position(ticket: Ticket): number | undefined {
    const own = this.#queues.get(ticket.submitter);
    const found = own?.find(ticket);
    if (own === undefined || found === undefined) return undefined;
    const time = own.time + found.index;
    let [before, looked] = [0, 0];
    for (const queue of this.#queues.values()) {
      if (queue === own) continue;
      // Entry j of a queue has the time queue.time + j, so that these many are certainly before.
      const earlier = Math.min(Math.max(time - queue.time, 0), queue.length);
      before += earlier;
      const rival = queue.time + earlier === time ? queue.at(earlier) : undefined;
      if (rival !== undefined && isBefore(rival, found.entry)) before++;
      if (++looked === POSITION_SAMPLE) break;
    }
    const others = this.#queues.size - 1;
    return found.index + (looked < others ? Math.round(before * others / looked) : before);
  }

  /**
   * The job to start now, which then counts as running until {@linkcode release}; `undefined` when
   * nothing waits or nothing fits.
   */
  next(): Ticket | undefined {
    if (this.#waiting === 0 || this.#running.size >= this.#limits.concurrency) return undefined;
    const free = this.#limits.memoryMb - this.#runningMemory;
    const passed: Place[] = [];
    let started: Ticket | undefined;
    while (started === undefined && passed.length < MAX_LOOKS) {
      const place = this.#popLane();
      if (place === undefined) break;
      const { queue, first } = place;
      // A job over the whole budget (which was larger once) runs alone rather than never.
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
    this.#forgetTurns();
    this.#take(queue, ticket);
    this.#running.set(ticket.id, ticket);
    this.#runningOf.set(submitter, (this.#runningOf.get(submitter) ?? 0) + 1);
    this.#runningMemory += ticket.memoryMb;
    return ticket;
  }

  #forgetTurns(): void {
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

/** A queue in the order of starts, as it was when it was put there. */
interface Place {
  queue: SubmitterQueue;
  time: number;
  first: Entry;
}

function startsBefore(a: Place, b: Place): boolean {
  return a.time < b.time || (a.time === b.time && isBefore(a.first, b.first));
}
