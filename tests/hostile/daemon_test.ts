/**
 * A daemon that serves somebody's jobs while somebody else's do their worst: every job has its end and
 * its receipt, nobody's turn is taken, and nothing is left.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { connectDaemon, type DaemonClient } from "../../lib/client/mod.ts";
import { PlasmError } from "../../lib/errors.ts";
import { createNonce } from "../../lib/job/job_id.ts";
import { verifyReceipt } from "../../lib/job/verify_receipt.ts";
import { DaemonProcess } from "../daemon/process.ts";
import { withTempDir } from "../plasm.ts";
import { type HostileModule, importOf } from "./case.ts";
import { HOSTILE_MODULES } from "./modules.ts";
import { assemble } from "./wat.ts";

/** One of a kind each: time, engine heap, tables, exceptions, compiler, memory. */
const NASTY = [
  "loop-in-start-function",
  "gc-list",
  "table-grow",
  "exception-list",
  "compile-locals-in-branches",
  "memory-initial",
];

/** Jobs that only loop, given all at once. */
const LOOPS = 20;

const RESOURCES = { memory_mb: 64, timeout_seconds: 1 };

/** Jobs of the other submitter: fewer than it takes turns to get through the hostile ones. */
const HONEST_JOBS = 6;

/** Writes 64 KiB again and again. */
const FLOOD = `(module ${importOf("fd_write")} (memory (export "memory") 2)
  (func (export "_start") (i32.store (i32.const 4) (i32.const 65536))
    (loop $again (drop (call $fd_write
      (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br $again))))`;

const HELLO = new URL("../../examples/hello/hello.wasm", import.meta.url);

const find = (name: string): HostileModule => HOSTILE_MODULES.find((one) => one.name === name)!;

/** What ps(1) has of a process or of the children of one. */
async function ps(...args: string[]): Promise<number[]> {
  const { stdout } = await new Deno.Command("ps", { args }).output();
  return new TextDecoder().decode(stdout).split(/\s+/).filter(Boolean).map(Number);
}

async function hasPs(): Promise<boolean> {
  try {
    return (await ps("-o", "pid=", "-p", `${Deno.pid}`))[0] === Deno.pid;
  } catch {
    console.warn("SKIPPED: there is no ps (Debian: procps)");
    return false;
  }
}

const rssKb = async (pid: number): Promise<number> => (await ps("-o", "rss=", "-p", `${pid}`))[0]!;

/** Waits until a process has no children: an executor is ended just after its job's end is told. */
async function untilChildless(pid: number): Promise<void> {
  const until = Date.now() + 10_000;
  let children = await ps("-o", "pid=", "--ppid", `${pid}`);
  while (children.length > 0 && Date.now() < until) {
    children = await ps("-o", "pid=", "--ppid", `${pid}`);
  }
  assertEquals(children, []);
}

/** Runs a job that does nothing wrong and checks all that there is to check. */
async function runHonest(client: DaemonClient, module: Uint8Array, text: string): Promise<void> {
  const stdin = new TextEncoder().encode(text);
  const nonce = createNonce();
  const { id } = await client.submit(module, { submitter: "honest", stdin, nonce });
  const { job, stdout, receipt } = await client.result(id);
  assertEquals([job.status, job.exit_code], ["exited", 0]);
  assertEquals(new TextDecoder().decode(stdout), [...text].reverse().join(""));
  await verifyReceipt(receipt, { nonce, module, stdin, stdout, jobId: id });
}

/** The end of a hostile job, as its receipt tells or as it was refused. */
async function endOf(client: DaemonClient, submitted: Promise<string>): Promise<string> {
  try {
    const { receipt, stdout } = await client.result(await submitted);
    await verifyReceipt(receipt, { stdout });
    return receipt.status;
  } catch (error) {
    if (error instanceof PlasmError) return `rejected ${error.code}`;
    throw error;
  }
}

Deno.test("a daemon serves a submitter while another's jobs do their worst, and nothing is left", async () => {
  if (!await hasPs()) return;
  await withTempDir(async (dir) => {
    const set = { "jobs.concurrency": 2, "jobs.warm_executors": 0 };
    await using daemon = await DaemonProcess.start({ dir, set });
    using client = connectDaemon({ socket: daemon.socket });
    const hello = await Deno.readFile(HELLO);
    await runHonest(client, hello, "before");
    await untilChildless(daemon.pid);
    const before = await rssKb(daemon.pid);

    const submit = async (module: Uint8Array): Promise<string> => {
      const manifest = { resources: RESOURCES };
      return (await client.submit(module, { submitter: "hostile", manifest })).id;
    };
    // Its reader takes one event and then no more until all is over.
    const flood = submit(await assemble(FLOOD));
    const unread = client.events(await flood)[Symbol.asyncIterator]();
    await unread.next();
    const nasty = await Promise.all(NASTY.map(async (name) => {
      const { bytes, expect } = find(name);
      return { name, expect, end: endOf(client, submit(await bytes())) };
    }));
    const loop = await find("loop").bytes();
    let looping = LOOPS;
    const loops = Array.from(
      { length: LOOPS },
      () => endOf(client, submit(loop)).finally(() => looping--),
    );

    for (let i = 0; i < HONEST_JOBS; i++) await runHonest(client, hello, `honest ${i}`);
    assert(looping > 0, "the honest jobs had to wait until the hostile ones were through");

    for (const { name, expect, end } of nasty) {
      const status = await end;
      const allowed = [expect.status].flat().map((one) =>
        one === "rejected" ? `rejected ${expect.code}` : one
      );
      // The deadline of this test is shorter than that of the table for those which take memory.
      assert([...allowed, "timeout"].includes(status), `${name} ended as ${status}`);
    }
    assertEquals(await Promise.all(loops), Array.from({ length: LOOPS }, () => "timeout"));
    const flooded = await endOf(client, flood);
    assert(["output", "timeout"].includes(flooded), flooded);
    await unread.return?.();

    await runHonest(client, hello, "after");
    assertEquals((await client.ready()).ready, true);
    await untilChildless(daemon.pid);
    const after = await rssKb(daemon.pid);
    console.log(`daemon's resident memory: ${before} KB before, ${after} KB after`);
    assert(after < 2 * before + 64 * 1024, `${before} KB before, ${after} KB after`);
  });
});
