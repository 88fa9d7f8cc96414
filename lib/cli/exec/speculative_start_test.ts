import { assert, assertEquals } from "@std/assert";
import { endEarly, startEarly, takeEarly } from "./speculative_start.ts";

Deno.test("startEarly() starts nothing where the job may need another executor, or none", () => {
  for (const option of ["--help", "-h", "--daemon", "--remote", "--manifest=m", "--memory-mb"]) {
    startEarly(["exec", "job.wasm", option, "1"]);
    assertEquals(takeEarly(), undefined, option);
  }
});

Deno.test("startEarly() starts a process for who takes it, whatever the job's own arguments", async () => {
  startEarly(["exec", "job.wasm", "--timeout", "9", "--", "--help"]);
  const process = takeEarly();
  assert(process !== undefined);
  assertEquals(takeEarly(), undefined);
  process.kill("SIGKILL");
  await Promise.all([process.stdin.close(), process.stdout.cancel(), process.stderr.cancel()]);
  assertEquals((await process.status).signal, "SIGKILL");
});

Deno.test("endEarly() ends a process that nobody has taken", async () => {
  await endEarly();
  startEarly(["exec", "job.wasm"]);
  await endEarly();
  assertEquals(takeEarly(), undefined);
});
