import { assertEquals, assertThrows } from "@std/assert";
import {
  BUFFER_POINTER,
  FakeGuest,
  FakeHost,
  type Filestat,
  RESULT_POINTER,
} from "../../../tests/fixtures/fake_guest.ts";
import { FDFLAG } from "../abi.ts";
import { CLOCK } from "../clock.ts";

const EPOCH_MS = 1_700_000_000_000;
const EPOCH_NS = 1_700_000_000_000_000_000n;

const deterministic = { seed: new Uint8Array(32), epochMs: EPOCH_MS };

/** Standard input whose chunks arrive one by one, each when the guest would block. */
class TricklingHost extends FakeHost {
  #chunks: string[];

  constructor(chunks: string[]) {
    super({ ended: false });
    this.#chunks = chunks;
  }

  override wait(ms: number, watchStdin: boolean): boolean {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) this.ended = true;
    else this.stdin = new TextEncoder().encode(chunk);
    return super.wait(ms, watchStdin);
  }

  override readStdin(buffer: Uint8Array): number {
    if (this.stdin.length === 0 && !this.ended) this.wait(Infinity, true);
    return super.readStdin(buffer);
  }
}

function time(guest: FakeGuest, id: number): bigint {
  assertEquals(guest.call("clock_time_get", id, 0n, RESULT_POINTER), 0);
  return guest.result64;
}

function random(guest: FakeGuest, length: number): string {
  assertEquals(guest.call("random_get", BUFFER_POINTER, length), 0);
  return guest.bytes.slice(BUFFER_POINTER, BUFFER_POINTER + length).toHex();
}

Deno.test("clock_time_get() reads virtual clocks in the deterministic profile", () => {
  const guest = new FakeGuest({ deterministic });
  assertEquals(time(guest, CLOCK.REALTIME), EPOCH_NS);
  assertEquals(time(guest, CLOCK.MONOTONIC), 1_000_100_000n);
});

Deno.test("random_get() and /dev/urandom share one seeded stream in the deterministic profile", () => {
  const guest = new FakeGuest({ deterministic });
  assertEquals(random(guest, 4), "76b8e0ad");
  const fd = guest.open("dev/urandom", { rights: 2 });
  guest.read(fd, 4);
  assertEquals(guest.bytes.slice(BUFFER_POINTER, BUFFER_POINTER + 4).toHex(), "a0f13d90");
  assertEquals(random(guest, 4), "405d6ae5");
});

Deno.test("path_filestat_get() returns fixed and virtual times in the deterministic profile", () => {
  const inputs = [{ path: "in", data: new Uint8Array(3), mtimeMs: 5 }];
  const guest = new FakeGuest({ deterministic, inputs });
  const times = (path: string): bigint[] => {
    const { atim, mtim, ctim } = guest.stat(path) as Filestat;
    return [atim, mtim, ctim];
  };
  assertEquals(times("in"), [5_000_000n, 5_000_000n, 5_000_000n]);
  assertEquals(times("."), [0n, 0n, 0n]);
  assertEquals(times("dev/null"), [0n, 0n, 0n]);
  time(guest, CLOCK.REALTIME);
  guest.create("new");
  const now = EPOCH_NS + 100_000n;
  assertEquals(times("new"), [now, now, now]);
  assertEquals(times("."), [0n, now, now]);
});

Deno.test("fd_read() returns all requested bytes in the deterministic profile", () => {
  const guest = new FakeGuest({ deterministic, host: new TricklingHost(["a", "bc", "def", "g"]) });
  guest.call("fd_fdstat_set_flags", 0, FDFLAG.NONBLOCK);
  assertEquals([guest.read(0, 5), guest.read(0, 5), guest.read(0, 5)], ["abcde", "fg", ""]);
});

Deno.test("fd_read() returns what has arrived in the default profile", () => {
  const guest = new FakeGuest({ host: new TricklingHost(["a", "bc", "def", "g"]) });
  assertEquals([guest.read(0, 5), guest.read(0, 5), guest.read(0, 5)], ["a", "bc", "def"]);
});

Deno.test("fd_write() ends the job at the file system's limit in the deterministic profile", () => {
  const limits = { fsBytes: 4096, fsInodes: 100, openFds: 10 };
  const guest = new FakeGuest({ deterministic, limits });
  guest.create("small", "text");
  assertThrows(
    () => guest.create("large", "x".repeat(4096)),
    Error,
    "file system full, limit 4096 bytes and 100 inodes",
  );
});

Deno.test("createWasi() orders environment, inodes and entries by name, not as given", () => {
  const inputs = [{ path: "b/" }, { path: "b/10" }, { path: "a/" }, { path: "b/2" }];
  const observed = [inputs, inputs.toReversed()].map((inputs) => {
    const guest = new FakeGuest({ inputs, env: { B: "1", A: "2" } });
    guest.call("environ_get", 256, BUFFER_POINTER);
    const environment = guest.text(BUFFER_POINTER, 8);
    return { environment, entries: [3, 4, 5].map((fd) => guest.readdir(fd)) };
  });
  assertEquals(observed[0]!.environment, "A=2\0B=1\0");
  assertEquals(observed[0]!.entries[2]!.map(({ name }) => name), [".", "..", "10", "2"]);
  assertEquals(observed[1], observed[0]);
});

/** What a guest does, and the sources that it has used after each step. */
const SOURCES: readonly [step: string, act: (guest: FakeGuest) => unknown, used: string[]][] = [
  ["clock_res_get is constant", (guest) => guest.call("clock_res_get", 0, RESULT_POINTER), []],
  ["a failed read", (guest) => guest.call("clock_time_get", 9, 0n, RESULT_POINTER), []],
  ["the time of an input", (guest) => guest.stat("in"), []],
  ["a blocking read", (guest) => guest.read(0), []],
  ["the time of a new file", (guest) => [guest.create("new"), guest.stat("new")], ["clock"]],
  ["a clock", (guest) => time(guest, CLOCK.PROCESS_CPUTIME), ["clock"]],
  ["random numbers", (guest) => random(guest, 1), ["random"]],
  ["/dev/random", (guest) => guest.read(guest.open("dev/random", { rights: 2 }), 1), ["random"]],
  ["a non-blocking read", (guest) => {
    guest.call("fd_fdstat_set_flags", 0, FDFLAG.NONBLOCK);
    guest.read(0);
  }, ["poll"]],
  [
    "poll_oneoff",
    (guest) => guest.call("poll_oneoff", BUFFER_POINTER, 8192, 1, RESULT_POINTER),
    ["poll"],
  ],
];

Deno.test("createWasi() reports the sources of nondeterminism that the guest uses", () => {
  for (const [step, act, used] of SOURCES) {
    const options = { inputs: [{ path: "in" }] };
    const guest = new FakeGuest(options);
    act(guest);
    assertEquals(guest.sources, used, step);
    const fixed = new FakeGuest({ ...options, deterministic });
    act(fixed);
    assertEquals(fixed.sources, [], step);
  }
});
