import { assert, assertEquals, assertThrows } from "@std/assert";
import { FakeGuest, FakeHost, type Filestat, ROOT_FD } from "../../../tests/fixtures/fake_guest.ts";
import { type Kind, SIGNATURES } from "../../../tests/fixtures/preview1_signatures.ts";
import { random } from "../../../tests/fixtures/random_source.ts";
import { ERRNO, OFLAG } from "../abi.ts";
import { WasiExit } from "./call_context.ts";
import { createWasi } from "./preview1.ts";

const PAGE = 65_536;
const MEMORY = 4 * PAGE;

// Highest `$errno` that preview1 defines (`notcapable`).
const MAX_ERRNO = 76;

/** A guest with every kind of file and descriptor, whose clock advances while it waits. */
function populated(): FakeGuest {
  const time = { ms: 1e6 };
  const host = new FakeHost({
    stdin: "some input",
    onWait(ms) {
      time.ms += Math.min(ms, 1e15);
      host.ended = true;
    },
  });
  const guest = new FakeGuest({
    args: ["guest", "argument"],
    env: { A: "b" },
    inputs: [{ path: "/data/" }, { path: "/data/in", data: new TextEncoder().encode("content") }],
    limits: { fsBytes: 1 << 18, fsInodes: 200, openFds: 32 },
    host,
    now: { realtimeMs: () => time.ms, monotonicMs: () => time.ms },
  });
  guest.create("file", "text");
  guest.call("path_create_directory", ROOT_FD, "dir");
  guest.call("path_symlink", "file", ROOT_FD, "link");
  guest.open("file");
  return guest;
}

const NUMBERS: Record<Kind, (number | bigint)[]> = {
  pointer: [0, 1, 4096, MEMORY - 1, MEMORY, MEMORY + 1, 2 ** 31 - 1, -(2 ** 31), -1, -8],
  length: [0, 1, 8, 4096, MEMORY, MEMORY + 1, 2 ** 31 - 1, -(2 ** 31), -1],
  fd: [0, 1, 2, 3, 4, 5, 6, 31, 32, 2 ** 31 - 1, -(2 ** 31), -1],
  flags: [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 255, 65_535, 2 ** 31 - 1, -(2 ** 31), -1],
  i64: [0n, 1n, 100n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n), -1n],
};

function assertErrno(errno: unknown, context: string): void {
  assert(Number.isInteger(errno), `${context} returned ${errno}`);
  assert((errno as number) >= 0 && (errno as number) <= MAX_ERRNO, `${context} returned ${errno}`);
  // guard() returns these for an internal fault.
  assert(errno !== ERRNO.IO && errno !== ERRNO.NOMEM, `${context} returned ${errno}`);
}

function call(guest: FakeGuest, name: string, args: (number | bigint)[]): void {
  if (name === "proc_exit") {
    assertThrows(() => guest.call(name, ...args), WasiExit);
    return;
  }
  assertErrno(guest.call(name, ...args), `${name}(${args.join()})`);
}

Deno.test("createWasi() provides exactly the functions of the witx", () => {
  assertEquals(Object.keys(new FakeGuest().wasi.imports).sort(), Object.keys(SIGNATURES).sort());
  assertEquals(Object.keys(SIGNATURES).length, 46);
});

Deno.test("createWasi() returns an errno for every hostile value of every argument", () => {
  for (const [name, kinds] of Object.entries(SIGNATURES)) {
    kinds.forEach((kind, i) => {
      for (const hostile of NUMBERS[kind]) {
        const usual = kinds.map((other) => NUMBERS[other][other === "fd" ? 3 : 1]!);
        usual[i] = hostile;
        call(populated(), name, usual);
      }
    });
  }
});

Deno.test("createWasi() returns EFAULT and writes nothing for every out-of-bounds pointer", () => {
  const writes: [string, ...(number | bigint)[]][] = [
    ["clock_time_get", 0, 0n],
    ["clock_res_get", 0],
    ["fd_fdstat_get", 1],
    ["fd_filestat_get", 3],
    ["fd_prestat_get", 3],
    ["fd_readdir", 3, 0, 10, 0n],
    ["fd_read", 5, 0, 0],
    ["fd_pread", 5, 0, 0, 0n],
    ["fd_write", 1, 0, 0],
    ["fd_pwrite", 5, 0, 0, 0n],
    ["fd_seek", 5, 0n, 0],
    ["fd_tell", 5],
    ["args_sizes_get", 0],
    ["environ_sizes_get", 0],
  ];
  for (const [name, ...args] of writes) {
    for (const pointer of [MEMORY - 1, MEMORY, 2 ** 31 - 1, -1, -4]) {
      const guest = populated();
      const before = guest.bytes.slice(-PAGE);
      assertEquals(guest.call(name, ...args, pointer), ERRNO.FAULT, `${name} ${pointer}`);
      assertEquals(guest.bytes.slice(-PAGE), before);
    }
  }
});

Deno.test("createWasi() returns EFAULT for out-of-bounds paths and buffers", () => {
  const guest = populated();
  for (const [pointer, length] of [[MEMORY, 1], [MEMORY - 1, 2], [-1, 2], [8, -8], [-8, 8]]) {
    const at = `${pointer}, ${length}`;
    assertEquals(guest.call("path_unlink_file", ROOT_FD, pointer!, length!), ERRNO.FAULT, at);
    assertEquals(guest.call("path_symlink", pointer!, length!, ROOT_FD, "x"), ERRNO.FAULT, at);
    assertEquals(guest.call("random_get", pointer!, length!), ERRNO.FAULT, at);
    guest.view.setInt32(0, pointer!, true);
    guest.view.setInt32(4, length!, true);
    assertEquals(guest.call("fd_write", 1, 0, 1, 64), ERRNO.FAULT, at);
    assertEquals(guest.call("fd_read", 5, 0, 1, 64), ERRNO.FAULT, at);
  }
  assertEquals(guest.host.output.stdout, "");
});

Deno.test("createWasi() returns EFAULT before a memory is attached", () => {
  const { imports } = createWasi({
    args: ["guest"],
    env: {},
    inputs: [],
    limits: { fsBytes: 1e6, fsInodes: 10, openFds: 10 },
    host: new FakeHost(),
  });
  const args: [string, ...(number | bigint)[]][] = [
    ["args_sizes_get", 0, 0],
    ["fd_write", 1, 0, 1, 0],
    ["random_get", 0, 1],
    ["path_unlink_file", ROOT_FD, 0, 1],
    ["poll_oneoff", 0, 0, 1, 0],
  ];
  for (const [name, ...rest] of args) {
    const fn = imports[name] as (...args: (number | bigint)[]) => number;
    assertEquals(fn(...rest), ERRNO.FAULT, name);
  }
});

Deno.test("createWasi() follows growing memory", () => {
  const guest = populated();
  assertEquals(guest.call("random_get", MEMORY, 16), ERRNO.FAULT);
  guest.memory.grow(1);
  assertEquals(guest.call("random_get", MEMORY, 16), 0);
  assert(guest.bytes.subarray(MEMORY, MEMORY + 16).some((byte) => byte !== 0));
  const shared = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
  guest.wasi.attach(shared);
  assertEquals(guest.call("clock_res_get", 0, PAGE), ERRNO.FAULT);
  shared.grow(1);
  assertEquals(guest.call("clock_res_get", 0, PAGE), 0);
});

Deno.test("createWasi() returns EIO or ENOMEM instead of throwing when it fails internally", () => {
  const guest = populated();
  for (const [fault, errno] of [[new TypeError(), ERRNO.IO], [new RangeError(), ERRNO.NOMEM]]) {
    const original = crypto.getRandomValues;
    try {
      crypto.getRandomValues = () => {
        throw fault;
      };
      assertEquals(guest.call("random_get", 0, 16), errno as number);
    } finally {
      crypto.getRandomValues = original;
    }
  }
});

Deno.test("createWasi() keeps huge sparse files, names and inodes within the limits", () => {
  const guest = populated();
  const fd = guest.open("sparse", { oflags: OFLAG.CREAT });
  assertEquals(guest.call("fd_filestat_set_size", fd, 1n << 40n), ERRNO.NOSPC);
  assertEquals(guest.call("fd_allocate", fd, 1n << 40n, 1n), ERRNO.NOSPC);
  assertEquals(guest.write(fd, "x", 1n << 40n), -ERRNO.NOSPC);
  assertEquals((guest.fdStat(fd) as Filestat).size, 0);
  let made = 0;
  while (guest.call("path_create_directory", ROOT_FD, `${made}`.padStart(250, "n")) === 0) made++;
  assert(made < 200);
  assertEquals(guest.call("path_link", ROOT_FD, 0, "file", ROOT_FD, "more"), ERRNO.NOSPC);
  assert(guest.wasi.fsPeakBytes <= 1 << 18);
});

Deno.test("createWasi() survives structured random sequences of calls", () => {
  const next = random(20_260_101);
  const names = Object.keys(SIGNATURES).filter((name) => name !== "proc_exit");
  const paths = ["file", "dir", "dir/x", "link", "..", ".", "/", "a/b", "dir/../file", "ü", ""];
  for (let round = 0; round < 40; round++) {
    const guest = populated();
    for (let step = 0; step < 500; step++) {
      // Likely memory: paths, iovecs and subscriptions that are often valid.
      new TextEncoder().encodeInto(paths[next(paths.length)]!, guest.bytes.subarray(4096));
      guest.view.setUint32(8 * next(32), next(8) === 0 ? next(2 ** 32) : next(MEMORY), true);
      const name = names[next(names.length)]!;
      const args = SIGNATURES[name]!.map((kind) => {
        const hostile = NUMBERS[kind];
        if (next(6) === 0) return hostile[next(hostile.length)]!;
        if (kind === "i64") return BigInt(next(next(2) === 0 ? 64 : 2 ** 20));
        if (kind === "fd") return next(12);
        if (kind === "pointer") return next(3) === 0 ? 4096 : next(MEMORY - 4096);
        return next(kind === "flags" ? 16 : 12);
      });
      call(guest, name, args);
    }
    assert(guest.wasi.fsBytes > 0 && guest.wasi.fsPeakBytes <= 1 << 18);
  }
});
