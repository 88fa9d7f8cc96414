/**
 * Checks that a job's process does not outlive the process that runs it.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { command, SPIN } from "../fixtures/sandbox_jobs.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const RUN = new URL("../../lib/sandbox/run_job.ts", import.meta.url).href;
const TESTING = new URL("../fixtures/sandbox_jobs.ts", import.meta.url).href;
const EXECUTOR = new URL("../../lib/sandbox/host/executor.ts", import.meta.url).href;

/** State letter of a process from ps(1); undefined if it does not exist or ps is missing. */
async function processState(pid: number): Promise<string | undefined> {
  const { stdout } = await new Deno.Command("ps", { args: ["-o", "stat=", "-p", `${pid}`] })
    .output();
  return new TextDecoder().decode(stdout).trim()[0];
}

Deno.test("an executor with a busy job exits when its parent is killed", async () => {
  try {
    assertEquals(await processState(Deno.pid) !== undefined, true);
  } catch {
    console.warn("SKIPPED: ps not found (apt-get install procps)");
    return;
  }
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.writeFile(`${dir}/spin.wasm`, await command(SPIN));
  await Deno.writeTextFile(
    `${dir}/parent.ts`,
    `import { Executor } from "${EXECUTOR}";
       import { sandboxJob } from "${TESTING}";
       import "${RUN}";
       const executor = new Executor();
       for await (const event of executor.run(sandboxJob(Deno.readFileSync("${dir}/spin.wasm")))) {
         if (event.type === "started") console.log(executor.pid);
       }`,
  );
  const config = decodeURIComponent(new URL("../../deno.json", import.meta.url).pathname);
  const parent = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "-q",
      "--config",
      config,
      "-R",
      "-E",
      "--allow-run",
      `${dir}/parent.ts`,
    ],
    stdout: "piped",
  }).spawn();
  const reader = parent.stdout.getReader();
  const pid = Number(new TextDecoder().decode((await reader.read()).value));
  assert(pid > 0);
  parent.kill("SIGKILL");
  await parent.status;
  await reader.cancel();
  // The kernel signals the child when the parent dies; soon after, it is gone or a zombie of init.
  const until = Date.now() + 10_000;
  let state = await processState(pid);
  while (state !== undefined && state !== "Z" && Date.now() < until) {
    state = await processState(pid);
  }
  assert(state === undefined || state === "Z", `still in state ${state}`);
});
