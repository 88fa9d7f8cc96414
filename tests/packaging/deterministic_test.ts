/**
 * Runs deterministic jobs in the binaries of both architectures: each makes the published claims, with the same
 * fuel where it is counted.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { parseReceipt } from "../../lib/core/receipt.ts";
import type { Receipt } from "../../lib/core/types.gen.ts";
import { binaryFile, LINUX_TARGETS } from "../../scripts/compile/targets.ts";
import {
  type DeterministicProgram,
  manifestFor,
  moduleOrSkip,
  PROGRAMS,
  publishable,
  publishedClaim,
} from "../fixtures/deterministic/programs.ts";
import { plasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

/** Whether a binary runs on this machine, natively or emulated. */
async function runs(binary: string): Promise<boolean> {
  try {
    const version = new Deno.Command(binary, { args: ["version"], stdout: "null", stderr: "null" });
    return (await version.output()).success;
  } catch {
    return false; // not compiled
  }
}

/** Runs a program as a user does, with all of its job in a manifest. */
async function receiptOf(
  program: DeterministicProgram,
  { module, binary }: { module: Uint8Array; binary: string },
): Promise<Receipt> {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.writeFile(`${dir}/module.wasm`, module);
  const manifest = await manifestFor(program, module);
  await Deno.writeTextFile(`${dir}/manifest.json`, JSON.stringify(manifest));
  await Deno.mkdir(`${dir}/empty`);
  const inputs: string[] = [];
  for (const [path, text] of Object.entries(program.inputs)) {
    const host = path.endsWith("/") ? "empty" : `input-${inputs.length}`;
    if (!path.endsWith("/")) await Deno.writeTextFile(`${dir}/${host}`, text);
    inputs.push("--input", `${dir}/${host}:${path}`);
  }
  const receipt = `${dir}/receipt.json`;
  const options = ["--manifest", `${dir}/manifest.json`, "--receipt", receipt, ...inputs];
  const { stderr } = await plasm(["exec", ...options, `${dir}/module.wasm`], {
    stdin: program.stdin,
    env: { PLASM_STATE_DIR: `${dir}/state` },
    program: [binary],
  });
  assertEquals(stderr, "");
  return parseReceipt(await Deno.readTextFile(receipt));
}

for (const target of LINUX_TARGETS) {
  const binary = decodeURIComponent(binaryFile(target).pathname);
  const isRunnable = await runs(binary);
  if (!isRunnable) console.warn(`SKIPPED: binary for ${target.triple} does not start`);
  Deno.test({
    name: `the binary for ${target.triple} makes the published claims`,
    ignore: !isRunnable,
    async fn(t) {
      for (const program of PROGRAMS) {
        await t.step(program.name, async () => {
          const expected = publishedClaim(program);
          assert(expected !== undefined, "run scripts/deterministic_vectors.ts");
          const module = await moduleOrSkip(program);
          if (module === undefined) return;
          const receipt = await receiptOf(program, { module, binary });
          assertEquals(receipt.run.runtime.arch, target.triple.split("-")[0]);
          assertEquals(publishable(program, receipt), expected);
        });
      }
    },
  });
}
