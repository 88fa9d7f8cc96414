import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  BUFFER_POINTER,
  FakeGuest,
  RESULT_POINTER,
  ROOT_FD,
} from "../../../tests/fixtures/fake_guest.ts";
import { CLOCK, CLOCK_RESOLUTION_NS, SystemClocks } from "../clock.ts";
import { ERRNO } from "../abi.ts";
import { WasiExit } from "./call_context.ts";

const POINTERS = 256;
const BUFFER = 512;

function listed(guest: FakeGuest, family: "args" | "environ"): string[] {
  assertEquals(guest.call(`${family}_sizes_get`, 0, 4), 0);
  const [count, size] = [guest.view.getUint32(0, true), guest.view.getUint32(4, true)];
  assertEquals(guest.call(`${family}_get`, POINTERS, BUFFER), 0);
  const text = guest.text(BUFFER, size);
  const starts = Array.from(
    { length: count },
    (_, i) => guest.view.getUint32(POINTERS + 4 * i, true),
  );
  const strings = text.split("\0").slice(0, -1);
  assertEquals(strings.length, count);
  starts.forEach((start, i) => {
    const bytes = new TextEncoder().encode(strings[i]).length;
    assertEquals(guest.text(start, bytes), strings[i]);
  });
  return strings;
}

Deno.test("args_get() returns all arguments", () => {
  const args = ["guest", "first", 'the "second" arg', "", "ünï"];
  assertEquals(listed(new FakeGuest({ args }), "args"), args);
  assertEquals(listed(new FakeGuest({ args: [] }), "args"), []);
});

Deno.test("environ_get() returns all variables", () => {
  const env = { a: "text", b: 'escape " ing', c: "new\nline", ["__proto__"]: "x" };
  const expected = ["__proto__=x", "a=text", 'b=escape " ing', "c=new\nline"];
  assertEquals(listed(new FakeGuest({ env }), "environ"), expected);
  assertEquals(listed(new FakeGuest(), "environ"), []);
});

Deno.test("args_get() writes nothing out of bounds", () => {
  const guest = new FakeGuest({ args: ["0123456789"] });
  const end = guest.bytes.length;
  assertEquals(guest.call("args_get", end - 3, 0), ERRNO.FAULT);
  assertEquals(guest.call("args_get", 0, end - 10), ERRNO.FAULT);
  assertEquals(guest.call("args_get", 0, end - 11), 0);
  assertEquals(guest.call("args_sizes_get", -4, 0), ERRNO.FAULT);
  assertEquals(guest.call("args_sizes_get", 0, end - 3), ERRNO.FAULT);
});

Deno.test("clock_time_get() rounds down to the resolution that clock_res_get() returns", () => {
  let [realtime, monotonic] = [1_700_000_000_000.17, 5];
  const guest = new FakeGuest({
    now: { realtimeMs: () => realtime, monotonicMs: () => monotonic },
  });
  const time = (id: number) => {
    assertEquals(guest.call("clock_time_get", id, 0n, RESULT_POINTER), 0);
    return guest.result64;
  };
  assertEquals(time(CLOCK.REALTIME), 1_700_000_000_000_100_000n);
  monotonic += 12.3456;
  assertEquals(time(CLOCK.MONOTONIC), 1_012_300_000n);
  assertEquals(time(CLOCK.PROCESS_CPUTIME), 12_300_000n);
  assertEquals(time(CLOCK.THREAD_CPUTIME), 12_300_000n);
  realtime = 0;
  assertEquals(time(CLOCK.REALTIME), 0n);
  for (const id of [0, 1, 2, 3]) {
    assertEquals(guest.call("clock_res_get", id, RESULT_POINTER), 0);
    assertEquals(guest.result64, BigInt(CLOCK_RESOLUTION_NS));
  }
});

Deno.test("clock_time_get() returns increasing monotonic times at the same resolution", () => {
  let monotonic = 0;
  const guest = new FakeGuest({ now: { realtimeMs: () => 0, monotonicMs: () => monotonic } });
  const time = () => {
    guest.call("clock_time_get", CLOCK.MONOTONIC, 0n, RESULT_POINTER);
    return guest.result64;
  };
  assertEquals([time(), time()], [1_000_000_000n, 1_000_000_001n]);
  monotonic = 0.0999;
  assertEquals(time(), 1_000_000_002n);
  monotonic = 0.1;
  assertEquals(time(), 1_000_100_000n);
});

Deno.test("clock_time_get() returns EINVAL for an unknown clock", () => {
  const guest = new FakeGuest();
  for (const id of [4, 255, -1, 2 ** 31 - 1]) {
    assertEquals(guest.call("clock_time_get", id, 0n, RESULT_POINTER), ERRNO.INVAL);
    assertEquals(guest.call("clock_res_get", id, RESULT_POINTER), ERRNO.INVAL);
  }
});

Deno.test("SystemClocks.blocked() pauses the CPU clocks", () => {
  let monotonic = 0;
  const clocks = new SystemClocks({ realtimeMs: () => 0, monotonicMs: () => monotonic });
  monotonic = 2;
  assertEquals(clocks.blocked(() => monotonic = 102), 102);
  monotonic = 103;
  assertEquals(clocks.preciseMs(CLOCK.PROCESS_CPUTIME), 3);
});

Deno.test("proc_exit() throws WasiExit with the unsigned code", () => {
  const guest = new FakeGuest();
  for (const [code, expected] of [[0, 0], [33, 33], [256, 256], [-1, 2 ** 32 - 1]] as const) {
    const exit = assertThrows(() => guest.call("proc_exit", code), WasiExit);
    assertEquals(exit.code, expected);
  }
});

Deno.test("random_get() fills any length and nothing else", () => {
  const guest = new FakeGuest();
  for (const length of [0, 1, 1024, 65_536, 65_537, 200_000]) {
    guest.bytes.fill(0);
    assertEquals(guest.call("random_get", BUFFER_POINTER, length), 0);
    assertEquals(guest.bytes.subarray(0, BUFFER_POINTER).some((byte) => byte !== 0), false);
    assertEquals(guest.bytes[BUFFER_POINTER + length], 0);
    // 64 trailing zero bytes have a probability of 2^-512.
    const tail = guest.bytes.subarray(BUFFER_POINTER + length - 64, BUFFER_POINTER + length);
    if (length >= 64) assert(tail.some((byte) => byte !== 0), `${length}`);
  }
});

Deno.test("random_get() fills shared memory", () => {
  const guest = new FakeGuest();
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  guest.wasi.attach(memory);
  assertEquals(guest.call("random_get", 0, 4096), 0);
  assert(new Uint8Array(memory.buffer).subarray(4032, 4096).some((byte) => byte !== 0));
});

Deno.test("proc_raise() and sched_yield() match wasmtime", () => {
  const guest = new FakeGuest();
  assertEquals(guest.call("proc_raise", 9), ERRNO.NOTSUP);
  assertEquals(guest.call("sched_yield"), 0);
});

Deno.test("sock_shutdown() and other socket calls distinguish bad descriptors from streams", () => {
  const guest = new FakeGuest();
  const calls: [string, ...number[]][] = [
    ["sock_accept", 0, RESULT_POINTER],
    ["sock_recv", 0, 0, 0, RESULT_POINTER, RESULT_POINTER],
    ["sock_send", 0, 0, 0, RESULT_POINTER],
    ["sock_shutdown", 0],
  ];
  for (const [name, ...rest] of calls) {
    for (const fd of [0, 1, 2]) assertEquals(guest.call(name, fd, ...rest), ERRNO.NOTSOCK, name);
    for (const fd of [ROOT_FD, 99, -1]) {
      assertEquals(guest.call(name, fd, ...rest), ERRNO.BADF, name);
    }
  }
});
