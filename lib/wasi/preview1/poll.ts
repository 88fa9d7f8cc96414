/**
 * Implements `poll_oneoff`, which waits for clocks and descriptors.
 *
 * @module
 */
import { CLOCK, type Deadline, isClock } from "../clock.ts";
import {
  ERRNO,
  EVENT_HANGUP,
  EVENT_SIZE,
  EVENTTYPE,
  RIGHT,
  SUBCLOCK_ABSTIME,
  SUBSCRIPTION_SIZE,
} from "../abi.ts";
import type { WasiContext, WasiFunctions } from "./call_context.ts";

/**
 * Most subscriptions per call: more than a job can have descriptors, few enough to keep a call short.
 */
export const MAX_SUBSCRIPTIONS = 8192;

/** A subscription. All are read before any event is written, because the two arrays may overlap. */
interface Subscription {
  userdata: bigint;
  type: number;
  /** Descriptor of a read or write. */
  fd: number;
  /** Wake-up time of a valid clock subscription. */
  deadline: Deadline | undefined;
  /** Errno known without waiting; 0 if there is none. */
  errno: number;
}

/** An event to report. */
interface Event {
  subscription: Subscription;
  errno: number;
  bytes: number;
  flags: number;
}

/** Returns `poll_oneoff`. */
export function poll(context: WasiContext): WasiFunctions {
  const { memory, host, clocks, use } = context;
  return {
    poll_oneoff(input: number, output: number, count: number, result: number): number {
      const subscriptions = count >>> 0;
      if (subscriptions === 0 || subscriptions > MAX_SUBSCRIPTIONS) return ERRNO.INVAL;
      if (
        !memory.ok(input >>> 0, subscriptions * SUBSCRIPTION_SIZE) ||
        !memory.ok(output >>> 0, subscriptions * EVENT_SIZE) || !memory.ok(result >>> 0, 4)
      ) return ERRNO.FAULT;
      const list = Array.from(
        { length: subscriptions },
        (_, i) => read(context, (input >>> 0) + i * SUBSCRIPTION_SIZE),
      );
      use("poll");
      const watchStdin = list.some((subscription) => waitsForStdin(context, subscription));
      const deadlines = list.flatMap(({ deadline }) => deadline ?? []);
      let events = ready(context, list);
      while (events.length === 0) {
        clocks.waitFor(deadlines, (ms) => host.wait(ms, watchStdin));
        events = ready(context, list);
      }
      events.forEach((event, i) => write(context, (output >>> 0) + i * EVENT_SIZE, event));
      memory.view.setUint32(result >>> 0, events.length, true);
      return 0;
    },
  };
}

function read({ memory: { view }, clocks }: WasiContext, at: number): Subscription {
  const type = view.getUint8(at + 8);
  const subscription: Subscription = {
    userdata: view.getBigUint64(at, true),
    type,
    fd: view.getUint32(at + 16, true),
    deadline: undefined,
    errno: type > EVENTTYPE.FD_WRITE ? ERRNO.INVAL : 0,
  };
  if (type !== EVENTTYPE.CLOCK) return subscription;
  const clock = view.getUint32(at + 16, true);
  const flags = view.getUint16(at + 40, true);
  if (!isClock(clock) || (flags & ~SUBCLOCK_ABSTIME) !== 0) subscription.errno = ERRNO.INVAL;
  // A CPU clock does not advance while the job waits, so the wait would never end.
  else if (clock !== CLOCK.REALTIME && clock !== CLOCK.MONOTONIC) subscription.errno = ERRNO.NOTSUP;
  else {
    subscription.deadline = clocks.deadline({
      clock,
      timeoutNs: view.getBigUint64(at + 24, true),
      isAbsolute: (flags & SUBCLOCK_ABSTIME) !== 0,
    });
  }
  return subscription;
}

/** Events that are ready, in subscription order. */
function ready(context: WasiContext, list: readonly Subscription[]): Event[] {
  const events: Event[] = [];
  for (const subscription of list) {
    const event = check(context, subscription);
    if (event !== undefined) events.push(event);
  }
  return events;
}

function check(context: WasiContext, subscription: Subscription): Event | undefined {
  const { fds, host, clocks } = context;
  const event: Event = { subscription, errno: subscription.errno, bytes: 0, flags: 0 };
  if (event.errno !== 0) return event;
  if (subscription.type === EVENTTYPE.CLOCK) {
    return clocks.isReached(subscription.deadline!) ? event : undefined;
  }
  const reads = subscription.type === EVENTTYPE.FD_READ;
  const descriptor = fds.get(subscription.fd);
  const right = reads ? RIGHT.FD_READ : RIGHT.FD_WRITE;
  if (descriptor === undefined || (descriptor.rights & right) === 0) {
    event.errno = ERRNO.BADF;
  } else if (descriptor.kind === "stdin") {
    const { bytes, ended } = host.stdinReady();
    if (bytes === 0 && !ended) return undefined;
    event.bytes = bytes;
    event.flags = bytes === 0 ? EVENT_HANGUP : 0;
  } else if (descriptor.kind === "file" && reads) {
    event.bytes = Math.max(0, descriptor.inode.content.size - descriptor.offset);
  } else {
    // Writes to files never wait, and the host's streams block inside write().
    event.bytes = 1;
  }
  return event;
}

function waitsForStdin({ fds }: WasiContext, { type, fd, errno }: Subscription): boolean {
  return errno === 0 && type === EVENTTYPE.FD_READ && fds.get(fd)?.kind === "stdin";
}

function write({ memory }: WasiContext, at: number, event: Event): void {
  const { view } = memory;
  view.setBigUint64(at, event.subscription.userdata, true);
  view.setUint16(at + 8, event.errno, true);
  view.setUint8(at + 10, event.subscription.type);
  // Padding is zeroed, so that every byte of the event is deterministic.
  view.setUint8(at + 11, 0);
  view.setUint32(at + 12, 0, true);
  memory.setU64(at + 16, event.bytes);
  memory.setU64(at + 24, event.flags);
}
