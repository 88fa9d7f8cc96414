/**
 * Tests the isolation of consecutive jobs in the same executor.
 *
 * @module
 */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { Executor } from "../../lib/sandbox/host/executor.ts";
import { check, guest, runGuest, writeOut } from "../fixtures/hostile/containment_guests.ts";

const OPEN = `(call $path_open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 6)`;

/** Fills its memory, creates a file and a directory, opens descriptors and leaves its input unread. */
const LEAVE_TRACES = `(local $n i32)
  ${check("(i32.ne (memory.grow (i32.const 500)) (i32.const -1))", 1)}
  (loop $open
    (drop ${OPEN} (i32.const 1) (i64.const 0x46) (i64.const 0) (i32.const 0) (i32.const 24)))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (br_if $open (i32.lt_u (local.get $n) (i32.const 20))))
  ${check("(i32.gt_u (i32.load (i32.const 24)) (i32.const 20))", 2)}
  (drop (call $path_create_directory (i32.const 3) (i32.const 110) (i32.const 3)))
  (global.set $mark (i32.const 7))
  (table.set 0 (i32.const 0) (ref.func $self))
  (memory.fill (i32.const 256) (i32.const 0xaa) (i32.const 32833280))`;

/** Exits with the number of the first trace of another job that it finds. */
const LOOK_FOR_TRACES = `(local $at i32)
  (i32.store (i32.const 24) (i32.const 0))
  ${check("(i32.ne (memory.grow (i32.const 500)) (i32.const -1))", 1)}
  (local.set $at (i32.const 256))
  (loop $look
    ${check("(i64.eqz (i64.load (local.get $at)))", 2)}
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $look (i32.lt_u (local.get $at) (i32.const 32833280))))
  ${check("(i32.eqz (global.get $mark))", 3)}
  ${check("(ref.is_null (table.get 0 (i32.const 0)))", 4)}
  ;; ENOENT: the file does not exist.
  ${
  check(
    `(i32.eq (i32.const 44) ${OPEN} (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0)
      (i32.const 24)))`,
    5,
  )
}
  ;; EBADF: only the streams and the root are open.
  ${check("(i32.eq (i32.const 8) (call $fd_fdstat_get (i32.const 4) (i32.const 32)))", 6)}
  ;; . and .. take 24 + 1 and 24 + 2 bytes: the root is empty.
  (drop (call $fd_readdir (i32.const 3) (i32.const 256) (i32.const 512) (i64.const 0) (i32.const 24)))
  ${check("(i32.eq (i32.load (i32.const 24)) (i32.const 51))", 7)}
  (drop (call $args_sizes_get (i32.const 24) (i32.const 28)))
  ${check("(i32.eq (i32.load (i32.const 24)) (i32.const 1))", 8)}
  (drop (call $environ_sizes_get (i32.const 24) (i32.const 28)))
  ${check("(i32.eqz (i32.load (i32.const 24)))", 9)}
  (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 64))
  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 24)))
  ${check("(i32.eqz (i32.load (i32.const 24)))", 10)}`;

const OPTIONS = {
  uses: [
    "path_open",
    "path_create_directory",
    "fd_read",
    "fd_readdir",
    "fd_fdstat_get",
    "args_sizes_get",
    "environ_sizes_get",
    "proc_exit",
  ],
  fields: `(global $mark (mut i32) (i32.const 0)) (table 1 funcref)
    (func $self) (elem declare func $self)
    (data (i32.const 100) "secret") (data (i32.const 110) "dir")`,
};

Deno.test("a job finds no traces of the previous job in the same executor", async () => {
  await using executor = new Executor();
  const leave = await guest(LEAVE_TRACES, OPTIONS);
  const leaveAndTrap = await guest(`${LEAVE_TRACES} unreachable`, OPTIONS);
  const look = await guest(LOOK_FOR_TRACES, OPTIONS);
  const rich = {
    args: ["--secret"],
    env: { SECRET: "1" },
    stdin: new Uint8Array(1_000_000).fill(0xaa),
    inputs: [{ path: "/secret", data: new Uint8Array(100_000) }, { path: "/given/" }],
  };
  assertEquals((await runGuest(executor, look)).outcome.exitCode, 0);
  assertEquals((await runGuest(executor, leave, rich)).outcome.exitCode, 0);
  assertEquals((await runGuest(executor, look)).outcome.exitCode, 0);
  assertEquals((await runGuest(executor, leaveAndTrap, rich)).outcome.status, "trapped");
  assertEquals((await runGuest(executor, look)).outcome.exitCode, 0);
  assert(executor.usable);
});

Deno.test("the guest that looks for traces finds its own traces", async () => {
  const both = await guest(
    `(call $leave) (call $look)`,
    {
      ...OPTIONS,
      fields: `${OPTIONS.fields} (func $leave ${LEAVE_TRACES})
      (func $look ${
        LOOK_FOR_TRACES.replace(/\(memory\.grow \(i32\.const 500\)\)/, "(i32.const 0)")
      })`,
    },
  );
  await using executor = new Executor();
  assertEquals((await runGuest(executor, both)).outcome.exitCode, 2);
});

Deno.test("two jobs in the same executor read different random bytes", async () => {
  await using executor = new Executor();
  const module = await guest(
    `(drop (call $random_get (i32.const 64) (i32.const 32))) ${writeOut(1, 64, 32)}`,
    { uses: ["random_get", "fd_write"] },
  );
  const first = await runGuest(executor, module);
  const second = await runGuest(executor, module);
  assertEquals(first.stdout.length, 32);
  assertNotEquals(first.stdout, second.stdout);
});

Deno.test("a guest reads the time with a resolution of 100 µs", async () => {
  await using executor = new Executor();
  const module = await guest(
    `(local $n i32)
    (drop (call $clock_res_get (i32.const 0) (i32.const 64)))
    ${check("(i64.eq (i64.load (i32.const 64)) (i64.const 100000))", 1)}
    (loop $again
      (drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 64)))
      ${check("(i64.eqz (i64.rem_u (i64.load (i32.const 64)) (i64.const 100000)))", 2)}
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $n) (i32.const 10000))))`,
    { uses: ["clock_res_get", "clock_time_get", "proc_exit"] },
  );
  assertEquals((await runGuest(executor, module)).outcome.exitCode, 0);
});
