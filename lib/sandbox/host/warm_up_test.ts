import { assert, assertEquals } from "@std/assert";
import wabt from "wabt";
import { Executor } from "./executor.ts";
import { WARM_UP_MODULE, warmUp } from "./warm_up.ts";

Deno.test("WARM_UP_MODULE is what its text says", async () => {
  const text = `(module
  (type $unary (func (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 2)
  (table funcref (elem $sum $pick))
  (global $count (mut i32) (i32.const 0))
  (func $sum (type $unary) (local $total i64)
    (block $end (loop $next
      (br_if $end (i32.eqz (local.get 0)))
      (local.set $total (i64.add (local.get $total) (i64.extend_i32_u (local.get 0))))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br $next)))
    (i32.wrap_i64 (local.get $total)))
  (func $pick (type $unary)
    (block $a (block $b (block $c (br_table $a $b $c (local.get 0)))
      (return (i32.trunc_sat_f64_s (f64.const 1.5)))) (return (i32.const 7)))
    (memory.fill (i32.const 64) (i32.const 0) (i32.const 16))
    (if (result i32) (f32.lt (f32.const 0) (f32.const 1)) (then (i32.load8_u (i32.const 64))) (else (memory.size))))
  (func $grow (drop (memory.grow (i32.const 0))) (global.set $count (select (i32.const 1) (i32.const 2) (global.get $count))))
  (func (export "_start")
    (call $grow) (call $grow)
    (drop (call $sum (i32.const 4)))
    (drop (call_indirect (type $unary) (i32.const 2) (i32.const 1)))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 16))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $proc_exit (i32.const 0)))
  (data (i32.const 128) "warm"))`;
  const { parseWat } = await wabt();
  const module = parseWat("warm_up.wat", text);
  assertEquals(new Uint8Array(module.toBinary({}).buffer), WARM_UP_MODULE);
  module.destroy();
});

Deno.test("warmUp() leaves an executor that takes a job", async () => {
  await using executor = new Executor();
  await warmUp(executor);
  assert(executor.usable);
});
