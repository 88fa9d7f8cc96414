/**
 * Modules for the tests of this folder.
 * @module
 */
import wabt from "wabt";
import { random } from "../wasi/random_source.ts";

/** Assembles text with every feature that the scanner knows. */
export async function assemble(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const { parseWat } = await wabt();
  const module = parseWat(
    "test.wat",
    text,
    {
      exceptions: true,
      memory64: true,
      multi_memory: true,
      tail_call: true,
      threads: true,
      relaxed_simd: true,
      function_references: true,
    } as Parameters<typeof parseWat>[2],
  );
  try {
    return new Uint8Array(module.toBinary({ write_debug_names: true }).buffer);
  } finally {
    module.destroy();
  }
}

/** Options of {@linkcode randomModule}. */
export interface RandomModuleOptions {
  /** What the choices follow from. */
  seed: number;
  /** How many functions it has. */
  functions: number;
}

/**
 * A module whose functions call each other in every way: directly, by a table, by a reference in a
 * global, as a tail. `run` takes a number and gives one; some numbers trap. A function calls only
 * later ones, so every run ends.
 */
export function randomModule(
  { seed, functions }: RandomModuleOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const below = random(seed);
  const later = (from: number): number => from + 1 + below(functions - from - 1);
  const body = (index: number): string => {
    const parts = [`(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const ${below(99)}))
      (i32.const ${index})))`];
    if (below(3) === 0) {
      parts.push(`(local.set 1 (i32.const ${1 + below(3)})) (loop $l
        (local.set 0 (i32.xor (local.get 0) (i32.shl (local.get 0) (local.get 1))))
        (br_if $l (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))`);
    }
    if (below(4) === 0) {
      parts.push(`(if (i32.eq (i32.and (local.get 0) (i32.const 31)) (i32.const ${below(32)}))
        (then (unreachable)))`);
    }
    if (index === functions - 1) return [...parts, "(local.get 0)"].join("\n");
    const to = later(index);
    const call = [
      `(call $f${to} (local.get 0))`,
      `(call_indirect (type $t) (local.get 0) (i32.const ${to}))`,
      `(return_call $f${to} (local.get 0))`,
      `(table.set 1 (i32.const 0) (ref.func $f${to}))
       (call_indirect 1 (type $t) (local.get 0) (i32.const 0))`,
      `(i32.add (call $f${to} (local.get 0)) (call $f${later(index)} (i32.const ${below(9)})))`,
    ];
    return [...parts, call[below(index % 8 === 0 ? 5 : 4)]].join("\n");
  };
  const all = Array.from({ length: functions }, (_, index) => index);
  const names = all.map((index) => `$f${index}`);
  const half = functions >> 1;
  return assemble(`(module
    (type $t (func (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
    (table ${functions} funcref) (table 1 funcref)
    (memory (export "memory") 1)
    (global $g (mut funcref) (ref.func $f${below(functions)}))
    (global $started (export "started") (mut i32) (i32.const 0))
    (export "run" (func $f0)) (export "other" (func $f${below(functions)}))
    (start $start)
    (elem (i32.const 0) func ${names.slice(0, half).join(" ")})
    (elem (table 0) (i32.const ${half}) funcref
      ${names.slice(half).map((name) => `(ref.func ${name})`).join(" ")})
    (elem declare func ${names.join(" ")})
    ${all.map((i) => `(func $f${i} (type $t) (local i32) ${body(i)})`).join("\n")}
    (func $start (global.set $started (call $f${functions - 1} (i32.const 5)))))`);
}
