import { assertEquals } from "@std/assert";
import { DirectoryInode, FileInode, NameTable } from "./inode.ts";
import { random } from "../../../tests/fixtures/random_source.ts";

function listed(directory: DirectoryInode): string[] {
  const names: string[] = [];
  for (let i = 0; i < directory.positions; i++) {
    if (directory.inodeAt(i) !== undefined) names.push(directory.nameAt(i));
  }
  return names;
}

Deno.test("DirectoryInode.delete() compacts removed names and keeps cookies increasing", () => {
  const directory = new DirectoryInode(1, 0, undefined);
  const file = new FileInode(2, 0);
  for (let i = 0; i < 10_000; i++) {
    directory.set(`name.${i}`, file);
    if (i % 100 !== 0) directory.delete(`name.${i}`);
  }
  assertEquals(directory.count, 100);
  assertEquals(listed(directory), Array.from({ length: 100 }, (_, i) => `name.${i * 100}`));
  const { positions } = directory;
  let last = 0;
  for (let i = 0; i < positions; i++) {
    const cookie = directory.cookieAt(i);
    assertEquals(cookie > last, true);
    last = cookie;
  }
  assertEquals(positions <= 2 * directory.count + 32, true);
});

Deno.test("DirectoryInode.set() reuses a removed name", () => {
  const directory = new DirectoryInode(1, 0, undefined);
  const [first, second] = [new FileInode(2, 0), new FileInode(3, 0)];
  directory.set("a", first);
  directory.delete("a");
  directory.delete("a");
  assertEquals({ entry: directory.get("a"), count: directory.count }, {
    entry: undefined,
    count: 0,
  });
  directory.set("a", second);
  directory.set("a", first);
  assertEquals({ entry: directory.get("a"), count: directory.count }, { entry: first, count: 1 });
});

Deno.test("DirectoryInode.find() returns the first position at or after a cookie", () => {
  const directory = new DirectoryInode(1, 0, undefined);
  for (const name of ["a", "b", "c"]) directory.set(name, new FileInode(2, 0));
  directory.delete("b");
  assertEquals([0, 2, 3, 4, 5, 2 ** 64].map((cookie) => directory.find(cookie)), [
    0,
    0,
    1,
    2,
    3,
    3,
  ]);
});

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
    assertEquals({ value: table.valueAt(table.size - 1), cookie: table.cookieAt(table.size - 1) }, {
      value: i,
      cookie: 2 * i,
    });
  }
  for (const [name, row] of oracle) {
    assertEquals({ row: table.rowOf(name), name: table.nameAt(row) }, { row, name });
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
  assertEquals({
    first: table.valueAt(0),
    second: table.valueAt(1),
    cookie: table.cookieAt(0),
    size: table.size,
  }, { first: 5, second: 3, cookie: 2, size: 2 });
});
