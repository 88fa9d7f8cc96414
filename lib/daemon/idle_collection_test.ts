import { assertEquals } from "@std/assert";
import { startIdleCollection } from "./idle_collection.ts";

const MIB = 2 ** 20;

Deno.test("startIdleCollection() collects when the daemon is idle and its heap has grown", async () => {
  // Idle time in seconds and size of the heap at each check, and whether a collection follows.
  const checks: [idle: number, heap: number, isCollected: boolean][] = [
    [0, 80, false],
    [60, 80, true],
    [60, 30, false],
    [60, 31, false],
    [0, 60, false],
    [9, 60, false],
    [10, 60, true],
  ];
  const collected: number[] = [];
  const done = Promise.withResolvers<void>();
  let at = -1;
  const stop = startIdleCollection({
    idleMs: () => {
      if (++at === checks.length) done.resolve();
      return 1000 * (checks[at]?.[0] ?? 0);
    },
    // A collection leaves 20 MiB.
    heapBytes: () => MIB * (collected.at(-1) === at ? 20 : checks[at]![1]),
    collect: () => void collected.push(at),
    checkMs: 1,
  });
  await done.promise;
  stop();
  assertEquals(collected, checks.flatMap(([, , isCollected], n) => isCollected ? [n] : []));
});

Deno.test("startIdleCollection() starts no timer where V8 exposes no collector", () => {
  startIdleCollection({ idleMs: () => 0, collect: undefined });
});
