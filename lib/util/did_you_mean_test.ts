import { assertEquals } from "@std/assert";
import { nearest } from "./did_you_mean.ts";

const KNOWN = ["memory_mb", "timeout_seconds", "cpu_cores", "args", "env"];

Deno.test("nearest() finds the name that was meant", () => {
  assertEquals(nearest("memroy_mb", KNOWN), "memory_mb");
  assertEquals(nearest("memoryMB", KNOWN), "memory_mb");
  assertEquals(nearest("timeout-second", KNOWN), "timeout_seconds");
  assertEquals(nearest("arg", KNOWN), "args");
  assertEquals(nearest("evn", KNOWN), "env");
});

Deno.test("nearest() guesses nothing far off", () => {
  assertEquals(nearest("colour", KNOWN), undefined);
  assertEquals(nearest("", KNOWN), undefined);
  assertEquals(nearest("args", []), undefined);
  assertEquals(nearest("memory_mb".repeat(100), KNOWN), undefined);
});
