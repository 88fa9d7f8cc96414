/**
 * Kills a real daemon, its executors and its clients at many points and checks that every accepted job survives.
 *
 * `PLASM_CRASH_ROUNDS` sets the number of rounds, `PLASM_CRASH_SEED` the random seed.
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { command, write } from "../../fixtures/sandbox_jobs.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";
import { CrashRounds } from "../../fixtures/daemon/crash_rounds.ts";
import { DaemonProcess } from "../../fixtures/daemon/daemon_process.ts";
import { hasPs } from "../../fixtures/daemon/process_list.ts";

const ROUNDS = Number(Deno.env.get("PLASM_CRASH_ROUNDS") ?? 20);
const SEED = Number(Deno.env.get("PLASM_CRASH_SEED") ?? 20_260_101);

/** Writes, runs a loop for about 50 ms, writes again. */
const WORK = `(local $n i32) ${write(1, 100)}
  (loop $count
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $count (i32.lt_u (local.get $n) (i32.const 20000000))))
  ${write(1, 100)}`;

Deno.test("kill -9 at any point loses no accepted job", async () => {
  if (!await hasPs()) return;
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await command(WORK);
  const begin = performance.now();
  const report = await (async () => {
    await using rounds = new CrashRounds({ dir, seed: SEED, module });
    return await rounds.run(ROUNDS);
  })();
  const seconds = Math.round((performance.now() - begin) / 1000);
  console.log(`${ROUNDS} rounds in ${seconds} s: ${JSON.stringify(report)}`);
  // Which states a kill hits depends on timing; jobs_test.ts covers each kind of recovery.
  assert(report.jobs >= ROUNDS);
  // No partial files remain: one module, and no output large enough for a file.
  const names = (path: string): string[] => [...Deno.readDirSync(path)].map(({ name }) => name);
  assertEquals(names(`${dir}/state/blobs`).length, 1);
  assertEquals(names(`${dir}/state/outputs`), []);
  const left = [dir, `${dir}/state`].flatMap((folder) =>
    names(folder).filter((name) => /\.tmp$|^\.plasm-/.test(name)).map((name) => `${folder}/${name}`)
  );
  for (const path of left) await Deno.utime(path, 0, 0);
  await (await DaemonProcess.start({ dir }))[Symbol.asyncDispose]();
  for (const path of left) await assertRejects(() => Deno.lstat(path), Deno.errors.NotFound);
});
