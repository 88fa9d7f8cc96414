/**
 * plasm in another Deno project: runs a module on a node of a network and prints its verified output.
 *
 * In a project that imports the library (docs/library.md), run
 * `deno run --allow-read --allow-net --unstable-net run_remote_job.ts BOOTSTRAP [MODULE]`, where BOOTSTRAP is the multiaddr
 * of any node.
 * @module
 */
import { PlasmError, runRemoteJob } from "@plasm/plasm";

const [bootstrap, file = "examples/hello/hello.wasm"] = Deno.args;
const module = await Deno.readFile(file);
try {
  const { peerId, stdout, receipt } = await runRemoteJob(module, {
    bootstrap: bootstrap === undefined ? [] : [bootstrap],
    stdin: new TextEncoder().encode("Hello, World"),
    signal: AbortSignal.timeout(60_000),
  });
  console.log(new TextDecoder().decode(stdout));
  console.log(`${receipt.claim.status} with code ${receipt.claim.exit_code} on ${peerId}`);
} catch (error) {
  const fault = PlasmError.from(error);
  console.error(`${fault.message}\n${fault.hint ?? ""}`);
  Deno.exitCode = fault.exitCode;
}
