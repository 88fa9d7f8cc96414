/**
 * Generates tests/vectors/deterministic.json: the claims that deterministic jobs make on every machine.
 *
 * Needs clang, Go and npm: `deno run -P=test --no-prompt --unstable-net scripts/deterministic_vectors.ts`.
 *
 * @module
 */
import { ephemeralIdentity, runJob } from "../mod.ts";
import {
  inputsOf,
  manifestFor,
  PROGRAMS,
  publishable,
} from "../tests/fixtures/deterministic/programs.ts";

const TARGET = new URL("../tests/vectors/deterministic.json", import.meta.url);

const signer = await ephemeralIdentity();
const programs = [];
for (const program of PROGRAMS) {
  const module = await program.module();
  const inputs = inputsOf(program);
  const { receipt } = await runJob(module, {
    manifest: await manifestFor(program, module),
    ...(Object.keys(inputs).length === 0 ? {} : { inputs }),
    stdin: new TextEncoder().encode(program.stdin),
    signer,
  });
  programs.push({ name: program.name, claim: publishable(program, receipt!) });
}
const description = "Claims of the programs in tests/fixtures/deterministic, the same on every " +
  "architecture and version. Where the installed compiler builds the program, the hashes of module " +
  "and manifest are missing.";
await Deno.writeTextFile(TARGET, `${JSON.stringify({ description, programs }, null, 2)}\n`);
