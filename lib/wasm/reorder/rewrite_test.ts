import { assertEquals } from "@std/assert";
import { orderFunctions } from "./rewrite.ts";

/** New index of each function, and the number of fillers. */
function order(selected: number[], count: number, slots: number): [number[], number] {
  const { index, fillers } = orderFunctions(selected, { imported: 2, count, slots });
  return [Array.from({ length: count + 2 }, (_, old) => index(old)), fillers];
}

Deno.test("orderFunctions() swaps selected functions into the leading slots after the imported ones", () => {
  assertEquals(order([5, 1], 6, 2), [[0, 1, 7, 3, 4, 5, 6, 2], 0]);
});

Deno.test("orderFunctions() moves unselected functions to the end when too few are selected", () => {
  // Of the leading slots 0 to 2, only slot 1 may contain a function that is not a filler.
  assertEquals(order([1], 4, 3), [[0, 1, 6, 3, 7, 5], 2]);
});

Deno.test("orderFunctions() moves unselected functions past all slots when there are fewer functions than slots", () => {
  const [indices, fillers] = order([1], 2, 4);
  assertEquals(indices, [0, 1, 6, 3]);
  assertEquals(fillers, 3);
});

Deno.test("orderFunctions() changes nothing when the selected functions are in the leading slots", () => {
  assertEquals(orderFunctions([0, 1], { imported: 0, count: 9, slots: 2 }).changes, false);
});
