import { assertEquals } from "@std/assert";
import { DirectoryInode, FileInode } from "./inode.ts";

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
  assertEquals([directory.get("a"), directory.count], [undefined, 0]);
  directory.set("a", second);
  directory.set("a", first);
  assertEquals([directory.get("a"), directory.count], [first, 1]);
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
