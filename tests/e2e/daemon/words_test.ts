/**
 * Checks names and values of the command line against a running daemon.
 * @module
 */
import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { connectDaemon, DaemonClient } from "../../../lib/client/mod.ts";
import { PlasmError } from "../../../lib/core/errors/mod.ts";
import { DaemonProcess, environment } from "../../fixtures/daemon/daemon_process.ts";
import { command } from "../../fixtures/hostile/case.ts";
import { assemble } from "../../fixtures/hostile/wat.ts";
import { plasm, spawnPlasm } from "../../fixtures/plasm.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";

Deno.test("a daemon lists a submitter's jobs by its name, reports the ports it chose and answers an interrupted wait", async () => {
  await using dir = await tempDir();
  const env = environment(dir.path);
  await using daemon = await DaemonProcess.start({
    dir: dir.path,
    set: {
      "api.tcp.listen": "127.0.0.1:0",
      "api.metrics.listen": "[::1]:0",
      "network.bootstrap": "[]",
    },
  });
  const { tcp } = await daemon.untilEvent("daemon-started");
  const { address: metrics } = await daemon.untilEvent("metrics-listening");
  assertMatch(String(tcp), /^127\.0\.0\.1:[1-9]\d*$/);
  assertMatch(String(metrics), /^\[::1\]:[1-9]\d*$/);
  const listening = { socket: daemon.socket, tcp, metrics };
  using client = new DaemonClient({ socket: daemon.socket });
  assertEquals((await client.ready()).listening as unknown, listening);
  const status = await plasm(["status", "--json"], { env });
  assertEquals(JSON.parse(status.stdout).listening, listening);
  assertStringIncludes((await plasm(["status"], { env })).stdout, String(tcp));

  const module = `${dir.path}/loops.wasm`;
  await Deno.writeFile(module, await assemble(command("(loop $a (br $a))")));
  const waiting = spawnPlasm(["submit", "--wait", "--submitter", "alice", module], { env });
  await waiting.stdin.close();
  let id: string | undefined;
  while (id === undefined) id = (await client.jobs({ submitter: "alice" })).jobs[0]?.id;
  const listed = await plasm(["jobs", "--submitter", "alice", "--json"], { env });
  assertEquals(JSON.parse(listed.stdout).jobs.map((job: { id: string }) => job.id), [id]);
  for (const submitter of ["local:alice", "bob"]) {
    const { jobs } = await client.jobs({ submitter });
    assertEquals(jobs.length, submitter === "bob" ? 0 : 1);
  }

  // The client follows the job once it has read the id.
  for await (const event of client.events(id)) if (event.type === "started") break;
  waiting.kill("SIGINT");
  const { code, stderr } = await waiting.output();
  const text = new TextDecoder().decode(stderr).replaceAll("\n", " ");
  assertStringIncludes(text, `job ${id} continues`);
  assertStringIncludes(text, `plasm cancel ${id}`);
  assertEquals(code, 130);
  await client.cancel(id);

  const unknown = await assertRejects(
    () => client.submit(new Uint8Array(8), { target: { arch: "ppc" } }),
    PlasmError,
  );
  assertEquals(unknown.code, "usage");
});

Deno.test("connectDaemon() names the adduser command when the socket's directory is not accessible", () => {
  const { statSync } = Deno;
  Deno.statSync = () => {
    throw new Deno.errors.PermissionDenied("Permission denied (os error 13)");
  };
  try {
    connectDaemon({ env: () => undefined });
    throw new Error("It connected");
  } catch (error) {
    const { message, hint } = PlasmError.from(error);
    assertStringIncludes(message, "Permission denied on /run/plasm/plasm.sock");
    assertStringIncludes(hint ?? "", "sudo adduser $USER plasm");
  } finally {
    Deno.statSync = statSync;
  }
});
