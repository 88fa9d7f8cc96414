import { assertEquals } from "@std/assert";
import { CLOCK, ERRNO } from "./abi.ts";
import { CLOCK_RESOLUTION_NS, Clocks } from "../clock.ts";
import { FakeGuest, RESULT_POINTER } from "../../../tests/fixtures/fake_guest.ts";

Deno.test("clock_time_get() rounds down to the resolution that clock_res_get() tells", () => {
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

Deno.test("clock_time_get() never gives the same monotonic time twice, and tells no more by it", () => {
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

Deno.test("clock_time_get() answers EINVAL for clocks that are not", () => {
  const guest = new FakeGuest();
  for (const id of [4, 255, -1, 2 ** 31 - 1]) {
    assertEquals(guest.call("clock_time_get", id, 0n, RESULT_POINTER), ERRNO.INVAL);
    assertEquals(guest.call("clock_res_get", id, RESULT_POINTER), ERRNO.INVAL);
  }
});

Deno.test("Clocks.blocked() stops the CPU clocks", () => {
  let monotonic = 0;
  const clocks = new Clocks({ realtimeMs: () => 0, monotonicMs: () => monotonic });
  monotonic = 2;
  assertEquals(clocks.blocked(() => monotonic = 102), 102);
  monotonic = 103;
  assertEquals(clocks.preciseMs(CLOCK.PROCESS_CPUTIME), 3);
});
