/**
 * Modules that fill the in-memory file system or the output, and tell by their exit code what stopped
 * them.
 * @module
 */
import { command, type CommandOptions, type HostileModule } from "./case.ts";
import { assemble } from "./wat.ts";

/** Errnos of preview1's witx. */
const FBIG = 22;
const MFILE = 33;
const NOSPC = 51;

/** Repeats `code`, which leaves an errno, until it is not 0; exits with it. */
function untilError(code: string): string {
  return `(local $errno i32)
    (loop $again (br_if $again (i32.eqz (local.tee $errno ${code}))))
    (call $proc_exit (local.get $errno))`;
}

/** Makes the name at 256 another one: eight letters of a counter. */
const NEXT_NAME = `(func $next (local $i i32)
  (i64.store (i32.const 8) (i64.add (i64.load (i32.const 8)) (i64.const 1)))
  (loop $again
    (i32.store8 offset=256 (local.get $i) (i32.add (i32.const 0x61) (i32.and (i32.const 15)
      (i32.wrap_i64 (i64.shr_u (i64.load (i32.const 8))
        (i64.extend_i32_u (i32.mul (local.get $i) (i32.const 4))))))))
    (br_if $again (i32.lt_u
      (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 8)))))`;

/** Opens the file "f" anew for writing, its descriptor at 24. */
const OPEN_F = `(i32.store8 (i32.const 256) (i32.const 0x66))
  (drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 256) (i32.const 1)
    (i32.const 1) (i64.const 0x400146) (i64.const 0) (i32.const 0) (i32.const 24)))`;

/** Writes 32 KiB to the descriptor on the stack. */
function write(descriptor: string): string {
  return `(call $fd_write ${descriptor} (i32.const 0) (i32.const 1) (i32.const 16))`;
}

const IOVEC = `(i32.store (i32.const 0) (i32.const 4096))
  (i32.store (i32.const 4) (i32.const 32768))`;

function filling(
  name: string,
  what: string,
  { code, errno, limits, ...options }:
    & CommandOptions
    & { code: string; errno: number }
    & Pick<HostileModule, "limits">,
): HostileModule {
  return {
    name,
    what,
    bytes: () => assemble(command(code, options)),
    expect: { status: "exited", exitCode: errno },
    ...(limits === undefined ? {} : { limits }),
  };
}

function flood(name: string, descriptor: number): HostileModule {
  return {
    name,
    what: `Writes to descriptor ${descriptor} for ever`,
    bytes: () =>
      assemble(
        command(`${IOVEC} (loop $again (drop ${write(`(i32.const ${descriptor})`)}) (br $again))`, {
          uses: ["fd_write"],
        }),
      ),
    expect: { status: "output" },
    limits: { outputBytes: 100_000 },
  };
}

/** Modules that fill the file system or the output. */
export const FILES: readonly HostileModule[] = [
  filling("fs-bytes", "Writes to a file until no space is left", {
    code: `${OPEN_F} ${IOVEC} (call $until_error)`,
    fields: `(func $until_error ${untilError(write("(i32.load (i32.const 24))"))})`,
    uses: ["path_open", "fd_write", "proc_exit"],
    errno: NOSPC,
  }),
  filling("fs-inodes", "Makes directories until there may be no more", {
    code: untilError(
      `(block (result i32) (call $next)
        (call $path_create_directory (i32.const 3) (i32.const 256) (i32.const 8)))`,
    ),
    fields: NEXT_NAME,
    uses: ["path_create_directory", "proc_exit"],
    limits: { fsInodes: 1_000 },
    errno: NOSPC,
  }),
  filling("fs-names", "Makes directories with names of 200 bytes until no space is left", {
    code: `(memory.fill (i32.const 256) (i32.const 0x78) (i32.const 200)) (call $until_error)`,
    fields: `${NEXT_NAME} (func $until_error ${
      untilError(
        `(block (result i32) (call $next)
          (call $path_create_directory (i32.const 3) (i32.const 256) (i32.const 200)))`,
      )
    })`,
    uses: ["path_create_directory", "proc_exit"],
    limits: { fsBytes: 100_000 },
    errno: NOSPC,
  }),
  filling("fs-links", "Makes symbolic links to long paths until no space is left", {
    code: `(memory.fill (i32.const 1024) (i32.const 0x78) (i32.const 4000)) (call $until_error)`,
    fields: `${NEXT_NAME} (func $until_error ${
      untilError(
        `(block (result i32) (call $next)
          (call $path_symlink (i32.const 1024) (i32.const 4000) (i32.const 3)
            (i32.const 256) (i32.const 8)))`,
      )
    })`,
    uses: ["path_symlink", "proc_exit"],
    limits: { fsBytes: 100_000 },
    errno: NOSPC,
  }),
  ...([["tebibyte", "0x10000000000", NOSPC], ["exbibyte", "0x1000000000000000", FBIG]] as const)
    .map(([size, bytes, errno]) =>
      filling(`fs-sparse-${size}`, `Makes a file of one ${size} in one call`, {
        code: `${OPEN_F} (call $proc_exit (call $fd_filestat_set_size
          (i32.load (i32.const 24)) (i64.const ${bytes})))`,
        uses: ["path_open", "fd_filestat_set_size", "proc_exit"],
        errno,
      })
    ),
  filling("fs-write-far", "Writes one byte a tebibyte into a file", {
    code: `${OPEN_F} (i32.store (i32.const 4) (i32.const 1))
      (call $proc_exit (call $fd_pwrite (i32.load (i32.const 24)) (i32.const 0) (i32.const 1)
        (i64.const 0x10000000000) (i32.const 16)))`,
    uses: ["path_open", "fd_pwrite", "proc_exit"],
    errno: NOSPC,
  }),
  filling("fs-descriptors", "Opens a directory until there may be no more descriptors", {
    code: `(i32.store8 (i32.const 256) (i32.const 0x2e)) (call $until_error)`,
    fields: `(func $until_error ${
      untilError(
        `(call $path_open (i32.const 3) (i32.const 0) (i32.const 256) (i32.const 1)
          (i32.const 2) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 24))`,
      )
    })`,
    uses: ["path_open", "proc_exit"],
    errno: MFILE,
  }),
  flood("output-flood", 1),
  flood("output-flood-stderr", 2),
];
