/**
 * Runs client commands against a daemon that is stopped by SIGSTOP, and against none.
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { DaemonClient } from "../../../lib/client/mod.ts";
import { DaemonProcess, environment } from "../../fixtures/daemon/daemon_process.ts";
import { command } from "../../fixtures/hostile/case.ts";
import { assemble } from "../../fixtures/hostile/wat.ts";
import { plasm, spawnPlasm } from "../../fixtures/plasm.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";

const HELLO = decodeURIComponent(
  new URL("../../../examples/hello/hello.wasm", import.meta.url).pathname,
);

Deno.test("commands exit with 75 when the daemon accepts connections and does not answer", async () => {
  await using dir = await tempDir();
  const env = environment(dir.path);
  await using daemon = await DaemonProcess.start({ dir: dir.path });
  await Deno.writeFile(`${dir.path}/loops.wasm`, await assemble(command("(loop $a (br $a))")));
  const submitted = await plasm(["submit", `${dir.path}/loops.wasm`], { env });
  const id = submitted.stdout.trim();
  // A stream that is open when the daemon stops: the first event has arrived.
  const following = spawnPlasm(["logs", "--follow", "--json", id], { env });
  await following.stdin.close();
  const events = following.stdout.getReader();
  await events.read();
  const errors = new Response(following.stderr).text();
  const mapping = spawnPlasm(["map", "--daemon", `${dir.path}/loops.wasm`, ":::", "a", "b"], {
    env,
  });
  await mapping.stdin.close();
  using client = new DaemonClient({ socket: daemon.socket });
  while ((await client.jobs()).jobs.length < 2);
  Deno.kill(daemon.pid, "SIGSTOP");
  try {
    const commands = [
      ...[["status"], ["jobs"], ["logs", id], ["result", id], ["cancel", id], ["reload"]],
      ...[["backup", `${dir.path}/copy`], ["submit", HELLO], ["exec", "--pipe", HELLO]],
    ];
    const results = await Promise.all(commands.map((args) => plasm(args, { env })));
    for (const { code, stdout, stderr } of results) {
      assertStringIncludes(stderr, "accepts but does not answer");
      assertEquals({ code, stdout }, { code: 75, stdout: "" });
    }
    const doctor = await plasm(["doctor"], { env });
    assertStringIncludes(doctor.stdout, "accepts but does not answer");
    const mapped = await mapping.output();
    assertStringIncludes(new TextDecoder().decode(mapped.stderr), "accepts but does not answer");
    assertEquals(mapped.code, 75);
    assertStringIncludes(await errors, "accepts but does not answer");
    assertEquals((await following.status).code, 75);
    await events.cancel();
  } finally {
    Deno.kill(daemon.pid, "SIGCONT");
  }
});

Deno.test("commands exit with 69 at once when nothing listens on the socket", async () => {
  await using dir = await tempDir();
  const path = `${dir.path}/plasm.sock`;
  Deno.listen({ transport: "unix", path }).close();
  const id = `job_${"a".repeat(26)}`;
  const commands = [["logs", id], ["logs", "--follow", id], ["result", id], ["status"]];
  const results = await Promise.all(
    commands.map((args) => plasm([...args, "--socket", path], { env: environment(dir.path) })),
  );
  for (const { code, stderr } of results) {
    assertStringIncludes(stderr, `Cannot reach daemon at ${path}`);
    assertEquals(code, 69);
  }
});
