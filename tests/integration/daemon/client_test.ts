import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { connectDaemon, DaemonClient } from "../../../lib/client/mod.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { writeAll } from "../../../lib/util/bytes.ts";
import { MODULE, testDaemon } from "../../fixtures/daemon/harness.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

async function rejection(promise: Promise<unknown>): Promise<PlasmError> {
  return await assertRejects(() => promise, PlasmError);
}

Deno.test("DaemonClient.submit() and result() return output and a receipt that verifies", async () => {
  await using fixture = await testDaemon();
  const { daemon } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const stdin = encode("Hello");
  const nonce = "ab".repeat(32);
  const { id, state } = await client.submit(MODULE, {
    args: ["echo"],
    stdin,
    nonce,
    inputs: { "a.txt": encode("a"), "dir/": new Uint8Array() },
  });
  assertEquals(state === "failed", false);
  const { job, stdout, receipt } = await client.result(id);
  assert(!("manifest" in job));
  assertEquals({ state: job.state, exitCode: job.exit_code }, { state: "finished", exitCode: 0 });
  assertEquals(stdout, stdin);
  const key = daemon.identity.publicKey;
  await verifyReceipt(receipt, { key, nonce, module: MODULE, stdin, stdout });
  const { manifest } = await client.job(id);
  assertEquals(Object.keys(manifest.inputs ?? {}), ["a.txt", "dir/"]);
});

Deno.test("DaemonClient.submit() uploads large stdin separately and a module once", async () => {
  await using fixture = await testDaemon();
  const { daemon, call } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const stdin = new Uint8Array(200_000).map((_, n) => n);
  for (let n = 0; n < 2; n++) {
    const { id } = await client.submit(MODULE, { manifest: { args: ["echo"] }, stdin });
    assertEquals((await client.result(id)).stdout, stdin);
  }
  const { text } = await call("GET", "/metrics");
  assert(text.includes("\nplasm_cache_blobs 2\n"), text);
});

Deno.test("DaemonClient.run() returns the result in one response, and uploads the module when the daemon lacks it", async () => {
  await using fixture = await testDaemon();
  const { daemon } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const stdin = encode("Hello");
  const nonce = "cd".repeat(32);
  const manifest = { args: ["echo"] };
  const { job, stdout, stderr, receipt } = await client.run(MODULE, { manifest, stdin, nonce });
  assertEquals({ state: job.state, stdout, stderr }, {
    state: "finished",
    stdout: stdin,
    stderr: new Uint8Array(),
  });
  const key = daemon.identity.publicKey;
  await verifyReceipt(receipt, { key, nonce, module: MODULE, stdin, stdout });
  // Output too large for one response, and a module by hash.
  const large = new Uint8Array(200_000).map((_, n) => n);
  const hash = await client.putModule(MODULE);
  assertEquals((await client.run(hash, { manifest, stdin: large })).stdout, large);
  const refused = await rejection(client.run(hash, { manifest: { args: ["refuse"] } }));
  assertEquals(refused.code, "bad-module");
  const unknown = await rejection(client.run(`sha256:${"a".repeat(64)}`));
  assertEquals(unknown.code, "not-found");
});

Deno.test("DaemonClient.result() throws the error of a job without a result", async () => {
  await using fixture = await testDaemon();
  const { daemon } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const { id } = await client.submit(MODULE, { manifest: { args: ["refuse"] } });
  const error = await rejection(client.result(id));
  assertEquals({ code: error.code, message: error.message }, {
    code: "bad-module",
    message: "Cannot run module: it says so",
  });
  assertEquals((await client.job(id)).state, "failed");
  assertEquals((await rejection(client.receipt(id))).code, "not-found");
});

Deno.test("DaemonClient.follow() throws the error of a job without a result; events() yields it", async () => {
  await using fixture = await testDaemon();
  const { daemon } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const { id } = await client.submit(MODULE, { manifest: { args: ["refuse"] } });
  const events = await Array.fromAsync(client.events(id));
  assertEquals(events.at(-1)?.type, "failed");
  const error = await rejection(Array.fromAsync(client.follow(id)));
  assertEquals({ code: error.code, message: error.message }, {
    code: "bad-module",
    message: "Cannot run module: it says so",
  });
  const rest = await Array.fromAsync(client.events(id, { after: events.at(-2)!.id }));
  assertEquals(rest, events.slice(-1));
});

Deno.test("DaemonClient throws the daemon's errors", async () => {
  await using fixture = await testDaemon();
  const { daemon } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const over = await rejection(
    client.submit(MODULE, { manifest: { resources: { memory_mb: 4096 } } }),
  );
  assertEquals({
    code: over.code,
    asked: over.details["asked"],
    allowed: over.details["allowed"],
  }, { code: "over-limit", asked: 4096, allowed: 1024 });
  assertEquals((await rejection(client.job("../../etc/passwd"))).code, "not-found");
  assertEquals((await rejection(client.peers())).code, "disabled");
  assertEquals((await client.ready()).ready, true);
  assertEquals((await client.node()).peer_id, daemon.identity.peerId);
});

Deno.test("DaemonClient.cancel() finishes a running and a queued job", async () => {
  await using fixture = await testDaemon({ config: { "jobs.concurrency": 1 } });
  const { daemon, sandbox } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const submit = (): Promise<{ id: string }> =>
    client.submit(MODULE, { manifest: { args: ["block", "x"] } });
  const running = await submit();
  await sandbox.untilStarted(1);
  const waiting = await submit();
  assertEquals((await client.job(waiting.id)).position, 0);
  for (const { id } of [waiting, running]) {
    const job = await client.cancel(id);
    assertEquals({ state: job.state, status: job.status }, {
      state: "finished",
      status: "cancelled",
    });
    const receipt = await client.receipt(id);
    assertEquals(receipt.claim.status, "cancelled");
    await verifyReceipt(receipt, { key: daemon.identity.publicKey });
    assertEquals((await client.cancel(id)).finished_at, job.finished_at);
  }
  assertEquals((await client.jobs({ state: "finished" })).jobs.length, 2);
});

Deno.test("DaemonClient.result() throws `interrupted` when its signal aborts", async () => {
  await using fixture = await testDaemon();
  const { daemon, sandbox } = fixture;
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
});

Deno.test("every method of DaemonClient throws `interrupted` when its signal aborts, whatever the reason", async () => {
  await using fixture = await testDaemon();
  const { daemon, sandbox } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const blocked = { args: ["block", "x"] };
  const { id } = await client.submit(MODULE, blocked);
  await sandbox.untilStarted(1);
  const drain = async (items: AsyncIterable<unknown>): Promise<void> => {
    for await (const _ of items);
  };
  const calls: Record<string, (options: { signal: AbortSignal }) => Promise<unknown>> = {
    putModule: (options) => client.putModule(MODULE, options),
    putInput: (options) => client.putInput(MODULE, options),
    submit: (options) => client.submit(MODULE, { ...options, ...blocked }),
    run: (options) => client.run(MODULE, { ...options, ...blocked }),
    pipe: (options) => drain(client.pipe(MODULE, { ...options, ...blocked })),
    job: (options) => client.job(id, options),
    jobs: (options) => client.jobs(options),
    cancel: (options) => client.cancel(id, options),
    follow: (options) => drain(client.follow(id, options)),
    events: (options) => drain(client.events(id, options)),
    output: (options) => client.output(id, "stdout", options),
    outputArchive: (options) => client.outputArchive(id, options),
    outputArchiveParts: (options) => drain(client.outputArchiveParts(id, options)),
    receipt: (options) => client.receipt(id, options),
    result: (options) => client.result(id, options),
    node: (options) => client.node(options),
    peers: (options) => client.peers(options),
    discover: (options) => drain(client.discover({}, options)),
    ready: (options) => client.ready(options),
    version: (options) => client.version(options),
    metrics: (options) => client.metrics(options),
  };
  for (const reason of [undefined, new Error("own"), "text"]) {
    for (const [name, call] of Object.entries(calls)) {
      const { code } = await rejection(call({ signal: AbortSignal.abort(reason) }));
      assertEquals(code, "interrupted", name);
    }
    for (const name of ["run", "pipe", "follow", "events", "result"]) {
      const controller = new AbortController();
      const { signal } = controller;
      const rejected = rejection(calls[name]!({ signal }));
      controller.abort(reason);
      assertEquals((await rejected).code, "interrupted", name);
    }
  }
});

Deno.test("a response that a signal aborts while it is read fails with `interrupted`", async () => {
  let onRead: () => void = () => {};
  const serving = new AbortController();
  const { finished, addr } = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {}, signal: serving.signal },
    () => {
      const body = new ReadableStream({
        start: (controller) => controller.enqueue(encode("{")),
        pull: () => onRead(),
      });
      return new Response(body);
    },
  );
  using client = new DaemonClient({ url: `http://127.0.0.1:${addr.port}` });
  const calls: ((options: { signal: AbortSignal }) => Promise<unknown>)[] = [
    (options) => client.node(options),
    (options) => client.metrics(options),
    (options) => client.discover({}, options).next(),
    async (options) => await new Response(await client.output("id", "stdout", options)).bytes(),
    async (options) => {
      for await (const _ of client.outputArchiveParts("id", { ...options, follow: true }));
    },
  ];
  for (const call of calls) {
    for (const reason of [undefined, new Error("own"), "text"]) {
      const controller = new AbortController();
      onRead = () => controller.abort(reason);
      const { signal } = controller;
      assertEquals((await rejection(call({ signal }))).code, "interrupted");
    }
  }
  serving.abort();
  await finished;
});

Deno.test("DaemonClient.outputArchiveParts() refuses a response that ends early or is encoded", async () => {
  const bodies = {
    "no-daemon": "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nfirst",
    "protocol": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n",
    "not-found": "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
    "": "HTTP/1.1 200 OK\r\n\r\nfirst",
  };
  for (const [code, response] of Object.entries(bodies)) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const serving = (async () => {
      using conn = await listener.accept();
      await conn.read(new Uint8Array(1000));
      await writeAll(conn, encode(response));
    })();
    using client = new DaemonClient({ url: `http://127.0.0.1:${listener.addr.port}` });
    const read = async (): Promise<string> => {
      let text = "";
      for await (const part of client.outputArchiveParts("id")) {
        text += new TextDecoder().decode(part);
      }
      return text;
    };
    if (code === "") assertEquals(await read(), "first");
    else assertEquals((await rejection(read())).code, code);
    await serving;
  }
});

/** A proxy that breaks each connection after a number of bytes of the response, often within an event. */
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
        await writeAll(client, buffer.subarray(0, size));
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

Deno.test("DaemonClient.follow() yields every event once when connections break", async () => {
  await using fixture = await testDaemon();
  const { daemon, dir } = fixture;
  await using proxy = cuttingProxy(`${dir}/proxy.sock`, daemon.socket);
  using direct = connectDaemon({ socket: daemon.socket });
  using client = connectDaemon({ socket: `${dir}/proxy.sock` });
  const length = 1_000_000;
  const { id } = await direct.submit(MODULE, { manifest: { args: ["write", `${length}`] } });
  let last = 0;
  let received = 0;
  let final = "";
  for await (const event of client.follow(id)) {
    if (event.type === "queued") continue;
    assert(event.id! > last, `${event.id} after ${last}`);
    last = event.id!;
    if (event.type === "stdout") {
      assert(event.data.every((byte, at) => byte === ((received + at) * 7) % 256));
      received += event.data.length;
    }
    final = event.type;
  }
  assertEquals({ received, final }, { received: length, final: "finished" });
  assert(proxy.connections() > 5, `${proxy.connections()} connections`);
});

Deno.test("DaemonClient.follow() reconnects when the daemon restarts", async () => {
  await using fixture = await testDaemon();
  const { daemon, sandbox, restart } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const { id } = await client.submit(MODULE, {
    manifest: { args: ["block", "x"], idempotent: true },
  });
  const types: string[] = [];
  for await (const event of client.follow(id)) {
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
});

Deno.test("a daemon evicts finished jobs when their output exceeds the limit", async () => {
  await using fixture = await testDaemon({ config: { "retention.bytes": 1_000_000 } });
  const { daemon } = fixture;
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
});

Deno.test("connectDaemon() names the sockets it tried when there is none", () => {
  const env = (name: string): string | undefined =>
    name === "XDG_RUNTIME_DIR" ? "/none" : undefined;
  const error = assertThrows(() => connectDaemon({ env }), PlasmError, "/none/plasm/plasm.sock");
  assertEquals({ code: error.code, exitCode: error.exitCode }, { code: "no-daemon", exitCode: 69 });
});

Deno.test("DaemonClient throws the operating system's reason when nothing listens on the socket", async () => {
  const socket = await Deno.makeTempFile();
  try {
    using client = connectDaemon({ socket });
    const message = `Cannot reach daemon at ${socket}: Connection refused`;
    const module = `sha256:${"0".repeat(64)}`;
    for (const call of [() => client.node(), () => client.pipe(module).next()]) {
      const error = await rejection(call());
      assertEquals({ code: error.code, message: error.message }, { code: "no-daemon", message });
    }
  } finally {
    await Deno.remove(socket);
  }
});

Deno.test("DaemonClient connects by TCP when it has a token", async () => {
  await using fixture = await testDaemon({ config: { "api.tcp.listen": "127.0.0.1:0" } });
  const { daemon: { tcp } } = fixture;
  const url = `http://127.0.0.1:${tcp!.port}`;
  using client = connectDaemon({ url, token: tcp!.token });
  assertEquals((await client.version()).name, "plasm");
  using stranger = connectDaemon({ url, token: "x".repeat(64) });
  assertEquals((await rejection(stranger.version())).code, "unauthorized");
});
