import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connectDaemon } from "../../../lib/client/mod.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { MODULE, withDaemon } from "../../fixtures/daemon/harness.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

async function rejection(promise: Promise<unknown>): Promise<PlasmError> {
  return await assertRejects(() => promise, PlasmError);
}

Deno.test("DaemonClient.submit() and result() give output and a receipt that verifies", () =>
  withDaemon(async ({ daemon }) => {
    using client = connectDaemon({ socket: daemon.socket });
    const stdin = encode("Hello");
    const nonce = "ab".repeat(32);
    const { id, state } = await client.submit(MODULE, {
      manifest: { args: ["echo"] },
      stdin,
      nonce,
      inputs: { "a.txt": encode("a"), "dir/": new Uint8Array() },
    });
    assertEquals(state === "failed", false);
    const { job, stdout, receipt } = await client.result(id);
    assertEquals([job.state, job.exit_code], ["finished", 0]);
    assertEquals(stdout, stdin);
    const key = daemon.identity.publicKey;
    await verifyReceipt(receipt, { key, nonce, module: MODULE, stdin, stdout });
    const { manifest } = await client.job(id);
    assertEquals(Object.keys(manifest.inputs ?? {}), ["a.txt", "dir/"]);
  }));

Deno.test("DaemonClient.submit() sends large stdin apart and a module once", () =>
  withDaemon(async ({ daemon, call }) => {
    using client = connectDaemon({ socket: daemon.socket });
    const stdin = new Uint8Array(200_000).map((_, n) => n);
    for (let n = 0; n < 2; n++) {
      const { id } = await client.submit(MODULE, { manifest: { args: ["echo"] }, stdin });
      assertEquals((await client.result(id)).stdout, stdin);
    }
    const { text } = await call("GET", "/metrics");
    assert(text.includes("\nplasm_cache_blobs 2\n"), text);
  }));

Deno.test("DaemonClient.run() gives all in one answer, and sends the module when it is not there", () =>
  withDaemon(async ({ daemon }) => {
    using client = connectDaemon({ socket: daemon.socket });
    const stdin = encode("Hello");
    const nonce = "cd".repeat(32);
    const manifest = { args: ["echo"] };
    const { job, stdout, stderr, receipt } = await client.run(MODULE, { manifest, stdin, nonce });
    assertEquals([job.state, stdout, stderr], ["finished", stdin, new Uint8Array()]);
    const key = daemon.identity.publicKey;
    await verifyReceipt(receipt, { key, nonce, module: MODULE, stdin, stdout });
    // Too long for one answer, and named by its hash.
    const large = new Uint8Array(200_000).map((_, n) => n);
    const hash = await client.putModule(MODULE);
    assertEquals((await client.run(hash, { manifest, stdin: large })).stdout, large);
    const refused = await rejection(client.run(hash, { manifest: { args: ["refuse"] } }));
    assertEquals(refused.code, "bad-module");
    const unknown = await rejection(client.run(`sha256:${"a".repeat(64)}`));
    assertEquals(unknown.code, "not-found");
  }));

Deno.test("DaemonClient.result() throws the error of a job without a result", () =>
  withDaemon(async ({ daemon }) => {
    using client = connectDaemon({ socket: daemon.socket });
    const { id } = await client.submit(MODULE, { manifest: { args: ["refuse"] } });
    const error = await rejection(client.result(id));
    assertEquals([error.code, error.message], ["bad-module", "Cannot run module: it says so"]);
    assertEquals((await client.job(id)).state, "failed");
    assertEquals((await rejection(client.receipt(id))).code, "not-found");
  }));

Deno.test("DaemonClient gives the daemon's own errors", () =>
  withDaemon(async ({ daemon }) => {
    using client = connectDaemon({ socket: daemon.socket });
    const over = await rejection(
      client.submit(MODULE, { manifest: { resources: { memory_mb: 4096 } } }),
    );
    assertEquals([over.code, over.details["asked"], over.details["allowed"]], [
      "over-limit",
      4096,
      1024,
    ]);
    assertEquals((await rejection(client.job("../../etc/passwd"))).code, "not-found");
    assertEquals((await rejection(client.peers())).code, "no-peer");
    assertEquals((await client.ready()).ready, true);
    assertEquals((await client.node()).peer_id, daemon.identity.peerId);
  }));

Deno.test("DaemonClient cancels a job that runs and one that waits", () =>
  withDaemon(async ({ daemon, sandbox }) => {
    using client = connectDaemon({ socket: daemon.socket });
    const submit = (): Promise<{ id: string }> =>
      client.submit(MODULE, { manifest: { args: ["block", "x"] } });
    const running = await submit();
    await sandbox.untilStarted(1);
    const waiting = await submit();
    assertEquals((await client.job(waiting.id)).position, 0);
    for (const { id } of [waiting, running]) {
      const job = await client.cancel(id);
      assertEquals([job.state, job.status], ["finished", "cancelled"]);
      const receipt = await client.receipt(id);
      assertEquals(receipt.status, "cancelled");
      await verifyReceipt(receipt, { key: daemon.identity.publicKey });
      assertEquals((await client.cancel(id)).finished_at, job.finished_at);
    }
    assertEquals((await client.jobs({ state: "finished" })).jobs.length, 2);
  }, { config: { "jobs.concurrency": 1 } }));

Deno.test("DaemonClient stops waiting when its signal aborts", () =>
  withDaemon(async ({ daemon, sandbox }) => {
    using client = connectDaemon({ socket: daemon.socket });
    const { id } = await client.submit(MODULE, { manifest: { args: ["block", "x"] } });
    const controller = new AbortController();
    const result = client.result(id, { signal: controller.signal });
    await sandbox.untilStarted(1);
    controller.abort();
    assertEquals((await rejection(result)).code, "interrupted");
    assertEquals(
      (await rejection(client.node({ signal: AbortSignal.abort() }))).code,
      "interrupted",
    );
    assertEquals((await client.job(id)).state, "running");
  }));

/** A proxy that breaks each connection after some bytes of the answer: often within one event. */
function cuttingProxy(
  path: string,
  target: string,
): { connections: () => number } & AsyncDisposable {
  const listener = Deno.listen({ transport: "unix", path });
  let connections = 0;
  const pipes = new Set<Promise<void>>();
  const pipe = async (client: Deno.Conn): Promise<void> => {
    let left = 700 + (++connections * 79_190) % 200_000;
    const server = await Deno.connect({ transport: "unix", path: target });
    const up = client.readable.pipeTo(server.writable).catch(() => {});
    const buffer = new Uint8Array(1000);
    try {
      while (left > 0) {
        const size = await server.read(buffer.subarray(0, Math.min(left, 1000)));
        if (size === null) break;
        left -= size;
        for (let at = 0; at < size;) at += await client.write(buffer.subarray(at, size));
      }
    } catch { /* either side is gone */ }
    for (const conn of [client, server]) {
      try {
        conn.close();
      } catch { /* closed by its streams */ }
    }
    await up;
  };
  const serving = (async () => {
    for await (const conn of listener) {
      const done = pipe(conn).finally(() => pipes.delete(done));
      pipes.add(done);
    }
  })();
  return {
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      listener.close();
      await serving;
      await Promise.allSettled(pipes);
    },
  };
}

Deno.test("DaemonClient.events() goes on after broken connections, and misses and repeats nothing", () =>
  withDaemon(async ({ daemon, dir }) => {
    await using proxy = cuttingProxy(`${dir}/proxy.sock`, daemon.socket);
    using direct = connectDaemon({ socket: daemon.socket });
    using client = connectDaemon({ socket: `${dir}/proxy.sock` });
    const length = 1_000_000;
    const { id } = await direct.submit(MODULE, { manifest: { args: ["write", `${length}`] } });
    let last = 0;
    let received = 0;
    let final = "";
    for await (const event of client.events(id)) {
      if (event.type === "queued") continue;
      assert(event.id > last, `${event.id} after ${last}`);
      last = event.id;
      if (event.type === "stdout") {
        assertEquals(event.offset, received);
        assert(event.data.every((byte, at) => byte === ((received + at) * 7) % 256));
        received += event.data.length;
      }
      final = event.type;
    }
    assertEquals([received, final], [length, "finished"]);
    assert(proxy.connections() > 5, `${proxy.connections()} connections`);
  }));

Deno.test("DaemonClient.events() goes on over a restart of the daemon", () =>
  withDaemon(async (fixture) => {
    const { daemon, sandbox, restart } = fixture;
    using client = connectDaemon({ socket: daemon.socket });
    const { id } = await client.submit(MODULE, {
      manifest: { args: ["block", "x"], idempotent: true },
    });
    const types: string[] = [];
    for await (const event of client.events(id)) {
      types.push(event.type);
      if (event.type === "started" && sandbox.started.length === 1) await restart();
      if (event.type === "interrupted") sandbox.release("x");
    }
    assertEquals(types.filter((type) => type !== "queued" && type !== "stdout"), [
      "started",
      "interrupted",
      "started",
      "finished",
    ]);
    assertEquals((await client.job(id)).attempts, 2);
  }));

Deno.test("a daemon lets go of ended jobs when their output grows over the limit", () =>
  withDaemon(async ({ daemon }) => {
    using client = connectDaemon({ socket: daemon.socket });
    for (let n = 0; n < 20; n++) {
      const { id } = await client.submit(MODULE, { manifest: { args: ["write", "100000"] } });
      for await (const _ of client.events(id));
    }
    // Retention runs periodically; the test's time limit bounds the wait.
    for (let bytes = Infinity; bytes > 1_000_000;) {
      bytes = Number(/^plasm_store_bytes (\d+)$/m.exec(await client.metrics())?.[1]);
      assert(bytes > 0);
    }
    assertEquals((await client.jobs()).jobs.length, 9);
  }, { config: { "retention.bytes": 1_000_000 } }));

Deno.test("connectDaemon() says where it looked", () => {
  const env = (name: string): string | undefined =>
    name === "XDG_RUNTIME_DIR" ? "/none" : undefined;
  const error = assertThrows(() => connectDaemon({ env }), PlasmError, "/none/plasm/plasm.sock");
  assertEquals([error.code, error.exitCode], ["no-daemon", 69]);
});

Deno.test("DaemonClient speaks TCP with a token", () =>
  withDaemon(async ({ daemon: { tcp } }) => {
    const url = `http://127.0.0.1:${tcp!.port}`;
    using client = connectDaemon({ url, token: tcp!.token });
    assertEquals((await client.version()).name, "plasm");
    using stranger = connectDaemon({ url, token: "x".repeat(64) });
    assertEquals((await rejection(stranger.version())).code, "unauthorized");
  }, { config: { "api.tcp.listen": "127.0.0.1:0" } }));
