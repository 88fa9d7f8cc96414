/**
 * Kills a real daemon, its executors and its clients at many points, and looks for every job that had
 * been accepted.
 *
 * `PLASM_CRASH_ROUNDS` sets how often; `PLASM_CRASH_SEED` another course of events.
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { command, write } from "../../fixtures/sandbox_jobs.ts";
import { withTempDir } from "../../fixtures/plasm.ts";
import { CrashRounds } from "../../fixtures/daemon/crash_rounds.ts";
import { DaemonProcess } from "../../fixtures/daemon/daemon_process.ts";
import { hasPs } from "../../fixtures/daemon/process_list.ts";

const ROUNDS = Number(Deno.env.get("PLASM_CRASH_ROUNDS") ?? 20);
const SEED = Number(Deno.env.get("PLASM_CRASH_SEED") ?? 20_260_101);

/** Writes, counts for some 50 ms, writes again. */
const WORK = `(local $n i32) ${write(1, 100)}
  (loop $count
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $count (i32.lt_u (local.get $n) (i32.const 20000000))))
  ${write(1, 100)}`;

Deno.test("kill -9 at any point loses no accepted job", async () => {
  if (!await hasPs()) return;
  await withTempDir(async (dir) => {
    const module = await command(WORK);
    const begin = performance.now();
    const report = await (async () => {
      await using rounds = new CrashRounds({ dir, seed: SEED, module });
      return await rounds.run(ROUNDS);
    })();
    const seconds = Math.round((performance.now() - begin) / 1000);
    console.log(`${ROUNDS} rounds in ${seconds} s: ${JSON.stringify(report)}`);
    // What a kill finds is up to the machine's timing; jobs_test.ts has each kind of recovery.
    assert(report.jobs >= ROUNDS);
    // Nothing half-written stays: one module, no output that is too large for the database.
    const names = (path: string): string[] => [...Deno.readDirSync(path)].map(({ name }) => name);
    assertEquals(names(`${dir}/state/blobs`).length, 1);
    assertEquals(names(`${dir}/state/outputs`), []);
    const left = [dir, `${dir}/state`].flatMap((folder) =>
      names(folder).filter((name) => /\.tmp$|^\.plasm-/.test(name)).map((name) =>
        `${folder}/${name}`
      )
    );
    for (const path of left) await Deno.utime(path, 0, 0);
    await (await DaemonProcess.start({ dir }))[Symbol.asyncDispose]();
    for (const path of left) await assertRejects(() => Deno.lstat(path), Deno.errors.NotFound);
  });
});
