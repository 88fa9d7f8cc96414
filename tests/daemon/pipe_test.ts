/**
 * Piped runs: standard input and output of a job through one connection.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { connectDaemon, type DaemonClient, type PipeOptions } from "../../lib/client/mod.ts";
import { sha256 } from "../../lib/job/hash.ts";
import type { JobJson } from "../../lib/api_types.ts";
import type { Receipt } from "../../lib/job/types.ts";
import { joinBytes } from "../../lib/bytes.ts";
import { command } from "../../lib/sandbox/testing.ts";
import { withDaemon } from "./harness.ts";

/** WAT that copies stdin to stdout, 64 KiB at once. */
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
  for await (const event of client.pipe(module, options)) {
    if (event.type === "stdout" || event.type === "stderr") parts[event.type].push(event.data);
    if (event.type === "finished") {
      const { stdout, stderr } = parts;
      return { ...event, stdout: joinBytes(stdout), stderr: joinBytes(stderr) };
    }
  }
  throw new Error("The run ended without an end");
}

/** Bytes that are not the same anywhere. */
function pattern(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).map((_, n) => n * 31 + (n >> 8));
}

Deno.test("pipe() passes input and output through, and keeps the job and its receipt alone", () =>
  withDaemon(async ({ daemon, call }) => {
    using client = connectDaemon({ socket: daemon.socket });
    const stdin = pattern(3_000_001);
    const { stdout, stderr, job, receipt } = await piped(client, await command(CAT), {
      stdin: new Blob([stdin]).stream(),
    });
    assertEquals(stdout.length, stdin.length);
    assertEquals(await sha256(stdout), await sha256(stdin));
    assertEquals(stderr.length, 0);
    assertEquals([job.state, job.piped, job.stdin_hash], ["finished", true, await sha256(stdin)]);
    assertEquals([job.stdout_bytes, receipt.stdout_bytes], [stdin.length, stdin.length]);
    const kept = await call("GET", `/v1/jobs/${job.id}`);
    assertEquals(kept.json["stdin_hash"], receipt.stdin_hash);
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
  }, { real: true }));
