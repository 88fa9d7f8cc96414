/**
 * Small programs that do nothing wrong: what surrounds a hostile job has to go on working.
 * @module
 */
import { command, type HostileModule } from "./case.ts";
import { assemble } from "./wat.ts";

const BYTES = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

/** Leaves through proc_exit with the errno on the stack, unless it is 0. */
const CHECKED = `(func $checked (param i32)
  (if (local.get 0) (then (call $proc_exit (local.get 0)))))`;

/** Writes `length` bytes at `address` to a descriptor; the iovec is put at 0, the count at 8. */
const WRITE = `(func $write (param $fd i32) (param $address i32) (param $length i32)
  (i32.store (i32.const 0) (local.get $address))
  (i32.store (i32.const 4) (local.get $length))
  (call $checked (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))`;

const cat = (pages: number | string): string =>
  command(
    `(loop $again
    (i32.store (i32.const 0) (i32.const 4096))
    (i32.store (i32.const 4) (i32.const 32768))
    (call $checked (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
    (if (i32.load (i32.const 16)) (then
      (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 16)))
      (br $again))))`,
    { pages, uses: ["fd_read", "fd_write", "proc_exit"], fields: CHECKED + WRITE },
  );

/** Prints arguments, then environment, each ended by a NUL as the call gives them. */
const PRINT_ENV = command(
  `(call $checked (call $args_sizes_get (i32.const 16) (i32.const 20)))
   (call $checked (call $args_get (i32.const 1024) (i32.const 4096)))
   (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 20)))
   (call $checked (call $environ_sizes_get (i32.const 16) (i32.const 20)))
   (call $checked (call $environ_get (i32.const 1024) (i32.const 4096)))
   (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 20)))`,
  {
    uses: [
      "args_sizes_get",
      "args_get",
      "environ_sizes_get",
      "environ_get",
      "fd_write",
      "proc_exit",
    ],
    fields: CHECKED + WRITE,
  },
);

/** Opens a file under fd 3 whose name lies at `address`; the descriptor is stored at 24. */
function open(address: number, length: number, flags: number): string {
  return `(call $checked (call $path_open (i32.const 3) (i32.const 1) (i32.const ${address})
    (i32.const ${length}) (i32.const ${flags}) (i64.const 0x46) (i64.const 0) (i32.const 0)
    (i32.const 24)))`;
}

/** Reads up to 64 bytes at 4096 from the descriptor at 24 and prints them. */
const SHOW = `(i32.store (i32.const 0) (i32.const 4096))
  (i32.store (i32.const 4) (i32.const 64))
  (call $checked (call $fd_read
    (i32.load (i32.const 24)) (i32.const 0) (i32.const 1) (i32.const 16)))
  (call $write (i32.const 1) (i32.const 4096) (i32.load (i32.const 16)))`;

const FILE_USES = ["path_open", "fd_read", "fd_write", "fd_seek", "proc_exit"];

/** Small programs that do nothing wrong. */
export const PROGRAMS: readonly HostileModule[] = [
  {
    name: "cat",
    what: "Copies its input to its output",
    bytes: () => assemble(cat(1)),
    stdin: BYTES("Hello, World".repeat(10_000)),
    expect: { status: "exited", exitCode: 0, stdout: "Hello, World".repeat(10_000) },
  },
  {
    name: "cat-empty",
    what: "Copies an empty input",
    bytes: () => assemble(cat(1)),
    expect: { status: "exited", exitCode: 0, stdout: "" },
  },
  {
    name: "cat-shared-memory",
    what: "Copies its input with a memory that is a SharedArrayBuffer on the other side",
    bytes: () => assemble(cat("1 2 shared")),
    stdin: BYTES("shared"),
    expect: { status: "exited", exitCode: 0, stdout: "shared" },
  },
  {
    name: "random-shared-memory",
    what: "Fills a shared memory with random bytes, more than Web Crypto gives at once",
    bytes: () =>
      assemble(command(
        `(call $checked (call $random_get (i32.const 0) (i32.const 131072)))
         (call $checked (i64.eqz (i64.load (i32.const 131064))))`,
        { pages: "2 2 shared", uses: ["random_get", "proc_exit"], fields: CHECKED },
      )),
    expect: { status: "exited", exitCode: 0 },
  },
  {
    name: "write-in-start-function",
    what: "Writes in the start function, when its memory has not been handed out yet",
    bytes: () =>
      assemble(command("", {
        uses: ["fd_write", "proc_exit"],
        fields: `${CHECKED} ${WRITE}
          (func $start (drop (call $fd_write
            (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))) (start $start)`,
      })),
    expect: { status: "exited", exitCode: 0, stdout: "" },
  },
  {
    name: "stdin-not-read",
    what: "Ends without reading an input that never ends",
    bytes: () => assemble(command("")),
    stdin: "open",
    expect: { status: "exited", exitCode: 0, stdout: "" },
  },
  {
    name: "print-environment",
    what: "Prints its arguments and environment: those given, and nothing of the host's",
    bytes: () => assemble(PRINT_ENV),
    args: ["one", "two words", "", "drei ä"],
    env: { KEY: "value", __proto: "x=y" },
    expect: {
      status: "exited",
      exitCode: 0,
      stdout: "main.wasm\0one\0two words\0\0drei ä\0KEY=value\0__proto=x=y\0",
    },
  },
  {
    name: "file-write-read",
    what: "Writes a file, reads it back and prints it",
    bytes: () =>
      assemble(command(
        `${open(200, 5, 1)}
         (call $write (i32.load (i32.const 24)) (i32.const 300) (i32.const 7))
         (call $checked (call $fd_seek
           (i32.load (i32.const 24)) (i64.const 0) (i32.const 0) (i32.const 32)))
         ${SHOW}`,
        {
          uses: FILE_USES,
          fields:
            `${CHECKED} ${WRITE} (data (i32.const 200) "a.txt") (data (i32.const 300) "content")`,
        },
      )),
    expect: { status: "exited", exitCode: 0, stdout: "content" },
  },
  {
    name: "file-input",
    what: "Reads and prints an input file",
    bytes: () =>
      assemble(command(`${open(200, 7, 0)} ${SHOW}`, {
        uses: FILE_USES,
        fields: `${CHECKED} ${WRITE} (data (i32.const 200) "in/data")`,
      })),
    inputs: [{ path: "/in/data", data: BYTES("given") }],
    expect: { status: "exited", exitCode: 0, stdout: "given" },
  },
];
