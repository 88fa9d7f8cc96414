/**
 * Modules that do not end by themselves.
 * @module
 */
import { command, type CommandOptions, type HostileModule, SHORT } from "./case.ts";
import { assemble } from "./wat.ts";

function endless(
  name: string,
  what: string,
  { code, stdin, ...options }: CommandOptions & { code: string; stdin?: "open" },
): HostileModule {
  return {
    name,
    what,
    bytes: () => assemble(command(code, options)),
    expect: { status: "timeout", messageIncludes: "1000 ms" },
    limits: SHORT,
    ...(stdin === undefined ? {} : { stdin }),
  };
}

/** A loop around `code`. */
function loop(code: string): string {
  return `(loop $again ${code} (br $again))`;
}

// A subscription at 0: userdata, then (at 8) the tag, then what the tag wants. The event goes to 64.
const CLOCK_FOR_EVER = `(i64.store (i32.const 24) (i64.const -1))`;
const STDIN_READY = `(i32.store8 (i32.const 8) (i32.const 1))`;
const POLL = `(drop (call $poll_oneoff
  (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))`;

/** Modules that do not end by themselves. */
export const TIME: readonly HostileModule[] = [
  endless("loop", "Loops in _start", { code: loop("") }),
  endless("loop-in-start-function", "Loops in the start function, before _start", {
    code: "",
    fields: `(func $forever ${loop("")}) (start $forever)`,
  }),
  endless("loop-memory-grow", "Asks for a page of memory for ever", {
    code: loop(`(drop (memory.grow (i32.const 1)))`),
  }),
  endless("loop-table-grow", "Asks for a table entry for ever", {
    code: loop(`(drop (table.grow $t (ref.null func) (i32.const 1)))`),
    fields: `(table $t 0 funcref)`,
  }),
  endless("loop-tail-call", "Calls itself for ever without using stack", {
    code: `(return_call $self)`,
    fields: `(func $self (return_call $self))`,
  }),
  endless("loop-yield", "Yields for ever", {
    code: loop(`(drop (call $sched_yield))`),
    uses: ["sched_yield"],
  }),
  endless("loop-clock", "Reads the clock for ever", {
    code: loop(`(drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 0)))`),
    uses: ["clock_time_get"],
  }),
  endless("loop-poll", "Polls a clock that is due at once, for ever", {
    code: loop(POLL),
    uses: ["poll_oneoff"],
  }),
  endless("loop-random", "Fills 32 MiB with random bytes, for ever", {
    code: loop(`(drop (call $random_get (i32.const 0) (i32.const 33554432)))`),
    pages: 512,
    uses: ["random_get"],
  }),
  endless("loop-huge-iovs", "Writes 100,000 empty buffers in one call, for ever", {
    code: loop(`(drop (call $fd_write
      (i32.const 1) (i32.const 0) (i32.const 100000) (i32.const 0)))`),
    pages: 32,
    uses: ["fd_write"],
  }),
  endless("loop-deep-path", "Looks up a path of 2,000 directories, for ever", {
    code: `(local $i i32)
      (loop $fill
        (i32.store16 (local.get $i) (i32.const 0x2f2e))
        (br_if $fill (i32.lt_u
          (local.tee $i (i32.add (local.get $i) (i32.const 2))) (i32.const 4000))))
      ${
      loop(`(drop (call $path_filestat_get
        (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 4000) (i32.const 8192)))`)
    }`,
    uses: ["path_filestat_get"],
  }),
  endless("loop-symlink", "Opens a symbolic link that names itself, for ever", {
    code: `(i32.store8 (i32.const 0) (i32.const 0x61))
      (drop (call $path_symlink
        (i32.const 0) (i32.const 1) (i32.const 3) (i32.const 0) (i32.const 1)))
      ${
      loop(`(drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 1)
        (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64)))`)
    }`,
    uses: ["path_symlink", "path_open"],
  }),
  endless("loop-many-subscriptions", "Polls 1,000 clocks that are due at once, for ever", {
    code: loop(`(drop (call $poll_oneoff
      (i32.const 0) (i32.const 65536) (i32.const 1000) (i32.const 128)))`),
    pages: 4,
    uses: ["poll_oneoff"],
  }),
  endless("sleep", "Sleeps for 584 years", {
    code: `${CLOCK_FOR_EVER} ${POLL}`,
    uses: ["poll_oneoff"],
  }),
  endless("sleep-again", "Sleeps for ever, and again should that end", {
    code: loop(`${CLOCK_FOR_EVER} ${POLL}`),
    uses: ["poll_oneoff"],
  }),
  endless("poll-open-stdin", "Waits for input that never comes with poll_oneoff", {
    code: `${STDIN_READY} ${POLL}`,
    uses: ["poll_oneoff"],
    stdin: "open",
  }),
  endless("read-open-stdin", "Waits for input that never comes with fd_read", {
    code: `(i32.store (i32.const 4) (i32.const 16))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64)))`,
    uses: ["fd_read"],
    stdin: "open",
  }),
  endless("atomic-wait", "Waits on its own shared memory for a notification nobody can send", {
    code: `(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))`,
    pages: "1 1 shared",
  }),
  // Whichever comes first, it is one end and not half of each.
  ...[990, 1000, 1010].map((ms): HostileModule => ({
    name: `at-deadline-${ms}`,
    what: `Sleeps for ${ms} ms and returns, its deadline is at 1000`,
    bytes: () =>
      assemble(command(
        `(i32.store (i32.const 16) (i32.const 1))
         (i64.store (i32.const 24) (i64.const ${ms * 1_000_000})) ${POLL}`,
        { uses: ["poll_oneoff"] },
      )),
    expect: { status: ["exited", "timeout"] },
    limits: SHORT,
  })),
  {
    name: "cpu-limit",
    what: "Loops until its CPU time is used up, long before the wall time",
    bytes: () => assemble(command(loop(""))),
    expect: { status: "timeout", messageIncludes: "CPU" },
    limits: { cpuTimeMs: 500 },
  },
];
