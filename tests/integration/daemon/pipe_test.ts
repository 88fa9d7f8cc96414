/**
 * Piped runs: standard input and output of a job through one connection.
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { connectDaemon, type DaemonClient, type PipeOptions } from "../../../lib/client/mod.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { EMPTY_HASH, sha256 } from "../../../lib/core/hash.ts";
import type { JobJson } from "../../../lib/api/api_types.gen.ts";
import type { Receipt } from "../../../lib/core/types.gen.ts";
import { concat } from "../../../lib/util/bytes.ts";
import { PIPE_PROTOCOL, PipeConn, PipeFrame } from "../../../lib/api/pipe_frames.ts";
import { readRawResponse, sendUpgrade } from "../../../lib/client/daemon_transport.ts";
import { command, SPIN, write } from "../../fixtures/sandbox_jobs.ts";
import { plasm, spawnPlasm } from "../../fixtures/plasm.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";
import { testDaemon } from "../../fixtures/daemon/harness.ts";
import { DaemonProcess, environment } from "../../fixtures/daemon/daemon_process.ts";

/** WAT that copies stdin to stdout, 64 KiB at a time. */
const CAT = `(loop $next
  (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 65536))
  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
  (i32.store (i32.const 4) (i32.load (i32.const 8)))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
  (br_if $next (i32.load (i32.const 8))))`;

interface Piped {
  stdout: Uint8Array;
  stderr: Uint8Array;
  job: JobJson;
  receipt: Receipt;
}

async function piped(
  client: DaemonClient,
  module: Uint8Array,
  options: PipeOptions = {},
): Promise<Piped> {
  const parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  let id = "";
  for await (const event of client.pipe(module, options)) {
    if (event.type === "queued") id = event.jobId;
    if (event.type === "stdout" || event.type === "stderr") {
      parts[event.type].push(event.data.slice());
    }
    if (event.type === "finished") {
      const receipt = event.receipt!;
      const { status, exitCode } = event.outcome;
      assertEquals({ status, exitCode }, {
        status: receipt.claim.status,
        exitCode: receipt.claim.exit_code,
      });
      const [stdout, stderr] = [concat(parts.stdout), concat(parts.stderr)];
      return { job: await client.job(id), receipt, stdout, stderr };
    }
  }
  throw new Error("The run ended without a finished event");
}

/** Bytes that differ at every offset. */
function pattern(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).map((_, n) => n * 31 + (n >> 8));
}

Deno.test("pipe() streams input and output and stores only the job and its receipt", async () => {
  await using fixture = await testDaemon({ real: true });
  const { daemon, call } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const stdin = pattern(3_000_001);
  const { stdout, stderr, job, receipt } = await piped(client, await command(CAT), {
    stdin: new Blob([stdin]).stream(),
  });
  assertEquals(stdout.length, stdin.length);
  assertEquals(await sha256(stdout), await sha256(stdin));
  assertEquals(stderr.length, 0);
  assertEquals({ state: job.state, piped: job.piped, stdinHash: job.stdin_hash }, {
    state: "finished",
    piped: true,
    stdinHash: await sha256(stdin),
  });
  assertEquals({ job: job.stdout_bytes, receipt: receipt.claim.stdout.bytes }, {
    job: stdin.length,
    receipt: stdin.length,
  });
  const kept = await call("GET", `/v1/jobs/${job.id}`);
  assertEquals(kept.json["stdin_hash"], receipt.claim.stdin_hash);
  assertEquals(
    (await call("GET", `/v1/jobs/${job.id}/receipt`)).json["signature"],
    receipt.signature,
  );
  for (const stream of ["stdout", "stderr"]) {
    const { status, json } = await call("GET", `/v1/jobs/${job.id}/${stream}`);
    assertEquals(status, 404);
    assert(JSON.stringify(json).includes("piped"));
  }
  const { events } = await call("GET", `/v1/jobs/${job.id}/events`);
  assertEquals(events.map(({ type }) => type), ["queued", "started", "finished"]);
});

/** WAT that reads once, writes a byte and ends. */
const SIP = `(i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 10))
  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))) ${write(1, 1)}`;

/** WAT that writes endlessly. */
const FLOOD = `(loop $more ${write(1, 60_000)} (br $more))`;

/** Endless stream that counts the bytes read. */
function endless(piece: Uint8Array): { stream: ReadableStream<Uint8Array>; taken: () => number } {
  let bytes = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      bytes += piece.length;
      controller.enqueue(piece);
    },
  }, { highWaterMark: 0 });
  return { stream, taken: () => bytes };
}

Deno.test("pipe() returns a receipt when the job reads part of its input or none", async () => {
  await using fixture = await testDaemon({ real: true });
  const { daemon } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const { stream, taken } = endless(pattern(300_000));
  const sip = await piped(client, await command(SIP), { stdin: stream });
  assertEquals({ status: sip.job.status, stdoutLength: sip.stdout.length }, {
    status: "exited",
    stdoutLength: 1,
  });
  // 64 MiB more are read, and the bytes in transit.
  assert(taken() < 100 * 2 ** 20);
  const none = await piped(
    client,
    await command(`${write(2, 3)} (call $proc_exit (i32.const 7))`),
  );
  assertEquals({ exitCode: none.job.exit_code, stderrLength: none.stderr.length }, {
    exitCode: 7,
    stderrLength: 3,
  });
  assertEquals(none.receipt.claim.stdin_hash, EMPTY_HASH);
  const idle = new ReadableStream<Uint8Array>();
  assertEquals(
    (await piped(client, await command(write(1, 1)), { stdin: idle })).job.status,
    "exited",
  );
  const end = await piped(client, await command("unreachable"), { stdin: pattern(10) });
  assertEquals({ job: end.job.status, receipt: end.receipt.claim.status }, {
    job: "trapped",
    receipt: "trapped",
  });
});

Deno.test("pipe() cancels its running or queued job when the caller leaves the loop", async () => {
  await using fixture = await testDaemon({ real: true, config: { "jobs.concurrency": 1 } });
  const { daemon, over } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const flood = await command(FLOOD);
  let first = "";
  for await (const event of client.pipe(flood)) {
    if (event.type === "queued") first = event.jobId;
    if (event.type !== "stdout") continue;
    // Concurrency is 1: this job is queued.
    let second = "";
    for await (const waiting of client.pipe(flood)) {
      assertEquals(waiting.type, "queued");
      if (waiting.type === "queued") second = waiting.jobId;
      break;
    }
    const { state, status, started_at } = await over(second);
    assertEquals({ state, status, hasStarted: started_at !== null }, {
      state: "finished",
      status: "cancelled",
      hasStarted: true,
    });
    break;
  }
  const { state, status } = await over(first);
  assertEquals({ state, status }, { state: "finished", status: "cancelled" });
});

Deno.test("pipe() fails when its source fails, its signal aborts or another client cancels the job", async () => {
  await using fixture = await testDaemon({ real: true });
  const { daemon, over } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const cat = await command(CAT);
  const broken = new ReadableStream<Uint8Array>({
    pull: () => Promise.reject(new Error("the disk is broken")),
  });
  await assertRejects(() => piped(client, cat, { stdin: broken }), Error, "the disk is broken");

  const stopped = new AbortController();
  const idle = { stdin: new ReadableStream<Uint8Array>(), signal: stopped.signal };
  let id = "";
  const aborted = await assertRejects(async () => {
    for await (const event of client.pipe(cat, idle)) {
      if (event.type === "queued") id = event.jobId;
      if (event.type === "started") stopped.abort();
    }
  }, PlasmError);
  assertEquals(aborted.code, "interrupted");
  assertEquals((await over(id))["status"], "cancelled");

  for await (const event of client.pipe(cat, { stdin: new ReadableStream<Uint8Array>() })) {
    if (event.type === "queued") id = event.jobId;
    if (event.type === "started") void client.cancel(id);
    if (event.type === "finished") assertEquals(event.receipt?.claim.status, "cancelled");
  }
});

Deno.test("pipe() interrupts running and queued jobs when the daemon stops", async () => {
  await using fixture = await testDaemon({ real: true, config: { "jobs.concurrency": 1 } });
  const { daemon, restart, call } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const flood = await command(FLOOD);
  const manifest = { idempotent: true };
  const running = client.pipe(flood, { manifest });
  const waiting = client.pipe(flood, { manifest });
  const ids: string[] = [];
  for await (const event of running) {
    if (event.type === "queued") ids.push(event.jobId);
    if (event.type !== "stdout") continue;
    const next = await waiting.next();
    if (!next.done && next.value.type === "queued") ids.push(next.value.jobId);
    // Neither is read meanwhile: one is blocked in a write, the other queued.
    await restart();
    break;
  }
  assertEquals(ids.length, 2);
  await waiting.return();
  for (const id of ids) {
    const { json } = await call("GET", `/v1/jobs/${id}`);
    assertEquals(json["state"], "interrupted");
    assertEquals((json["error"] as { code: string }).code, "interrupted");
    assertEquals((await call("GET", `/v1/jobs/${id}/receipt`)).status, 404);
  }
});

Deno.test("pipe() fails when input exceeds the limit and ends the job when output does", async () => {
  await using fixture = await testDaemon({ real: true, config: { "api.piped_bytes": 100_000 } });
  const { daemon } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const error = await assertRejects(
    async () => await piped(client, await command(CAT), { stdin: pattern(100_001) }),
    PlasmError,
  );
  assertEquals({ code: error.code, allowed: error.details["allowed"] }, {
    code: "too-large",
    allowed: 100_000,
  });
  const { job, stdout } = await piped(client, await command(FLOOD));
  assertEquals(job.status, "output");
  assert(stdout.length <= 100_000);
});

Deno.test("pipe() connects over TCP with a token and reports why a job is rejected", async () => {
  await using fixture = await testDaemon({
    real: true,
    config: { "api.tcp.listen": "127.0.0.1:0" },
  });
  const { daemon: { tcp } } = fixture;
  const url = `http://127.0.0.1:${tcp!.port}`;
  const cat = await command(CAT);
  using client = connectDaemon({ url, token: tcp!.token });
  assertEquals((await piped(client, cat, { stdin: pattern(100) })).stdout, pattern(100));
  const lacking = `sha256:${"0".repeat(64)}`;
  const error = await assertRejects(() => client.pipe(lacking).next(), PlasmError);
  assertEquals(error.code, "not-found");
});

/** Headers of raw upgrade requests. */
const HEADERS = { host: "localhost" };

/** Returns the kinds of the frames received after sending bytes. */
async function framesAfter(socket: string, module_hash: string, sent: number[]): Promise<number[]> {
  using conn = await Deno.connect({ transport: "unix", path: socket });
  const json = { manifest: { module_hash } };
  await sendUpgrade(conn, { path: "/v1/pipe", protocol: PIPE_PROTOCOL, json, headers: HEADERS });
  const { status, rest } = await readRawResponse(conn);
  assertEquals(status, 101);
  await conn.write(new Uint8Array(sent));
  const pipe = new PipeConn(conn, { before: rest });
  const kinds: number[] = [];
  while (true) {
    const header = await pipe.next();
    if (header === undefined) return kinds;
    await pipe.payload();
    kinds.push(header.kind);
  }
}

Deno.test("servePipe() reports invalid frames and cancels the job", async () => {
  await using fixture = await testDaemon({ real: true });
  const { daemon, call } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const hash = await client.putModule(await command(CAT));
  const wrong = [
    [99, 0, 0, 0, 0],
    [PipeFrame.Result, 0, 0, 0, 0],
    [PipeFrame.StdinEnd, 1, 0, 0, 0, 7],
    [PipeFrame.Stdin, 255, 255, 255, 255],
    [PipeFrame.Stdin, 1, 0, 0, 0, 7, 99, 0, 0, 0, 0],
  ];
  for (const sent of wrong) {
    const kinds = await framesAfter(daemon.socket, hash, sent);
    assertEquals(kinds.at(-1), PipeFrame.Failed);
  }
  const { json } = await call("GET", "/v1/jobs");
  const jobs = json["jobs"] as Record<string, unknown>[];
  assertEquals(jobs.map(({ status }) => status), wrong.map(() => "cancelled"));
});

Deno.test("servePipe() cancels the job when the client closes its sending side early", async () => {
  await using fixture = await testDaemon({ real: true });
  const { daemon, over } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const module_hash = await client.putModule(await command(SPIN));
  using conn = await Deno.connect({ transport: "unix", path: daemon.socket });
  const json = { manifest: { module_hash } };
  await sendUpgrade(conn, { path: "/v1/pipe", protocol: PIPE_PROTOCOL, json, headers: HEADERS });
  const { headers } = await readRawResponse(conn);
  await conn.closeWrite();
  const { state, status } = await over(headers.get("location")!.split("/").at(-1)!);
  assertEquals({ state, status }, { state: "finished", status: "cancelled" });
});

Deno.test("a daemon interrupts a piped job when the one before was killed, and never re-runs it", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using first = await DaemonProcess.start({ dir, set: { "network.enabled": "false" } });
  using client = connectDaemon({ socket: first.socket });
  const ids: string[] = [];
  const lost = await assertRejects(async () => {
    const options = { manifest: { idempotent: true }, stdin: new ReadableStream<Uint8Array>() };
    for await (const event of client.pipe(await command(CAT), options)) {
      if (event.type === "queued") ids.push(event.jobId);
      if (event.type !== "started") continue;
      first.signal("SIGKILL");
      await first.ended();
    }
  }, PlasmError);
  assertEquals(lost.code, "no-daemon");
  await using second = await DaemonProcess.start({ dir, set: { "network.enabled": "false" } });
  using again = connectDaemon({ socket: second.socket });
  const job = await again.job(ids[0]!);
  assertEquals({ state: job.state, code: job.error?.code, piped: job.piped }, {
    state: "interrupted",
    code: "interrupted",
    piped: true,
  });
  const error = await assertRejects(() => again.output(job.id, "stdout"), PlasmError);
  assertEquals(error.code, "not-found");
});

Deno.test("plasm exec --pipe streams through the daemon and writes a receipt of both streams", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using daemon = await DaemonProcess.start({ dir, set: { "network.enabled": "false" } });
  const env = environment(dir);
  const [module, receipt] = [`${dir}/cat.wasm`, `${dir}/r.json`];
  await Deno.writeFile(module, await command(CAT));
  const stdin = pattern(2_000_003);
  const run = await plasm(["exec", "--pipe", "--receipt", receipt, module], { env, stdin });
  assertEquals({ code: run.code, stderr: run.stderr }, { code: 0, stderr: "" });
  assertEquals(await sha256(run.bytes), await sha256(stdin));
  await Deno.writeFile(`${dir}/in`, stdin);
  const given = ["--module", module, "--stdin", `${dir}/in`, "--stdout", `${dir}/in`];
  assertEquals((await plasm(["verify", receipt, ...given], { env })).code, 0);
  using client = connectDaemon({ socket: daemon.socket });
  const { jobs } = await client.jobs();
  assertEquals(jobs.map(({ piped, state }) => [piped, state]), [[true, "finished"]]);

  await Deno.writeFile(module, await command(`${write(2, 5)} (call $proc_exit (i32.const 9))`));
  const other = await plasm(["exec", "--pipe", module], { env });
  assertEquals({ code: other.code, stderrLength: other.stderr.length }, {
    code: 9,
    stderrLength: 5,
  });
  for (const more of ["--json", "--remote"]) {
    assertEquals((await plasm(["exec", "--pipe", more, module], { env })).code, 2);
  }
});

Deno.test("plasm exec --pipe cancels its job when it is interrupted", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using daemon = await DaemonProcess.start({ dir, set: { "network.enabled": "false" } });
  using client = connectDaemon({ socket: daemon.socket });
  await Deno.writeFile(`${dir}/spin.wasm`, await command(`${write(1, 5)} ${SPIN}`));
  const child = spawnPlasm(["exec", "--pipe", `${dir}/spin.wasm`], { env: environment(dir) });
  const reader = child.stdout.getReader();
  assertEquals((await reader.read()).value?.length, 5);
  child.kill("SIGINT");
  reader.releaseLock();
  const [status] = await Promise.all([
    child.status,
    child.stdin.close(),
    child.stdout.cancel(),
    child.stderr.cancel(),
  ]);
  assertEquals(status.code, 130);
  const [job] = (await client.jobs()).jobs;
  await Array.fromAsync(client.events(job!.id));
  assertEquals((await client.job(job!.id)).status, "cancelled");
});
