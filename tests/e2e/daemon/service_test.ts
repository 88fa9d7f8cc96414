/**
 * Tests the daemon as a process (signals, systemd, exclusive state directory) and the commands that use it.
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connectDaemon } from "../../../lib/client/mod.ts";
import { sha256 } from "../../../lib/core/mod.ts";
import { command, SPIN, write } from "../../fixtures/sandbox_jobs.ts";
import { plasm, type PlasmResult, spawnPlasm } from "../../fixtures/plasm.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";
import { DaemonProcess, environment } from "../../fixtures/daemon/daemon_process.ts";

const HELLO = new URL("../../../examples/hello/hello.wasm", import.meta.url).pathname;

/** Writes a line, then loops forever. */
const ENDLESS = `${write(1, 4)} ${SPIN}`;

/** Starts an endless job and waits for its first output. */
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

Deno.test("the daemon waits for a running job within the grace period and exits with 0 on SIGTERM", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
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
  assertEquals({ jobId: ended["job_id"], status: ended["status"] }, {
    jobId: id,
    status: "exited",
  });
  await daemon.untilEvent("daemon-stopped");
  assertEquals((await jobAfterRestart(dir, id)).state, "finished");
});

Deno.test("the daemon interrupts a job that exceeds the grace period on SIGTERM", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using daemon = await DaemonProcess.start({ dir, set: { "shutdown.grace_seconds": 0 } });
  const id = await startEndless(daemon);
  daemon.signal("SIGTERM");
  assertEquals((await daemon.ended()).code, 0);
  assertEquals((await jobAfterRestart(dir, id)).state, "interrupted");
});

Deno.test("the daemon exits immediately on a second SIGTERM and re-runs an idempotent job", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using daemon = await DaemonProcess.start({ dir, set: { "shutdown.grace_seconds": 600 } });
  const id = await startEndless(daemon, true);
  daemon.signal("SIGTERM");
  await daemon.untilEvent("daemon-stopping");
  daemon.signal("SIGTERM");
  assertEquals((await daemon.ended()).code, 143);
  const { state } = await jobAfterRestart(dir, id);
  assert(state === "running" || state === "queued", state);
});

Deno.test("a second daemon fails on a state directory or socket that is in use", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using _daemon = await DaemonProcess.start({ dir });
  const env = environment(dir);
  const state = await plasm(["daemon", "--socket", `${dir}/b.sock`], { env });
  assertEquals(state.code, 75);
  assertStringIncludes(state.stderr, "another daemon runs on it");
  const socket = await plasm(["daemon", "--state-dir", `${dir}/other`], { env });
  assertEquals(socket.code, 75);
  assertStringIncludes(socket.stderr, "another daemon listens there");
  assertEquals((await plasm(["status"], { env })).code, 0);
});

Deno.test("a daemon continues with a restored copy of its state directory, which docs/operations.md describes", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const set = {
    "network.enabled": "true",
    "network.listen": "/ip4/127.0.0.1/tcp/0",
    "api.tcp.listen": "127.0.0.1:0",
  };
  const stdin = new Uint8Array(200_000);
  const before = await (async () => {
    await using daemon = await DaemonProcess.start({ dir, set });
    using client = connectDaemon({ socket: daemon.socket });
    const result = await client.run(await Deno.readFile(HELLO), { stdin });
    const { peer_id } = await client.node();
    daemon.signal("SIGTERM");
    assertEquals((await daemon.ended()).code, 0);
    return { ...result, peer_id };
  })();
  const documented = await Deno.readTextFile(
    new URL("../../../docs/operations.md", import.meta.url),
  );
  const files = await Array.fromAsync(
    Deno.readDir(`${dir}/state`),
    ({ name, isDirectory }) => isDirectory ? `${name}/` : name,
  );
  assertEquals(files.filter((name) => !documented.includes(`\`${name}\``)), []);

  const tar = async (...args: string[]): Promise<void> => {
    const { success } = await new Deno.Command("tar", { args: ["-C", dir, ...args] }).output();
    assert(success);
  };
  await tar("-czpf", `${dir}/plasm.tar.gz`, "state");
  await Deno.remove(`${dir}/state`, { recursive: true });
  await tar("-xzpf", `${dir}/plasm.tar.gz`);

  await using daemon = await DaemonProcess.start({ dir, set });
  using client = connectDaemon({ socket: daemon.socket });
  const { peer_id } = await client.node();
  const { stdout, receipt } = await client.result(before.receipt.run.job_id);
  assertEquals({ peer_id, receipt }, { peer_id: before.peer_id, receipt: before.receipt });
  assertEquals(await sha256(stdout), await sha256(before.stdout));
  assertEquals(daemon.log.filter(({ level }) => level === "error"), []);
});

Deno.test("a daemon replaces the stale socket of a killed daemon", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
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
});

Deno.test("the daemon reloads live keys on SIGHUP, logs those that need a restart and ignores invalid files", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.mkdir(`${dir}/plasm`);
  const file = `${dir}/plasm/config.jsonc`;
  await Deno.writeTextFile(file, `{"jobs": {"queue_max": 7}}`);
  await using daemon = await DaemonProcess.start({ dir });
  using client = connectDaemon({ socket: daemon.socket });
  assertEquals((await client.node()).load.queue_max, 7);
  await Deno.writeTextFile(file, `{"jobs": {"queue_max": 9, "warm_executors": 2}}`);
  daemon.signal("SIGHUP");
  const line = await daemon.untilEvent("config-reloaded");
  assertEquals({ applied: line["applied"], needsRestart: line["needs_restart"] }, {
    applied: ["jobs.queue_max"],
    needsRestart: ["jobs.warm_executors"],
  });
  assertEquals((await client.node()).load.queue_max, 9);
  await Deno.writeTextFile(file, `{"jobs": {"queue_mix": 9}}`);
  daemon.signal("SIGHUP");
  const refused = await daemon.untilEvent("reload-refused");
  assertStringIncludes(JSON.stringify(refused["error"]), "queue_mix");
  assertEquals((await client.node()).load.queue_max, 9);
});

Deno.test("plasm reload prints the keys applied, those that need a restart, and the error of an invalid file", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const env = environment(dir);
  await Deno.mkdir(`${dir}/plasm`);
  const file = `${dir}/plasm/config.jsonc`;
  await Deno.writeTextFile(file, "{}");
  await using _ = await DaemonProcess.start({ dir });
  assertEquals((await plasm(["reload"], { env })).stdout, "nothing changed\n");
  await Deno.writeTextFile(file, `{"jobs": {"queue_max": 9, "warm_executors": 2}}`);
  assertEquals(
    (await plasm(["reload"], { env })).stdout,
    "applied: jobs.queue_max\nneeds a restart: jobs.warm_executors\n",
  );
  await Deno.writeTextFile(file, `{"jobs": {"queue_mix": 9}}`);
  const { code, stdout, stderr } = await plasm(["reload"], { env });
  assertEquals({ code, stdout }, { code: 78, stdout: "" });
  assertMatch(stderr, /unknown key\s+"jobs.queue_mix"/);
});

Deno.test("exec, submit and doctor work when the daemon's configuration file is invalid", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using daemon = await DaemonProcess.start({ dir, set: { "jobs.memory_budget_mb": 333 } });
  const env = { ...environment(dir), PLASM_CONFIG: `${dir}/broken.jsonc` };
  await Deno.writeTextFile(`${dir}/broken.jsonc`, `{"jobs": {"queue_mx": 1}}`);
  for (const args of [["exec", HELLO], ["submit", "--wait", HELLO], ["exec", "--daemon", HELLO]]) {
    const { code, stdout, stderr } = await plasm(args, { env, stdin: "Hello" });
    assertEquals({ code, stdout, stderr }, { code: 0, stdout: "olleH", stderr: "" });
  }
  const { code, stdout } = await plasm(["doctor", "--json"], { env });
  assertEquals(code, 1);
  const results = new Map<string, { result: string; found: string }>(
    JSON.parse(stdout).findings.map((one: { check: string }) => [one.check, one]),
  );
  assertMatch(results.get("config")!.found, /unknown key\s+"jobs.queue_mx"/);
  assertEquals(results.get("config")!.result, "fail");
  assertEquals(results.get("socket")!.result, "ok");
  assertEquals(results.get("executor")!.result, "ok");
  assertMatch(results.get("memory")!.found, /jobs.memory_budget_mb is 333 MB/);
  assertEquals(results.get("state")!.found, `${dir}/state, of the daemon`);
  for (const check of ["settings", "queue", "jobs", "network"]) assert(results.has(check), check);
  assert(daemon.pid > 0);
});

Deno.test("plasm id and plasm status print the daemon's key, and plasm id --local the user's", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.mkdir(`${dir}/daemon`);
  const own = { PLASM_STATE_DIR: `${dir}/own`, XDG_RUNTIME_DIR: dir };
  await using daemon = await DaemonProcess.start({ dir: `${dir}/daemon` });
  const env = { ...own, PLASM_SOCKET: daemon.socket };
  const id = JSON.parse((await plasm(["id", "--json"], { env })).stdout);
  const local = JSON.parse((await plasm(["id", "--local", "--json"], { env })).stdout);
  assertEquals([id.owner, local.owner], ["daemon", "user"]);
  using client = connectDaemon({ socket: daemon.socket });
  const { peer_id, public_key } = await client.node();
  assertEquals(id, { peer_id, public_key, owner: "daemon" });
  assert(local.public_key !== public_key);
  const { stdout } = await plasm(["status"], { env });
  assertStringIncludes(stdout, peer_id);
  assertStringIncludes(stdout, public_key);
  const { receipt } = await client.run(await Deno.readFile(HELLO));
  await Deno.writeTextFile(`${dir}/r.json`, JSON.stringify(receipt));
  const verify = (key: string): Promise<PlasmResult> =>
    plasm(["verify", `${dir}/r.json`, "--key", key], { env });
  assertEquals((await verify(public_key)).code, 0);
  assertEquals((await verify(local.public_key)).code, 76);

  daemon.signal("SIGTERM");
  await daemon.ended();
  const stopped = await plasm(["id"], { env });
  assertEquals({ code: stopped.code, stdout: stopped.stdout }, { code: 69, stdout: "" });
  assertStringIncludes(stopped.stderr, "plasm id --local");
});

Deno.test("plasm backup copies a running daemon's state, with which another daemon continues", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const env = environment(dir);
  await using daemon = await DaemonProcess.start({ dir, set: { "jobs.concurrency": 1 } });
  using client = connectDaemon({ socket: daemon.socket });
  const { peer_id } = await client.node();
  const module = await Deno.readFile(HELLO);
  const large = await client.run(module, { stdin: new Uint8Array(400_000).fill(97) });
  const small = await client.run(module, { stdin: new TextEncoder().encode("Hello") });
  await startEndless(daemon);
  const { id: queued } = await client.submit(module, { stdin: new TextEncoder().encode("later") });

  const saved = await plasm(["backup", `${dir}/copy`, "--json"], { env });
  assertEquals(saved.code, 0, saved.stderr);
  assertEquals(JSON.parse(saved.stdout).jobs, 4);
  assertEquals((await Deno.stat(`${dir}/copy`)).mode! & 0o777, 0o700);
  assertEquals((await Deno.stat(`${dir}/copy/identity.key`)).mode! & 0o777, 0o600);
  const again = await plasm(["backup", `${dir}/copy`], { env });
  assertEquals(again.code, 2);
  assertStringIncludes(again.stderr, "is not empty");
  assertEquals((await client.ready()).ready, true);

  await using restored = await DaemonProcess.start({
    dir,
    env: { PLASM_STATE_DIR: `${dir}/copy`, PLASM_SOCKET: `${dir}/copy.sock` },
  });
  using other = connectDaemon({ socket: `${dir}/copy.sock` });
  assertEquals((await other.node()).peer_id, peer_id);
  for (const { job, stdout, receipt } of [large, small]) {
    const found = await other.result(job.id);
    assertEquals(found.receipt, receipt);
    assertEquals(await sha256(found.stdout), await sha256(stdout));
  }
  assertEquals(new TextDecoder().decode((await other.result(queued)).stdout), "retal");
  assertEquals(restored.log.filter(({ level }) => level === "error"), []);
});

Deno.test("a daemon notifies systemd when it is ready and when it stops", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
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
});

Deno.test("a daemon reports a state directory that it cannot write to", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.writeTextFile(`${dir}/state`, "a file where the directory should be");
  const { code, stderr } = await plasm(["daemon"], { env: environment(dir) });
  assertEquals(code, 73);
  assertStringIncludes(stderr, "Cannot use state directory");
  assertEquals(stderr.includes(" at "), false);
});

Deno.test("plasm submit, wait, show, list and cancel manage a job", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using daemon = await DaemonProcess.start({ dir });
  const env = environment(dir);
  const run = (args: string[], stdin = ""): Promise<PlasmResult> => plasm(args, { env, stdin });

  const submitted = await run(["submit", "--submitter", "me", HELLO], "Hello, World");
  assertMatch(submitted.stdout, /^job_[a-z2-7]{26}\n$/);
  const id = submitted.stdout.trim();
  const result = await run(["result", "--receipt", `${dir}/r.json`, id]);
  assertEquals({ code: result.code, stdout: result.stdout }, { code: 0, stdout: "dlroW ,olleH" });
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
  assertEquals({ code: unknown.code, stdout: unknown.stdout }, { code: 65, stdout: "" });
  assertEquals((await run(["config", "check"])).code, 0);
  assertStringIncludes((await run(["doctor"])).stdout, "runs and accepts jobs");
});

Deno.test("plasm exec --daemon streams output, exits like the job and cancels it on SIGINT", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using daemon = await DaemonProcess.start({ dir });
  const env = environment(dir);
  const receipt = `${dir}/r.json`;
  const exec = ["exec", "--daemon"];
  const hello = await plasm([...exec, "--receipt", receipt, HELLO], { env, stdin: "abc" });
  assertEquals({ code: hello.code, stdout: hello.stdout, stderr: hello.stderr }, {
    code: 0,
    stdout: "cba",
    stderr: "",
  });
  assertEquals((await plasm(["verify", receipt, "--module", HELLO], { env })).code, 0);

  const module = `${dir}/exit.wasm`;
  await Deno.writeFile(module, await command(`${write(2, 3)} (call $proc_exit (i32.const 7))`));
  const seven = await plasm([...exec, module], { env });
  assertEquals({ code: seven.code, stderrLength: seven.stderr.length }, {
    code: 7,
    stderrLength: 3,
  });
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
});

Deno.test("commands exit with 69 and a hint when no daemon runs", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const env = environment(dir);
  for (const args of [["status"], ["jobs"], ["submit", HELLO]]) {
    const { code, stderr } = await plasm(args, { env });
    assertEquals(code, 69, args.join(" "));
    assertStringIncludes(stderr, "plasm daemon");
  }
});
