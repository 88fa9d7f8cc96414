import { assert, assertEquals } from "@std/assert";
import { Executor } from "./executor.ts";
import { command } from "./testing.ts";
import { WARM_UP_MODULE, warmUp } from "./warm_up.ts";

Deno.test("WARM_UP_MODULE is what its text says", async () => {
  const text = `
    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 16))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $proc_exit (i32.const 0))`;
  assertEquals(await command(text), WARM_UP_MODULE);
});

Deno.test("warmUp() leaves an executor that takes a job", async () => {
  await using executor = new Executor();
  await warmUp(executor);
  assert(executor.usable);
});
