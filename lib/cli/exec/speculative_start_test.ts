import { assert, assertEquals } from "@std/assert";
import {
  startSpeculatively,
  stopSpeculativeProcess,
  takeSpeculativeProcess,
} from "./speculative_start.ts";

Deno.test("startSpeculatively() starts no process when the job may need another executor, or none", () => {
  for (const option of ["--help", "-h", "--daemon", "--remote", "--manifest=m", "--memory-mb"]) {
    startSpeculatively(["exec", "job.wasm", option, "1"]);
    assertEquals(takeSpeculativeProcess(), undefined, option);
  }
});

Deno.test("startSpeculatively() starts a process when only the job's own arguments exclude it", async () => {
  startSpeculatively(["exec", "job.wasm", "--timeout", "9", "--", "--help"]);
  const process = takeSpeculativeProcess();
  assert(process !== undefined);
  assertEquals(takeSpeculativeProcess(), undefined);
  process.kill("SIGKILL");
  await Promise.all([process.stdin.close(), process.stdout.cancel(), process.stderr.cancel()]);
  assertEquals((await process.status).signal, "SIGKILL");
});

Deno.test("stopSpeculativeProcess() ends a process that has not been taken", async () => {
  await stopSpeculativeProcess();
  startSpeculatively(["exec", "job.wasm"]);
  await stopSpeculativeProcess();
  assertEquals(takeSpeculativeProcess(), undefined);
});
