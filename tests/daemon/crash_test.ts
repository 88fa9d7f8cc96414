/**
 * Kills a real daemon, with real jobs, at many points, and looks for every job that it had accepted.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { connectDaemon, type DaemonClient, type JobJson } from "../../lib/client/mod.ts";
import { verifyReceipt } from "../../lib/job/verify_receipt.ts";
import { command, write } from "../../lib/sandbox/testing.ts";
import { withTempDir } from "../plasm.ts";
import { DaemonProcess } from "./process.ts";
import { seededRandom } from "./random.ts";

const KILLS = 16;
const SEED = 20_260_101;

/** Writes, counts for some 50 ms, writes again. */
const WORK = `(local $n i32) ${write(1, 100)}
  (loop $count
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $count (i32.lt_u (local.get $n) (i32.const 20000000))))
  ${write(1, 100)}`;

interface Accepted {
  idempotent: boolean;
  /** How it was told once it was over, with its receipt and output. */
  told?: { job: JobJson; signature: string | undefined; stdout: number };
}

/** Remembers how jobs ended, and holds those that were told before to what was told. */
async function checkAll(client: DaemonClient, jobs: Map<string, Accepted>): Promise<void> {
  for (const [id, accepted] of jobs) {
    const { manifest: _manifest, ...job } = await client.job(id);
    if (job.finished_at === null) {
      assertEquals(accepted.told, undefined, `${id} was over and is ${job.state}`);
      continue;
    }
    const receipt = job.state === "finished" ? await client.receipt(id) : undefined;
    const stdout = await new Response(await client.output(id, "stdout")).bytes();
    if (receipt !== undefined) await verifyReceipt(receipt, { nonce: job.nonce, stdout });
    const told = { job, signature: receipt?.signature, stdout: stdout.length };
    if (accepted.told !== undefined) assertEquals(told, accepted.told);
    accepted.told = told;
  }
}

Deno.test("kill -9 at any point loses no accepted job", () =>
  withTempDir(async (dir) => {
    const random = seededRandom(SEED);
    const module = await command(WORK);
    const jobs = new Map<string, Accepted>();
    const recovered = { queued: 0, rerun: 0, interrupted: 0 };
    for (let round = 0; round <= KILLS; round++) {
      await using daemon = await DaemonProcess.start({ dir });
      using client = connectDaemon({ socket: daemon.socket });
      const started = daemon.log.find(({ event }) => event === "daemon-started")!;
      for (const key of Object.keys(recovered) as (keyof typeof recovered)[]) {
        recovered[key] += Number(started[key]);
      }
      await checkAll(client, jobs);
      if (round === KILLS) {
        for (const id of jobs.keys()) for await (const _ of client.events(id));
        await checkAll(client, jobs);
        break;
      }
      // The kill falls among requests that are under way: it comes after one of their answers.
      const count = 3 + random(6);
      const killAfter = 1 + random(count + 2);
      let answers = 0;
      const answered = (): void => {
        if (++answers === killAfter) daemon.signal("SIGKILL");
      };
      const requests = Array.from({ length: count }, async () => {
        const idempotent = random(2) === 0;
        const watched = random(3) === 0;
        const { id } = await client.submit(module, { manifest: { idempotent } });
        jobs.set(id, { idempotent });
        answered();
        if (!watched) return;
        for await (const { type } of client.events(id, { patienceMs: 0 })) {
          if (type === "stdout" || type === "finished") answered();
        }
      });
      await Promise.allSettled(requests);
      if (answers < killAfter) daemon.signal("SIGKILL");
      await daemon.ended();
    }
    const ends = [...jobs.values()].map(({ idempotent, told }) => {
      assert(told !== undefined);
      const { state, attempts, error } = told.job;
      if (state === "finished") assertEquals([told.job.status, told.stdout], ["exited", 200]);
      else {
        assertEquals([state, error?.code], ["interrupted", "interrupted"]);
        assert(!idempotent || attempts === 3, `${attempts} attempts`);
      }
      return state;
    });
    console.log(
      `${KILLS} kills, ${jobs.size} jobs: ${ends.filter((state) => state === "finished").length} ` +
        `finished, after restarts ${JSON.stringify(recovered)}`,
    );
    // What a kill finds is up to the machine's timing; jobs_test.ts has each kind of recovery.
    assert(jobs.size >= KILLS);
  }));
