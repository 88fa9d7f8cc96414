/**
 * Tests that a compiled daemon masks its key and socket from its executors.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { connectDaemon } from "../../lib/client/mod.ts";
import { probeConfinement } from "../../lib/sandbox/host/spawn/confinement.ts";
import { DaemonProcess } from "../fixtures/daemon/daemon_process.ts";
import { childrenOf, hasPs, isAlive } from "../fixtures/daemon/process_list.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const HELLO = new URL("../../examples/hello/hello.wasm", import.meta.url);

async function output(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

Deno.test("an executor of a compiled daemon can access neither the node's key nor its socket", async () => {
  if (!Deno.env.has("PLASM_BINARY")) return console.warn("SKIPPED: PLASM_BINARY is not set");
  if (probeConfinement()?.namespaces !== true || !await hasPs()) {
    return console.warn("SKIPPED: the system denies namespaces");
  }
  await using temp = await tempDir();
  const dir = await Deno.realPath(temp.path);
  // In separate directories: each must be masked.
  await Deno.mkdir(`${dir}/run`);
  const env = { PLASM_SOCKET: `${dir}/run/plasm.sock` };
  await using daemon = await DaemonProcess.start({ dir, env });
  using client = connectDaemon({ socket: env.PLASM_SOCKET });
  const { job } = await client.run(await Deno.readFile(HELLO), {
    stdin: new TextEncoder().encode("abc"),
  });
  assertEquals(job.status, "exited");
  const [executor] = await childrenOf(daemon.pid);
  assert(executor !== undefined);
  // The parent can inspect the root directory of its executor.
  const mounts = await output("cat", `/proc/${executor}/mountinfo`);
  for (const path of [`${dir}/state`, `${dir}/run`]) {
    assert(mounts.includes(` ${path} ro`), `${path} in ${mounts}`);
    assertEquals(await output("find", `/proc/${executor}/root${path}`, "-mindepth", "1"), "");
  }
  daemon.signal("SIGKILL");
  await daemon.ended();
  const until = Date.now() + 10_000;
  while (await isAlive(executor) && Date.now() < until);
  assertEquals(await isAlive(executor), false);
});
