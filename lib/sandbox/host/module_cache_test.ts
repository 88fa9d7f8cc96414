import { assertEquals } from "@std/assert";
import { ModuleCache } from "./module_cache.ts";

const MIB = 2 ** 20;

Deno.test("ModuleCache.use() sends a module once and keeps what was used last", () => {
  const cache = new ModuleCache();
  assertEquals(cache.use("a", 10), { key: "a", isKept: false, bytes: 10, forget: [] });
  assertEquals(cache.use("a", 10), { key: "a", isKept: true, bytes: 10, forget: [] });
  for (const key of "bcdefgh") cache.use(key, 1);
  cache.use("a", 10);
  assertEquals(cache.use("i", 1).forget, ["b"]);
  assertEquals([cache.has("a"), cache.has("b")], [true, false]);
});

Deno.test("ModuleCache.use() makes room by bytes and keeps nothing that is too large", () => {
  const cache = new ModuleCache();
  cache.use("a", 20 * MIB);
  cache.use("b", 10 * MIB);
  assertEquals(cache.use("c", 15 * MIB).forget, ["a"]);
  assertEquals(cache.use("d", 33 * MIB), {
    key: null,
    isKept: false,
    bytes: 33 * MIB,
    forget: [],
  });
  assertEquals([cache.has("b"), cache.has("c"), cache.has("d")], [true, true, false]);
});

Deno.test("ModuleCache.use() keeps nothing without a key, nor what was refused", () => {
  const cache = new ModuleCache();
  assertEquals(cache.use(undefined, 5).key, null);
  cache.use("a", 5);
  cache.forget("a");
  assertEquals(cache.use("a", 5).isKept, false);
});
