/**
 * Measures a gibibyte through the daemon's socket: piped through a job, and as three stored steps: upload as an
 * input, pass through a job, download as its output.
 * @module
 */
import { createHash } from "node:crypto";
import { connectDaemon, type DaemonClient, type PipeOptions } from "../../lib/client/mod.ts";
import { DEFAULT_RESOURCES } from "../../lib/core/manifest.ts";
import { loadNativeHash, sha256 } from "../../lib/core/hash.ts";
import { command } from "../../tests/fixtures/sandbox_jobs.ts";
import { figuresOf, startNodeProcess } from "./node_process.ts";
import { type BenchSection, median } from "./row.ts";

const CHUNK_BYTES = 2 ** 20;
const CHUNKS = 1024;

/** Wall-clock limit of the job in seconds; slow machines must be measured, not refused. */
const TIMEOUT_SECONDS = 300;

/** Row with the target. */
const PIPED = "piped through a job, hashes checked";

/** Runs whose median is reported; during the first, a new daemon still starts executors. */
const PIPED_RUNS = 3;

/** Polling interval for the job's completion, in ms. */
const LOOK_MS = 10;

/** Sampling interval of the daemon's memory, in ms; each sample starts a process. */
const WATCH_MS = 500;

/** WAT of a program that copies stdin to stdout in blocks of 64 KiB. */
const CAT = `(loop $next
  (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 65536))
  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
  (i32.store (i32.const 4) (i32.load (i32.const 8)))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
  (br_if $next (i32.load (i32.const 8))))`;

/** Section `socket`. */
export const socket: BenchSection = async function* ({ binary, signal }) {
  const dir = await Deno.makeTempDir({ prefix: "pl" });
  try {
    const bytes = CHUNK_BYTES * CHUNKS;
    await using node = await startNodeProcess({
      dir,
      binary,
      set: {
        "network.enabled": "false",
        "cache.max_bytes": `${4 * bytes}`,
        "retention.bytes": `${4 * bytes}`,
        "jobs.ceilings.input_bytes": `${bytes}`,
        "jobs.ceilings.output_bytes": `${bytes}`,
      },
    });
    await loadNativeHash(); // already loaded in a long-running program
    using client = connectDaemon({ socket: node.socket });
    const chunk = new Uint8Array(CHUNK_BYTES).map((_, n) => n * 31);
    const hasher = createHash("sha256");
    let begin = performance.now();
    for (let n = 0; n < CHUNKS; n++) hasher.update(chunk);
    const hashMs = performance.now() - begin;
    const hash = `sha256:${hasher.digest("hex")}`;
    const module = await command(CAT);
    await client.putModule(module);

    let peak = 0;
    const watch = setInterval(async () => {
      peak = Math.max(peak, (await figuresOf(node.pid)).rss);
    }, WATCH_MS);
    const steps: [what: string, ms: number][] = [];
    begin = performance.now();
    const mark = (what: string): void => {
      steps.push([what, performance.now() - begin]);
      begin = performance.now();
    };
    try {
      const resources = { ...DEFAULT_RESOURCES, timeout_seconds: TIMEOUT_SECONDS };
      const times: number[] = [];
      for (let run = 0; run < PIPED_RUNS; run++) {
        begin = performance.now();
        await pipe(client, module, { manifest: { resources }, signal, chunk, hash });
        times.push(performance.now() - begin);
      }
      steps.push([PIPED, median(times)]);
      begin = performance.now();
      await put(node.socket, `/v1/inputs/${hash}`, chunk);
      mark("stored: send it as an input");
      const manifest = { stdin_hash: hash, resources };
      const { id } = await client.submit(await sha256(module), { manifest, signal });
      let job = await client.job(id, { signal });
      while (job.finished_at === null) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        job = await client.job(id, { signal });
      }
      if (job.status !== "exited") throw new Error(`Job failed: ${JSON.stringify(job)}`);
      mark("stored: pass it through the job");
      const found = createHash("sha256");
      for await (const part of await client.output(id, "stdout", { signal })) found.update(part);
      if (`sha256:${found.digest("hex")}` !== hash) {
        throw new Error("Output does not match the input");
      }
      mark("stored: read it");
    } finally {
      clearInterval(watch);
    }
    const stored = steps.slice(1).reduce((sum, [, time]) => sum + time, 0);
    for (const [what, time] of [...steps, ["stored, all of it", stored] as const]) {
      yield {
        what,
        measured: `${(bytes / 1e3 / time).toFixed(0)} MB/s`,
        against: `hashing it alone ${(bytes / 1e3 / hashMs).toFixed(0)} MB/s`,
        ratio: time / hashMs,
        ...(what === PIPED ? { goal: "≥ 300 MB/s" } : {}),
      };
    }
    yield {
      what: "the daemon's resident memory, peak",
      measured: `${peak.toFixed(0)} MiB`,
      against: `of ${CHUNKS} MiB that passed`,
    };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
};

/** Pipes the repeated chunk through the job; the client library verifies the receipt against both streams. */
async function pipe(
  client: DaemonClient,
  module: Uint8Array,
  { chunk, hash, ...options }: PipeOptions & { chunk: Uint8Array; hash: string },
): Promise<void> {
  let left = CHUNKS;
  const stdin = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (left-- > 0) controller.enqueue(chunk);
      else controller.close();
    },
  }, { highWaterMark: 0 });
  for await (const event of client.pipe(module, { ...options, stdin })) {
    if (event.type !== "finished") continue;
    const { status, stdin_hash, stdout: { hash: stdout_hash } } = event.receipt!.claim;
    if (status === "exited" && stdin_hash === hash && stdout_hash === hash) return;
  }
  throw new Error("Job output differs from its input");
}

/**
 * Uploads the repeated chunk as one body of known length, as the client library does for data in memory: fetch()
 * would send a chunked stream, which takes Deno 2.9's server quadratic time.
 */
async function put(socket: string, path: string, chunk: Uint8Array): Promise<void> {
  using conn = await Deno.connect({ transport: "unix", path: socket });
  const send = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
  };
  const head = [
    `PUT ${path} HTTP/1.1`,
    "host: localhost",
    "content-type: application/octet-stream",
    `content-length: ${chunk.length * CHUNKS}`,
  ];
  await send(new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n`));
  for (let n = 0; n < CHUNKS; n++) await send(chunk);
  const buffer = new Uint8Array(4096);
  const length = await conn.read(buffer) ?? 0;
  const text = new TextDecoder().decode(buffer.subarray(0, length));
  if (!text.startsWith("HTTP/1.1 201")) throw new Error(`Daemon rejected the input: ${text}`);
}
