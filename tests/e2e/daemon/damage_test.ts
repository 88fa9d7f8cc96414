/**
 * Truncates and corrupts each file of a state directory, as a power failure can, and checks that the daemon starts,
 * reports the loss and accepts jobs.
 * @module
 */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { connectDaemon, type DaemonClient } from "../../../lib/client/mod.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { command, write } from "../../fixtures/sandbox_jobs.ts";
import { plasm } from "../../fixtures/plasm.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";
import { DaemonProcess, environment } from "../../fixtures/daemon/daemon_process.ts";

/** Above the inline limit of the database, so that the output is stored in a file. */
const OUTPUT_BYTES = 300_000;

const PAGE = 65_536;

/** Writes {@linkcode OUTPUT_BYTES} zeros. */
const WORK = `(drop (memory.grow (i32.const 4))) ${write(1, OUTPUT_BYTES - 1024)} ${
  write(1, 1024)
}`;

interface World extends AsyncDisposable {
  dir: string;
  state: string;
  module: Uint8Array;
}

/** Creates a state directory in which one job has run. */
async function stateWithJob(): Promise<World> {
  await using resources = new AsyncDisposableStack();
  const { path: dir } = resources.use(await tempDir());
  const module = await command(WORK);
  const world: World = {
    dir,
    state: `${dir}/state`,
    module,
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
  await start(world);
  const disposal = resources.move();
  return world;
}

/** Findings after a start: log, peer id, and the job that ran before. */
interface Found {
  errors: string[];
  lines: readonly Record<string, unknown>[];
  peerId: string;
}

/**
 * Starts a daemon, collects its findings, runs a job, and kills it.
 */
async function start(
  { dir, module }: World,
  inspect: (client: DaemonClient) => Promise<void> = () => Promise.resolve(),
  set: Record<string, string | number> = {},
): Promise<Found> {
  await using daemon = await DaemonProcess.start({ dir, set });
  using client = connectDaemon({ socket: daemon.socket });
  await inspect(client);
  const { id } = await client.submit(module);
  const { job, stdout, receipt } = await client.result(id);
  assertEquals({ status: job.status, stdoutLength: stdout.length }, {
    status: "exited",
    stdoutLength: OUTPUT_BYTES,
  });
  await verifyReceipt(receipt, { module, stdout, nonce: job.nonce });
  const { peer_id } = await client.node();
  return {
    errors: daemon.log.filter(({ level }) => level === "error").map(({ event }) => event),
    lines: daemon.log,
    peerId: peer_id,
  };
}

/** Truncates a file. */
async function cut(path: string, share: number): Promise<void> {
  await Deno.truncate(path, Math.floor((await Deno.stat(path)).size * share));
}

Deno.test("a daemon with a damaged key creates a new identity and logs an error", async () => {
  await using world = await stateWithJob();
  const path = `${world.state}/identity.key`;
  const key = await Deno.readFile(path);
  let { peerId } = await start(world);
  const changes = [new Uint8Array(), key.subarray(0, 60), key.map((byte) => byte ^ 0x80)];
  for (const bytes of changes) {
    await Deno.writeFile(path, bytes);
    const found = await start(world, async (client) => {
      // Existing receipts still verify.
      const { jobs: [job] } = await client.jobs({ limit: 1 });
      await verifyReceipt(await client.receipt(job!.id));
    });
    assertEquals(found.errors, ["identity-damaged", "identity-changed"]);
    const changed = found.lines.find(({ event }) => event === "identity-changed")!;
    assertEquals({ peerId: changed["peer_id"], formerPeerId: changed["former_peer_id"] }, {
      peerId: found.peerId,
      formerPeerId: peerId,
    });
    const damaged = found.lines.find(({ event }) => event === "identity-damaged")!;
    assertEquals(await Deno.readFile(String(damaged["moved_to"])), bytes);
    assertNotEquals(found.peerId, peerId);
    peerId = found.peerId;
  }
  // A key with one changed letter is still a valid key.
  const text = await Deno.readTextFile(path);
  const at = text.indexOf("\n") + 40;
  const letter = text[at] === "A" ? "B" : "A";
  await Deno.writeTextFile(path, text.slice(0, at) + letter + text.slice(at + 1));
  assertEquals((await start(world)).errors, ["identity-changed"]);
  assertEquals((await start(world)).errors, []);
});

Deno.test("a daemon starts with a truncated or corrupted job store and logs what it recovered", async () => {
  await using world = await stateWithJob();
  const path = `${world.state}/jobs.db`;
  await start(world);
  const changes: [part: string, share: number][] = [
    ["jobs.db-shm", 0],
    ["jobs.db-shm", 0.5],
    ["jobs.db-wal", 0.5],
    ["jobs.db", 0.5],
    ["jobs.db", 0.01],
  ];
  for (const [part, share] of changes) {
    await cut(`${world.state}/${part}`, share);
    const { errors } = await start(world);
    assert(["", "job-store-damaged"].includes(errors.join()), errors.join());
  }
  // Otherwise the write-ahead log would restore everything.
  await Deno.remove(`${path}-wal`);
  await Deno.writeFile(path, crypto.getRandomValues(new Uint8Array(PAGE)));
  const { errors, lines } = await start(world);
  assertEquals(errors, ["job-store-damaged"]);
  const report = lines.find(({ event }) => event === "job-store-damaged")!;
  assertEquals({ recoveredJobs: report["recovered_jobs"], lostRows: report["lost_rows"] }, {
    recoveredJobs: 0,
    lostRows: 0,
  });
  assert((await Deno.stat(String(report["moved_to"]))).isFile);
});

Deno.test("a daemon starts with truncated modules and outputs and logs each of them", async () => {
  await using world = await stateWithJob();
  const files = (folder: string): string[] =>
    [...Deno.readDirSync(`${world.state}/${folder}`)].map(({ name }) =>
      `${world.state}/${folder}/${name}`
    );
  for (const path of [...files("blobs"), ...files("outputs")]) await cut(path, 0.5);
  const { errors } = await start(world, async (client) => {
    const { jobs: [job] } = await client.jobs({ limit: 1 });
    await verifyReceipt(await client.receipt(job!.id));
    try {
      const stdout = await new Response(await client.output(job!.id, "stdout")).bytes();
      assert(stdout.length < OUTPUT_BYTES);
    } catch (error) {
      assert(!(error instanceof PlasmError) || error.code !== "internal", String(error));
    }
  });
  assertEquals(errors.filter((event) => event !== "request-failed"), []);
  assertEquals(files("blobs").length, 1);
});

Deno.test("a daemon starts with a truncated token, lock, peer and reputation file", async () => {
  await using world = await stateWithJob();
  const set = {
    "api.tcp.listen": "127.0.0.1:0",
    "network.enabled": "true",
    "network.listen": "/ip4/127.0.0.1/tcp/0",
    "network.mdns": "false",
    "network.upnp": "false",
  };
  const nothing = (): Promise<void> => Promise.resolve();
  const { peerId } = await start(world, nothing, set);
  const token = await Deno.readTextFile(`${world.state}/api.token`);
  await cut(`${world.state}/api.token`, 0.1);
  await cut(`${world.state}/identity.json`, 0.5);
  await Deno.writeTextFile(`${world.state}/daemon.lock`, "\0\xff");
  await Deno.writeTextFile(`${world.state}/peers.json`, '{"version":1,"peers":[{"id"');
  await Deno.writeTextFile(`${world.state}/reputation.json`, '{"version":1,"peers":7}');
  const found = await start(world, nothing, set);
  assertEquals({ errors: found.errors, peerId: found.peerId }, {
    errors: ["token-damaged"],
    peerId,
  });
  const fresh = await Deno.readTextFile(`${world.state}/api.token`);
  assertEquals({ length: fresh.length, isSame: fresh === token }, {
    length: token.length,
    isSame: false,
  });
  assert(found.lines.some(({ event, error_code }) => event === "peer-store" && error_code));
});

Deno.test("a daemon rejects a truncated configuration with a one-line error", async () => {
  await using world = await stateWithJob();
  const { dir } = world;
  await Deno.mkdir(`${dir}/plasm`);
  const path = `${dir}/plasm/config.jsonc`;
  await Deno.writeTextFile(path, '{ "jobs": { "concurr');
  const { code, stderr } = await plasm(["daemon", "--config", path], { env: environment(dir) });
  assertEquals(code, 78);
  assertStringIncludes(stderr, path);
  assert(!stderr.includes("    at "), stderr);
});
