import { assertEquals } from "@std/assert";
import { FakeGuest, FakeHost, ROOT_FD } from "../../../tests/fixtures/fake_guest.ts";
import { CLOCK } from "../clock.ts";
import { ERRNO, EVENT_HANGUP, EVENTTYPE, OFLAG, SUBCLOCK_ABSTIME } from "../abi.ts";
import { MAX_SUBSCRIPTIONS } from "./poll.ts";

const INPUT = 4096;
const OUTPUT = 8192;
const COUNT = 2048;
const MS = 1_000_000n;

type Subscription =
  | { clock: number; timeout: bigint; flags?: number }
  | { read: number }
  | { write: number }
  | { tag: number };

interface Event {
  userdata: bigint;
  errno: number;
  type: number;
  bytes: number;
  flags: number;
}

/** A guest whose clock advances only while it waits. */
function sleeper(options: { stdin?: string; ended?: boolean; inputAfterMs?: number } = {}) {
  const time = { ms: 50_000.01234 };
  const host: FakeHost = new FakeHost({
    ...options,
    onWait(ms, watchStdin) {
      const { inputAfterMs = Infinity } = options;
      if (watchStdin && inputAfterMs < ms) {
        time.ms += inputAfterMs;
        host.stdin = new TextEncoder().encode("late");
      } else {
        time.ms += ms;
      }
    },
  });
  const now = { realtimeMs: () => time.ms, monotonicMs: () => time.ms };
  return { guest: new FakeGuest({ host, now }), host, time };
}

function poll(guest: FakeGuest, list: Subscription[]): Event[] | number {
  guest.bytes.fill(0, INPUT, INPUT + list.length * 48);
  list.forEach((subscription, i) => {
    const at = INPUT + i * 48;
    guest.view.setBigUint64(at, BigInt(i + 100), true);
    if ("clock" in subscription) {
      guest.view.setUint8(at + 8, EVENTTYPE.CLOCK);
      guest.view.setUint32(at + 16, subscription.clock, true);
      guest.view.setBigUint64(at + 24, subscription.timeout, true);
      guest.view.setUint16(at + 40, subscription.flags ?? 0, true);
    } else if ("tag" in subscription) {
      guest.view.setUint8(at + 8, subscription.tag);
    } else {
      const reads = "read" in subscription;
      guest.view.setUint8(at + 8, reads ? EVENTTYPE.FD_READ : EVENTTYPE.FD_WRITE);
      guest.view.setUint32(at + 16, reads ? subscription.read : subscription.write, true);
    }
  });
  const errno = guest.call("poll_oneoff", INPUT, OUTPUT, list.length, COUNT);
  if (errno !== 0) return -errno;
  return Array.from({ length: guest.view.getUint32(COUNT, true) }, (_, i) => {
    const at = OUTPUT + i * 32;
    return {
      userdata: guest.view.getBigUint64(at, true),
      errno: guest.view.getUint16(at + 8, true),
      type: guest.view.getUint8(at + 10),
      bytes: Number(guest.view.getBigUint64(at + 16, true)),
      flags: guest.view.getUint16(at + 24, true),
    };
  });
}

const fired = { userdata: 100n, errno: 0, type: EVENTTYPE.CLOCK, bytes: 0, flags: 0 };

Deno.test("poll_oneoff() waits once until the earliest clock", () => {
  const { guest, host } = sleeper({ ended: false });
  const events = poll(guest, [
    { clock: CLOCK.REALTIME, timeout: 900n * MS },
    { clock: CLOCK.MONOTONIC, timeout: 20n * MS },
  ]);
  assertEquals(events, [{ ...fired, userdata: 101n }]);
  assertEquals(host.waits.length, 1);
  assertEquals(Math.round(host.waits[0]!.ms * 1e6), 20e6);
  assertEquals(host.waits[0]!.watchStdin, false);
});

Deno.test("poll_oneoff() wakes from an absolute timeout when the guest's clock shows it", () => {
  const { guest } = sleeper();
  const now = () => {
    guest.call("clock_time_get", CLOCK.MONOTONIC, 0n, COUNT);
    return guest.view.getBigUint64(COUNT, true);
  };
  const deadline = now() + 10n * MS + 12_345n;
  const flags = SUBCLOCK_ABSTIME;
  assertEquals(poll(guest, [{ clock: CLOCK.MONOTONIC, timeout: deadline, flags }]), [fired]);
  assertEquals(now() >= deadline, true);
  assertEquals(poll(guest, [{ clock: CLOCK.MONOTONIC, timeout: 0n, flags }]), [fired]);
});

Deno.test("poll_oneoff() wakes for standard input before the clock", () => {
  const { guest, host } = sleeper({ ended: false, inputAfterMs: 5 });
  const events = poll(guest, [{ clock: CLOCK.MONOTONIC, timeout: 200n * MS }, { read: 0 }]);
  const read = { userdata: 101n, errno: 0, type: EVENTTYPE.FD_READ, bytes: 4, flags: 0 };
  assertEquals(events, [read]);
  assertEquals(host.waits.map(({ watchStdin }) => watchStdin), [true]);
});

Deno.test("poll_oneoff() waits without a timeout for standard input alone", () => {
  const { guest, host } = sleeper({ ended: false, inputAfterMs: 1e9 });
  assertEquals((poll(guest, [{ read: 0 }]) as Event[])[0]!.bytes, 4);
  assertEquals(host.waits, [{ ms: Infinity, watchStdin: true }]);
});

Deno.test("poll_oneoff() reports the end of standard input as a hangup", () => {
  const { guest, host } = sleeper();
  assertEquals(poll(guest, [{ read: 0 }]), [
    { ...fired, type: EVENTTYPE.FD_READ, flags: EVENT_HANGUP },
  ]);
  assertEquals(host.waits, []);
});

Deno.test("poll_oneoff() reports outputs and files as ready at once", () => {
  const { guest, host } = sleeper({ ended: false });
  const file = guest.open("file", { oflags: OFLAG.CREAT });
  guest.write(file, "12345");
  guest.call("fd_seek", file, 2n, 0, COUNT);
  const events = poll(guest, [
    { clock: CLOCK.MONOTONIC, timeout: 200n * MS },
    { write: 1 },
    { write: 2 },
    { read: file },
    { write: file },
    { read: 0 },
  ]) as Event[];
  assertEquals(events.map(({ userdata, bytes }) => [userdata, bytes]), [
    [101n, 1],
    [102n, 1],
    [103n, 3],
    [104n, 1],
  ]);
  assertEquals(host.waits, []);
});

Deno.test("poll_oneoff() reports invalid subscriptions in their events", () => {
  const { guest } = sleeper({ ended: false });
  const events = poll(guest, [
    { read: 99 },
    { read: 1 },
    { write: 0 },
    { read: ROOT_FD },
    { clock: 9, timeout: 0n },
    { clock: CLOCK.MONOTONIC, timeout: 0n, flags: 2 },
    { clock: CLOCK.PROCESS_CPUTIME, timeout: 0n },
    { tag: 3 },
  ]) as Event[];
  const { BADF, INVAL, NOTSUP } = ERRNO;
  const expected = [BADF, BADF, BADF, BADF, INVAL, INVAL, NOTSUP, INVAL];
  assertEquals(events.map(({ errno }) => errno), expected);
});

Deno.test("poll_oneoff() rejects zero, too many and out-of-bounds subscriptions", () => {
  const { guest } = sleeper();
  const call = (input: number, output: number, count: number, result = COUNT) =>
    guest.call("poll_oneoff", input, output, count, result);
  assertEquals(call(INPUT, OUTPUT, 0), ERRNO.INVAL);
  assertEquals(call(INPUT, OUTPUT, MAX_SUBSCRIPTIONS + 1), ERRNO.INVAL);
  assertEquals(call(INPUT, OUTPUT, -1), ERRNO.INVAL);
  const end = guest.bytes.length;
  assertEquals(call(end - 47, OUTPUT, 1), ERRNO.FAULT);
  assertEquals(call(INPUT, end - 31, 1), ERRNO.FAULT);
  assertEquals(call(INPUT, OUTPUT, 1, end - 3), ERRNO.FAULT);
  assertEquals(call(-1, OUTPUT, 1), ERRNO.FAULT);
});

/** A guest of the deterministic profile, whose host must not be asked to sleep. */
function virtual(host: FakeHost = new FakeHost()): FakeGuest {
  return new FakeGuest({ host, deterministic: { seed: new Uint8Array(32), epochMs: 0 } });
}

Deno.test("poll_oneoff() sleeps without waiting in the deterministic profile", () => {
  const host = new FakeHost();
  const guest = virtual(host);
  const day = 86_400_000n * MS;
  const events = poll(guest, [
    { clock: CLOCK.MONOTONIC, timeout: day + 1n },
    { clock: CLOCK.REALTIME, timeout: day },
    { clock: CLOCK.REALTIME, timeout: day, flags: SUBCLOCK_ABSTIME },
    { clock: CLOCK.PROCESS_CPUTIME, timeout: day },
  ]) as Event[];
  assertEquals(events.map(({ userdata, errno }) => [userdata, errno]), [[103n, ERRNO.NOTSUP]]);
  const slept = poll(guest, [
    { clock: CLOCK.MONOTONIC, timeout: day + 1n },
    { clock: CLOCK.REALTIME, timeout: day },
    { clock: CLOCK.REALTIME, timeout: day, flags: SUBCLOCK_ABSTIME },
  ]) as Event[];
  assertEquals(slept.map(({ userdata }) => userdata), [101n, 102n]);
  assertEquals(guest.call("clock_time_get", CLOCK.REALTIME, 0n, COUNT), 0);
  assertEquals(guest.view.getBigUint64(COUNT, true), day);
  assertEquals(host.waits, []);
});

Deno.test("poll_oneoff() finds input in the deterministic profile, however late it arrives", () => {
  for (const stdin of ["now", ""]) {
    const host: FakeHost = new FakeHost({
      stdin,
      ended: false,
      onWait: () => host.stdin = new TextEncoder().encode("late"),
    });
    const events = poll(virtual(host), [
      { clock: CLOCK.MONOTONIC, timeout: 1n },
      { read: 0 },
    ]) as Event[];
    assertEquals(events.map(({ userdata, bytes, flags }) => [userdata, bytes, flags]), [
      [101n, 1, 0],
    ]);
  }
  const ended = poll(virtual(), [{ read: 0 }]) as Event[];
  assertEquals(ended.map(({ bytes, flags }) => [bytes, flags]), [[0, EVENT_HANGUP]]);
});
