import { assertEquals } from "@std/assert";
import { Heap } from "./collections.ts";

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
