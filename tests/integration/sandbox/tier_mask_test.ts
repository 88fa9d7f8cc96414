/**
 * Canary for V8's tier mask: fails if V8 drops the flag, ignores it or changes its meaning
 * (docs/adr/0002-tier-mask-and-reordering.md).
 */
import { assert, assertEquals } from "@std/assert";
import { TIER_MASK_FLAG } from "../../../lib/sandbox/host/spawn/spawn_executor.ts";
import { EAGER_FUNCTIONS } from "../../../lib/wasm/reorder/reorder.ts";
import {
  body,
  concat,
  moduleOf,
  name,
  SECTION,
  section,
  vector,
} from "../../fixtures/hostile/binary.ts";

/** Functions of the traced module: one more than there are eager functions. */
const FUNCTIONS = EAGER_FUNCTIONS + 1;

const INDICES = Array.from({ length: FUNCTIONS }, (_, index) => index);

/** A module without imports that exports all its functions, which do nothing. */
const MODULE = moduleOf(
  section(SECTION.type, [1, 0x60, 0, 0]),
  section(SECTION.function, vector(INDICES.map(() => [0]))),
  section(SECTION.export, vector(INDICES.map((index) => concat(name(`f${index}`), [0, index])))),
  section(SECTION.code, vector(INDICES.map(() => body([])))),
);

/** Calls each function once. */
const PROGRAM = `
const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.of(${MODULE})));
for (const call of Object.values(exports)) call();
`;

/** Runs {@linkcode PROGRAM} and returns the compiler that V8 reports for each function index. */
async function compilers(...flags: string[]): Promise<Record<string, string>> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", `--v8-flags=${flags.join(",")}`, PROGRAM],
  }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  // Deno exits with "V8 did not recognize flag" if the flag is gone.
  assert(success, text);
  const lines = text.matchAll(/^Compiled function \S+#(\d+) using (\w+),/gm);
  return Object.fromEntries([...lines].map(([, index, compiler]) => [index, compiler]));
}

Deno.test("TIER_MASK_FLAG makes V8 compile exactly the eager functions with TurboFan on first call", async () => {
  const used = await compilers("--trace-wasm-compilation-times", TIER_MASK_FLAG);
  const compilerOf = (index: number) => index < EAGER_FUNCTIONS ? "TurboFan" : "Liftoff";
  const expected = INDICES.map((index) => [index, compilerOf(index)]);
  assertEquals(used, Object.fromEntries(expected));
});

Deno.test("V8 compiles every function with Liftoff on first call without TIER_MASK_FLAG", async () => {
  const used = await compilers("--trace-wasm-compilation-times");
  assertEquals(used, Object.fromEntries(INDICES.map((index) => [index, "Liftoff"])));
});
