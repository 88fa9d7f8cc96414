import { assertEquals } from "@std/assert";
import { CLOCK } from "./clock.ts";
import { VirtualClocks } from "./virtual_clock.ts";

const EPOCH_MS = 1_700_000_000_000;
const EPOCH_NS = 1_700_000_000_000_000_000n;

Deno.test("VirtualClocks.read() starts at the epoch and advances all clocks by a step", () => {
  const clocks = new VirtualClocks(EPOCH_MS);
  assertEquals(clocks.read(CLOCK.REALTIME), EPOCH_NS);
  assertEquals(clocks.read(CLOCK.REALTIME), EPOCH_NS + 100_000n);
  assertEquals(clocks.read(CLOCK.MONOTONIC), 1_000_200_000n);
  assertEquals(clocks.read(CLOCK.PROCESS_CPUTIME), 300_000n);
  assertEquals(clocks.read(CLOCK.THREAD_CPUTIME), 400_000n);
  assertEquals(clocks.read(4), undefined);
  assertEquals(clocks.read(CLOCK.REALTIME), EPOCH_NS + 500_000n);
});

Deno.test("VirtualClocks.now() takes no time", () => {
  const clocks = new VirtualClocks(EPOCH_MS);
  assertEquals([clocks.now(), clocks.now()], [EPOCH_NS, EPOCH_NS]);
  clocks.read(CLOCK.MONOTONIC);
  assertEquals(clocks.now(), EPOCH_NS + 100_000n);
});

Deno.test("VirtualClocks.waitFor() advances by exactly what is slept, except the CPU clocks", () => {
  const clocks = new VirtualClocks(EPOCH_MS);
  const after = (timeoutNs: bigint) =>
    clocks.deadline({ clock: CLOCK.MONOTONIC, timeoutNs, isAbsolute: false });
  const [soon, late] = [after(7n), after(86_400_000_000_001n)];
  clocks.waitFor([late, soon]);
  assertEquals([clocks.isReached(soon), clocks.isReached(late)], [true, false]);
  assertEquals(clocks.now(), EPOCH_NS + 7n);
  clocks.waitFor([late]);
  assertEquals(clocks.read(CLOCK.MONOTONIC), 1_000_000_000n + 86_400_000_000_001n);
  assertEquals(clocks.read(CLOCK.PROCESS_CPUTIME), 100_000n);
});

Deno.test("VirtualClocks.deadline() accepts times of either clock", () => {
  const clocks = new VirtualClocks(EPOCH_MS);
  const at = (clock: number, timeoutNs: bigint) =>
    clocks.deadline({ clock, timeoutNs, isAbsolute: true });
  assertEquals(clocks.isReached(at(CLOCK.REALTIME, EPOCH_NS)), true);
  assertEquals(clocks.isReached(at(CLOCK.REALTIME, EPOCH_NS + 1n)), false);
  clocks.waitFor([at(CLOCK.MONOTONIC, 1_000_000_009n), at(CLOCK.REALTIME, EPOCH_NS + 10n)]);
  assertEquals(clocks.now(), EPOCH_NS + 9n);
});
