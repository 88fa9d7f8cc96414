/**
 * Runs a module from a Deno project and verifies its output with the receipt.
 *
 * In a project that imports the library (docs/library.md), run
 * `deno run --allow-read --allow-run=/proc/self/exe run_job.ts MODULE`.
 * @module
 */
import { ephemeralIdentity, runJob, verifyReceipt } from "@plasm/plasm";

const module = await Deno.readFile(Deno.args[0] ?? "examples/hello/hello.wasm");
const stdin = new TextEncoder().encode("Hello, World");
const signer = await ephemeralIdentity();

const { outcome, stdout, receipt } = await runJob(module, {
  stdin,
  signer,
  signal: AbortSignal.timeout(30_000),
});
await verifyReceipt(receipt, { key: signer.publicKey, module, stdin, stdout });

console.log(new TextDecoder().decode(stdout));
console.log(`${outcome.status} with code ${outcome.exitCode} after ${outcome.usage.wallTimeMs} ms`);
