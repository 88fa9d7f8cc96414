/**
 * What a power cut can leave of the files of a state directory: each is cut off or changed, and the
 * daemon starts, says what was lost, and takes jobs.
 * @module
 */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { connectDaemon, type DaemonClient } from "../../../lib/client/mod.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { command, write } from "../../fixtures/sandbox_jobs.ts";
import { plasm, withTempDir } from "../../fixtures/plasm.ts";
import { DaemonProcess, environment } from "../../fixtures/daemon/daemon_process.ts";

/** More than the database keeps of a stream: the rest is in a file. */
const OUTPUT_BYTES = 300_000;

const PAGE = 65_536;

/** Writes {@linkcode OUTPUT_BYTES} zeros. */
const WORK = `(drop (memory.grow (i32.const 4))) ${write(1, OUTPUT_BYTES - 1024)} ${
  write(1, 1024)
}`;

interface World {
  dir: string;
  state: string;
  module: Uint8Array;
}

/** A state directory in which one job has run. */
async function withState(test: (world: World) => Promise<void>): Promise<void> {
  await withTempDir(async (dir) => {
    const world = { dir, state: `${dir}/state`, module: await command(WORK) };
    await start(world);
    await test(world);
  });
}

/** What a start found: its log, the peer id, and the job that it ran. */
interface Found {
  errors: string[];
  lines: readonly Record<string, unknown>[];
  peerId: string;
}

/**
 * Starts a daemon, looks, runs a job, and kills it.
 */
async function start(
  { dir, module }: World,
  look: (client: DaemonClient) => Promise<void> = () => Promise.resolve(),
  set: Record<string, string | number> = {},
): Promise<Found> {
  await using daemon = await DaemonProcess.start({ dir, set });
  using client = connectDaemon({ socket: daemon.socket });
  await look(client);
  const { id } = await client.submit(module);
  const { job, stdout, receipt } = await client.result(id);
  assertEquals([job.status, stdout.length], ["exited", OUTPUT_BYTES]);
  await verifyReceipt(receipt, { module, stdout, nonce: job.nonce });
  const { peer_id } = await client.node();
  return {
    errors: daemon.log.filter(({ level }) => level === "error").map(({ event }) => event),
    lines: daemon.log,
    peerId: peer_id,
  };
}

/** Keeps the first bytes of a file. */
async function cut(path: string, share: number): Promise<void> {
  await Deno.truncate(path, Math.floor((await Deno.stat(path)).size * share));
}

Deno.test("a daemon whose key is damaged becomes another node, and says so", () =>
  withState(async (world) => {
    const path = `${world.state}/identity.key`;
    const key = await Deno.readFile(path);
    let { peerId } = await start(world);
    const changes = [new Uint8Array(), key.subarray(0, 60), key.map((byte) => byte ^ 0x80)];
    for (const bytes of changes) {
      await Deno.writeFile(path, bytes);
      const found = await start(world, async (client) => {
        // What was signed stays what it was.
        const { jobs: [job] } = await client.jobs({ limit: 1 });
        await verifyReceipt(await client.receipt(job!.id));
      });
      assertEquals(found.errors, ["identity-damaged", "identity-changed"]);
      const changed = found.lines.find(({ event }) => event === "identity-changed")!;
      assertEquals([changed["peer_id"], changed["former_peer_id"]], [found.peerId, peerId]);
      const damaged = found.lines.find(({ event }) => event === "identity-damaged")!;
      assertEquals(await Deno.readFile(String(damaged["moved_to"])), bytes);
      assertNotEquals(found.peerId, peerId);
      peerId = found.peerId;
    }
    // A key in which one letter is another is a key.
    const text = await Deno.readTextFile(path);
    const at = text.indexOf("\n") + 40;
    const letter = text[at] === "A" ? "B" : "A";
    await Deno.writeTextFile(path, text.slice(0, at) + letter + text.slice(at + 1));
    assertEquals((await start(world)).errors, ["identity-changed"]);
    assertEquals((await start(world)).errors, []);
  }));

Deno.test("a daemon starts with a job store that was cut off or changed, and says what it saved", () =>
  withState(async (world) => {
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
    // It alone would bring everything back.
    await Deno.remove(`${path}-wal`);
    await Deno.writeFile(path, crypto.getRandomValues(new Uint8Array(PAGE)));
    const { errors, lines } = await start(world);
    assertEquals(errors, ["job-store-damaged"]);
    const told = lines.find(({ event }) => event === "job-store-damaged")!;
    assertEquals([told["saved_jobs"], told["lost_rows"]], [0, 0]);
    assert((await Deno.stat(String(told["moved_to"]))).isFile);
  }));

Deno.test("a daemon starts with modules and outputs that were cut off, and tells which", () =>
  withState(async (world) => {
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
  }));

Deno.test("a daemon starts with what else was cut off: token, lock, peers, reputations", () =>
  withState(async (world) => {
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
    assertEquals([found.errors, found.peerId], [["token-damaged"], peerId]);
    const fresh = await Deno.readTextFile(`${world.state}/api.token`);
    assertEquals([fresh.length, fresh === token], [token.length, false]);
    assert(found.lines.some(({ event, error_code }) => event === "peer_store" && error_code));
  }));

Deno.test("a daemon refuses a configuration that was cut off, in one line", () =>
  withState(async ({ dir }) => {
    await Deno.mkdir(`${dir}/plasm`);
    const path = `${dir}/plasm/config.jsonc`;
    await Deno.writeTextFile(path, '{ "jobs": { "concurr');
    const { code, stderr } = await plasm(["daemon", "--config", path], { env: environment(dir) });
    assertEquals(code, 78);
    assertStringIncludes(stderr, path);
    assert(!stderr.includes("    at "), stderr);
  }));
