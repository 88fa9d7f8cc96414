/**
 * The README's first command: runs the example job and shows that its receipt proves the run.
 * @module
 */
import { ephemeralIdentity, PlasmError, streamJob, verifyReceipt } from "../mod.ts";
import type { Receipt } from "../mod.ts";

const MODULE = new URL("../examples/hello/hello.wasm", import.meta.url);
const INPUT = "Hello, World";

const module = await Deno.readFile(MODULE);
const signer = await ephemeralIdentity();
const stdin = new TextEncoder().encode(INPUT);
const out: Uint8Array[] = [];
let receipt: Receipt | undefined;

line("node", signer.peerId);
line("job", `examples/hello/hello.wasm, ${module.length} bytes, stdin ${JSON.stringify(INPUT)}`);
for await (const event of streamJob(module, { stdin, signer })) {
  if (event.type === "started") line("started", new Date(event.at).toISOString());
  if (event.type === "stdout") out.push(event.data);
  if (event.type === "finished") {
    receipt = event.receipt;
    const { status, exitCode, usage } = event.outcome;
    line("finished", `${status} with code ${exitCode}`);
    line("used", `${usage.wallTimeMs} ms wall, ${usage.cpuTimeMs} ms CPU`);
  }
}
const stdout = new Uint8Array(await new Blob(out as Uint8Array<ArrayBuffer>[]).arrayBuffer());
line("output", new TextDecoder().decode(stdout));

const expected = { key: signer.publicKey, module, stdin, stdout };
await verifyReceipt(receipt, expected);
line("receipt", `verified: ${receipt?.job_id}`);

try {
  await verifyReceipt({ ...receipt, exit_code: 1 }, expected);
  throw new Error("A changed receipt was accepted");
} catch (error) {
  if (!(error instanceof PlasmError)) throw error;
  line("forged", `refused: ${error.message}`);
}

function line(name: string, text: string): void {
  console.log(`${name.padEnd(9)} ${text}`);
}
