/**
 * The daemon as a process: signals, systemd, one for each state directory; and the commands that use it.
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connectDaemon } from "../../../lib/client/mod.ts";
import { command, SPIN, write } from "../../fixtures/sandbox_jobs.ts";
import { plasm, type PlasmResult, spawnPlasm, withTempDir } from "../../fixtures/plasm.ts";
import { DaemonProcess, environment } from "../../fixtures/daemon/daemon_process.ts";

const HELLO = new URL("../../../examples/hello/hello.wasm", import.meta.url).pathname;

/** Writes a line, then never ends. */
const ENDLESS = `${write(1, 4)} ${SPIN}`;

/** Starts an endless job and waits until it has written. */
async function startEndless(daemon: DaemonProcess, idempotent = false): Promise<string> {
  using client = connectDaemon({ socket: daemon.socket });
  const { id } = await client.submit(await command(ENDLESS), { manifest: { idempotent } });
  for await (const { type } of client.events(id)) if (type === "stdout") break;
  return id;
}

async function jobAfterRestart(
  dir: string,
  id: string,
): Promise<{ state: string; attempts: number }> {
  await using daemon = await DaemonProcess.start({ dir, set: { "jobs.concurrency": 1 } });
  using client = connectDaemon({ socket: daemon.socket });
  return await client.job(id);
}

Deno.test("SIGTERM lets a running job end within the grace, and exits 0", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start({ dir, set: { "shutdown.grace_seconds": 60 } });
    using client = connectDaemon({ socket: daemon.socket });
    const body = `(local $n i32) ${write(1, 10)}
      (loop $count (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $count (i32.lt_u (local.get $n) (i32.const 100000000))))
      ${write(1, 10)}`;
    const { id } = await client.submit(await command(body));
    for await (const { type } of client.events(id)) if (type === "stdout") break;
    daemon.signal("SIGTERM");
    assertEquals((await daemon.ended()).code, 0);
    const ended = await daemon.untilEvent("job-ended");
    assertEquals([ended["job_id"], ended["status"]], [id, "exited"]);
    await daemon.untilEvent("daemon-stopped");
    assertEquals((await jobAfterRestart(dir, id)).state, "finished");
  }));

Deno.test("SIGTERM kills what runs longer than the grace, which is interrupted", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start({ dir, set: { "shutdown.grace_seconds": 0 } });
    const id = await startEndless(daemon);
    daemon.signal("SIGTERM");
    assertEquals((await daemon.ended()).code, 0);
    assertEquals((await jobAfterRestart(dir, id)).state, "interrupted");
  }));

Deno.test("a second SIGTERM exits at once, and an idempotent job runs again", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start({ dir, set: { "shutdown.grace_seconds": 600 } });
    const id = await startEndless(daemon, true);
    daemon.signal("SIGTERM");
    await daemon.untilEvent("daemon-stopping");
    daemon.signal("SIGTERM");
    assertEquals((await daemon.ended()).code, 143);
    const { state } = await jobAfterRestart(dir, id);
    assert(state === "running" || state === "queued", state);
  }));

Deno.test("a second daemon is refused on the same state directory, and on the same socket", () =>
  withTempDir(async (dir) => {
    await using _daemon = await DaemonProcess.start({ dir });
    const env = environment(dir);
    const state = await plasm(["daemon", "--socket", `${dir}/b.sock`], { env });
    assertEquals(state.code, 75);
    assertStringIncludes(state.stderr, "another daemon runs on it");
    const socket = await plasm(["daemon", "--state-dir", `${dir}/other`], { env });
    assertEquals(socket.code, 75);
    assertStringIncludes(socket.stderr, "another daemon answers there");
    assertEquals((await plasm(["status"], { env })).code, 0);
  }));

Deno.test("a daemon replaces the socket of one that was killed", () =>
  withTempDir(async (dir) => {
    {
      await using daemon = await DaemonProcess.start({ dir });
      daemon.signal("SIGKILL");
      await daemon.ended();
    }
    assertEquals((await Deno.lstat(`${dir}/plasm.sock`)).isSocket, true);
    await using daemon = await DaemonProcess.start({ dir });
    const { mode } = await Deno.lstat(daemon.socket);
    assertEquals(mode! & 0o777, 0o660);
    assertEquals((await Deno.stat(`${dir}/state`)).mode! & 0o777, 0o700);
    assertEquals((await Deno.stat(`${dir}/state/jobs.db`)).mode! & 0o777, 0o600);
  }));

Deno.test("SIGHUP applies what can be applied, says what cannot, and survives a mistake", () =>
  withTempDir(async (dir) => {
    await Deno.mkdir(`${dir}/plasm`);
    const file = `${dir}/plasm/config.jsonc`;
    await Deno.writeTextFile(file, `{"jobs": {"queue_max": 7}}`);
    await using daemon = await DaemonProcess.start({ dir });
    using client = connectDaemon({ socket: daemon.socket });
    assertEquals((await client.node()).load.queue_max, 7);
    await Deno.writeTextFile(file, `{"jobs": {"queue_max": 9, "warm_executors": 2}}`);
    daemon.signal("SIGHUP");
    const line = await daemon.untilEvent("config-reloaded");
    assertEquals([line["applied"], line["needs_restart"]], [
      ["jobs.queue_max"],
      ["jobs.warm_executors"],
    ]);
    assertEquals((await client.node()).load.queue_max, 9);
    await Deno.writeTextFile(file, `{"jobs": {"queue_mix": 9}}`);
    daemon.signal("SIGHUP");
    const refused = await daemon.untilEvent("reload-refused");
    assertStringIncludes(JSON.stringify(refused["error"]), "queue_mix");
    assertEquals((await client.node()).load.queue_max, 9);
  }));

Deno.test("a daemon tells systemd when it is ready and when it stops", () =>
  withTempDir(async (dir) => {
    const path = `${dir}/notify.sock`;
    const systemd = Deno.listenDatagram({ transport: "unixpacket", path });
    try {
      await using daemon = await DaemonProcess.start({ dir, env: { NOTIFY_SOCKET: path } });
      const receive = async (): Promise<string> =>
        new TextDecoder().decode((await systemd.receive())[0]);
      assertEquals(await receive(), "READY=1");
      daemon.signal("SIGTERM");
      assertEquals(await receive(), "STOPPING=1");
      assertEquals((await daemon.ended()).code, 0);
    } finally {
      systemd.close();
    }
  }));

Deno.test("a state directory that cannot be written is a clear error", () =>
  withTempDir(async (dir) => {
    await Deno.writeTextFile(`${dir}/state`, "a file where the directory should be");
    const { code, stderr } = await plasm(["daemon"], { env: environment(dir) });
    assertEquals(code, 73);
    assertStringIncludes(stderr, "Cannot use state directory");
    assertEquals(stderr.includes(" at "), false);
  }));

Deno.test("the commands submit, wait, show, list and cancel", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start({ dir });
    const env = environment(dir);
    const run = (args: string[], stdin = ""): Promise<PlasmResult> => plasm(args, { env, stdin });

    const submitted = await run(["submit", "--submitter", "me", HELLO], "Hello, World");
    assertMatch(submitted.stdout, /^job_[a-z2-7]{26}\n$/);
    const id = submitted.stdout.trim();
    const result = await run(["result", "--receipt", `${dir}/r.json`, id]);
    assertEquals([result.code, result.stdout], [0, "dlroW ,olleH"]);
    assertEquals((await run(["verify", `${dir}/r.json`, "--module", HELLO])).code, 0);
    assertEquals((await run(["logs", "--follow", id])).stdout, "dlroW ,olleH");
    assertStringIncludes((await run(["status", id])).stdout, "exited 0");
    assertEquals(JSON.parse((await run(["status", "--json", id])).stdout).submitter, "local:me");
    const waited = await run(["submit", "--wait", "--json", HELLO], "abc");
    assertEquals(JSON.parse(waited.stdout).stdout, "cba");

    const endless = await startEndless(daemon);
    assertStringIncludes((await run(["jobs"])).stdout, `${endless}  running`);
    assertEquals((await run(["cancel", endless])).stdout, `${endless}  cancelled\n`);
    assertEquals((await run(["result", endless])).code, 130);
    assertEquals(JSON.parse((await run(["jobs", "--json", "--limit", "1"])).stdout).jobs.length, 1);
    const unknown = await run(["status", `job_${"a".repeat(26)}`]);
    assertEquals([unknown.code, unknown.stdout], [65, ""]);
    assertEquals((await run(["config", "check"])).code, 0);
    assertStringIncludes((await run(["doctor"])).stdout, "answers and takes jobs");
  }));

Deno.test("plasm exec --daemon prints live, ends as the job does, and is cancelled with it", () =>
  withTempDir(async (dir) => {
    await using daemon = await DaemonProcess.start({ dir });
    const env = environment(dir);
    const receipt = `${dir}/r.json`;
    const exec = ["exec", "--daemon"];
    const hello = await plasm([...exec, "--receipt", receipt, HELLO], { env, stdin: "abc" });
    assertEquals([hello.code, hello.stdout, hello.stderr], [0, "cba", ""]);
    assertEquals((await plasm(["verify", receipt, "--module", HELLO], { env })).code, 0);

    const module = `${dir}/exit.wasm`;
    await Deno.writeFile(module, await command(`${write(2, 3)} (call $proc_exit (i32.const 7))`));
    const seven = await plasm([...exec, module], { env });
    assertEquals([seven.code, seven.stderr.length], [7, 3]);
    assertEquals((await plasm([...exec, "--memory-mb", "9999", HELLO], { env })).code, 77);

    await Deno.writeFile(module, await command(ENDLESS));
    const child = spawnPlasm([...exec, module], { env });
    await child.stdin.close();
    const reader = child.stdout.getReader();
    assertEquals((await reader.read()).value?.length, 4);
    child.kill("SIGINT");
    await reader.cancel();
    await child.stderr.cancel();
    assertEquals((await child.status).code, 130);
    await daemon.untilLine((line) => line.event === "job-ended" && line["status"] === "cancelled");
  }));

Deno.test("commands without a daemon exit 69 and say how to start one", () =>
  withTempDir(async (dir) => {
    const env = environment(dir);
    for (const args of [["status"], ["jobs"], ["submit", HELLO]]) {
      const { code, stderr } = await plasm(args, { env });
      assertEquals(code, 69, args.join(" "));
      assertStringIncludes(stderr, "plasm daemon");
    }
  }));
