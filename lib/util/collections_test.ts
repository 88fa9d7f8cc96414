import { assertEquals } from "@std/assert";
import { BoundedMap, Heap, Notifier } from "./collections.ts";

Deno.test("Heap.pop() returns the least item when items were pushed in any order", () => {
  let seed = 1;
  const heap = new Heap<number>((a, b) => a < b);
  const model: number[] = [];
  for (let step = 0; step < 5000; step++) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    if ((seed >>> 8) % 5 < 3) {
      const value = (seed >>> 11) % 100;
      heap.push(value);
      model.push(value);
      model.sort((a, b) => a - b);
    } else assertEquals(heap.pop(), model.shift());
    assertEquals(heap.peek(), model[0]);
  }
});

Deno.test("BoundedMap.set() evicts the entry that was set longest ago when the map is full", () => {
  const map = new BoundedMap<string, number>(2);
  map.set("a", 1);
  map.set("b", 2);
  map.set("a", 3);
  map.set("c", 4);
  assertEquals(map.size, 2);
  assertEquals([...map], [["a", 3], ["c", 4]]);
  assertEquals(map.get("b"), undefined);
});

Deno.test("Notifier.wait() resolves on notify(), timeout or abort", async () => {
  const notifier = new Notifier();
  const signal = new AbortController().signal;
  const woken: string[] = [];
  const waits = ["a", "a", "b"].map((key) =>
    notifier.wait(key, { signal, timeoutMs: 2 ** 30 }).then(() => woken.push(key))
  );
  notifier.notify("a");
  await Promise.all(waits.slice(0, 2));
  assertEquals(woken, ["a", "a"]);
  notifier.notifyAll();
  await Promise.all(waits);
  assertEquals(woken, ["a", "a", "b"]);
  await notifier.wait("a", { signal, timeoutMs: 0 });
  const controller = new AbortController();
  const aborted = notifier.wait("a", { signal: controller.signal, timeoutMs: 2 ** 30 });
  controller.abort();
  await aborted;
  await notifier.wait("a", { signal: controller.signal, timeoutMs: 2 ** 30 });
});
