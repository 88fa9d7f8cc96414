import { assertEquals } from "@std/assert";
import { NameTable } from "./name_table.ts";
import { random } from "../../../tests/fixtures/random_source.ts";

Deno.test("NameTable.rowOf() matches a Map for any number of names", () => {
  const next = random(7);
  const table = new NameTable<number>();
  const oracle = new Map<string, number>();
  for (let i = 0; i < 5000; i++) {
    const name = String.fromCharCode(next(4), next(0x1_0000)) + "x".repeat(next(30)) + next(3000);
    assertEquals(table.rowOf(name), oracle.get(name) ?? -1);
    if (oracle.has(name)) continue;
    oracle.set(name, table.size);
    table.add(name, i, 2 * i);
    assertEquals([table.valueAt(table.size - 1), table.cookieAt(table.size - 1)], [i, 2 * i]);
  }
  for (const [name, row] of oracle) {
    assertEquals([table.rowOf(name), table.nameAt(row)], [row, name]);
  }
  assertEquals(table.size, oracle.size);
});

Deno.test("NameTable accepts the empty name and names with a meaning in JavaScript", () => {
  const table = new NameTable<string>();
  for (const name of ["__proto__", "", "constructor", "0", "-1", "\ud800"]) {
    assertEquals(table.rowOf(name), -1);
    table.add(name, name, table.size);
    assertEquals(table.valueAt(table.rowOf(name)), name);
  }
});

Deno.test("NameTable.setValueAt() replaces the value of a name", () => {
  const table = new NameTable<number>();
  table.add("a", 1, 2);
  table.add("b", 3, 4);
  table.setValueAt(table.rowOf("a"), 5);
  assertEquals([table.valueAt(0), table.valueAt(1), table.cookieAt(0), table.size], [5, 3, 2, 2]);
});
