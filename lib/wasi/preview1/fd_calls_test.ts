import { assert, assertEquals } from "@std/assert";
import {
  BUFFER_POINTER,
  FakeGuest,
  type Fdstat,
  type Filestat,
  RESULT_POINTER,
  ROOT_FD,
} from "../../../tests/fixtures/fake_guest.ts";
import { ERRNO, FDFLAG, FSTFLAG, OFLAG, RIGHT, WHENCE } from "../abi.ts";
import { FILETYPE } from "../fs/inode.ts";

Deno.test("fd_close() closes any descriptor and leaves the others open", () => {
  const guest = new FakeGuest({ inputs: [{ path: "/data/" }] });
  assertEquals(guest.call("fd_close", ROOT_FD), 0);
  assertEquals(guest.call("fd_close", ROOT_FD), ERRNO.BADF);
  assertEquals(guest.fdstat(ROOT_FD), -ERRNO.BADF);
  assertEquals((guest.fdstat(4) as Fdstat).type, FILETYPE.DIRECTORY);
  assertEquals(guest.call("fd_close", 1), 0);
  assertEquals(guest.write(1, "x"), -ERRNO.BADF);
});

Deno.test("path_open() reuses the lowest number freed by fd_close()", () => {
  const guest = new FakeGuest();
  const fds = ["a", "b", "c"].map((name) => guest.open(name, { oflags: OFLAG.CREAT }));
  assertEquals(fds, [4, 5, 6]);
  guest.call("fd_close", 5);
  guest.call("fd_close", 4);
  assertEquals(guest.open("a"), 4);
  assertEquals(guest.open("a"), 5);
  assertEquals(guest.open("a"), 7);
});

Deno.test("fd_renumber() replaces any descriptor, including streams and preopens", () => {
  const guest = new FakeGuest();
  guest.create("a", "A");
  guest.create("b", "B");
  const [a, b] = [guest.open("a"), guest.open("b")];
  const before = guest.fdstat(a);
  assertEquals(guest.call("fd_renumber", a, b), 0);
  assertEquals(guest.fdstat(a), -ERRNO.BADF);
  assertEquals(guest.fdstat(b), before);
  assertEquals(guest.read(b), "A");
  assertEquals(guest.call("fd_renumber", b, a), ERRNO.BADF);
  assertEquals(guest.call("fd_renumber", 99, b), ERRNO.BADF);
  assertEquals(guest.call("fd_renumber", b, b), 0);
  guest.call("path_create_directory", ROOT_FD, "dir");
  const dir = guest.openDirectory("dir");
  const { ino } = guest.fdStat(dir) as Filestat;
  assertEquals(guest.call("fd_renumber", dir, ROOT_FD), 0);
  assertEquals((guest.fdStat(ROOT_FD) as Filestat).ino, ino);
  assertEquals(guest.call("fd_renumber", 1, b), 0);
  guest.write(b, "out");
  assertEquals(guest.host.output.stdout, "out");
});

Deno.test("fd_renumber() releases a file that only the replaced descriptor kept alive", () => {
  const guest = new FakeGuest();
  guest.create("kept");
  const before = guest.wasi.fsBytes;
  guest.create("gone", "text");
  const [kept, gone] = [guest.open("kept"), guest.open("gone")];
  guest.call("path_unlink_file", ROOT_FD, "gone");
  assert(guest.wasi.fsBytes > before);
  guest.call("fd_renumber", kept, gone);
  assertEquals(guest.wasi.fsBytes, before);
});

Deno.test("fd_fdstat_get() does not report streams as terminals", () => {
  const guest = new FakeGuest();
  for (const fd of [0, 1, 2]) {
    const { type, rights } = guest.fdstat(fd) as Fdstat;
    assertEquals(type, FILETYPE.UNKNOWN);
    assertEquals(rights & (RIGHT.FD_SEEK | RIGHT.FD_TELL), 0);
  }
});

Deno.test("fd_fdstat_get() reports directory rights without seeking and resizing", () => {
  const guest = new FakeGuest();
  const { rights, inheriting } = guest.fdstat(ROOT_FD) as Fdstat;
  assertEquals(rights & (RIGHT.FD_SEEK | RIGHT.FD_FILESTAT_SET_SIZE | RIGHT.FD_WRITE), 0);
  for (const right of [RIGHT.FD_READ, RIGHT.FD_WRITE, RIGHT.FD_SEEK, RIGHT.POLL_FD_READWRITE]) {
    assertEquals(inheriting & right, right);
  }
});

Deno.test("fd_fdstat_set_flags() stores known flags and rejects others", () => {
  const guest = new FakeGuest();
  const fd = guest.open("file", { oflags: OFLAG.CREAT, fdflags: FDFLAG.APPEND | FDFLAG.SYNC });
  assertEquals((guest.fdstat(fd) as Fdstat).flags, FDFLAG.APPEND | FDFLAG.SYNC);
  assertEquals(guest.call("fd_fdstat_set_flags", fd, FDFLAG.NONBLOCK), 0);
  assertEquals((guest.fdstat(fd) as Fdstat).flags, FDFLAG.NONBLOCK);
  assertEquals(guest.call("fd_fdstat_set_flags", fd, 32), ERRNO.INVAL);
});

Deno.test("fd_fdstat_set_rights() only drops rights", () => {
  const guest = new FakeGuest();
  const rights = RIGHT.FD_READ | RIGHT.FD_WRITE | RIGHT.FD_SEEK;
  const fd = guest.open("file", { oflags: OFLAG.CREAT, rights, inheriting: 0 });
  const set = (base: number, inheriting = 0) =>
    guest.call("fd_fdstat_set_rights", fd, BigInt(base), BigInt(inheriting));
  assertEquals(set(rights), 0);
  assertEquals(set(RIGHT.FD_SEEK), 0);
  assertEquals((guest.fdstat(fd) as Fdstat).rights, RIGHT.FD_SEEK);
  assertEquals(guest.read(fd), -ERRNO.BADF);
  assertEquals(guest.write(fd, "x"), -ERRNO.BADF);
  assertEquals(set(rights), ERRNO.NOTCAPABLE);
  assertEquals(set(RIGHT.FD_SEEK, RIGHT.FD_READ), ERRNO.NOTCAPABLE);
});

Deno.test("fd_filestat_get() matches fd_readdir()", () => {
  const guest = new FakeGuest();
  guest.create("a");
  guest.create("b");
  for (const { name, ino, type } of guest.readdir(ROOT_FD).slice(2)) {
    const stat = guest.stat(name) as Filestat;
    assertEquals({ ino: stat.ino, type: stat.type }, { ino, type });
  }
});

Deno.test("fd_filestat_set_size() truncates and extends with zeros", () => {
  const guest = new FakeGuest();
  const fd = guest.open("file", { oflags: OFLAG.CREAT });
  guest.write(fd, "hello");
  assertEquals(guest.call("fd_filestat_set_size", fd, 2n), 0);
  assertEquals(guest.call("fd_filestat_set_size", fd, 4n), 0);
  assertEquals(guest.readFile("file"), "he\0\0");
  assertEquals(guest.call("fd_filestat_set_size", fd, 1n << 40n), ERRNO.NOSPC);
  assertEquals(guest.call("fd_filestat_set_size", fd, 2n ** 62n), ERRNO.FBIG);
  assertEquals(guest.call("fd_filestat_set_size", fd, -1n), ERRNO.INVAL);
  assertEquals(guest.call("fd_filestat_set_size", ROOT_FD, 0n), ERRNO.BADF);
  assertEquals((guest.fdStat(fd) as Filestat).size, 4);
});

Deno.test("fd_filestat_set_size() and fd_allocate() require a descriptor open for writing", () => {
  const guest = new FakeGuest();
  guest.create("file", "text");
  const fd = guest.open("file", { rights: RIGHT.FD_READ });
  assertEquals(guest.call("fd_filestat_set_size", fd, 2n), ERRNO.INVAL);
  assertEquals(guest.call("fd_allocate", fd, 0n, 100n), ERRNO.BADF);
  assertEquals((guest.fdStat(fd) as Filestat).size, 4);
});

Deno.test("fd_filestat_set_times() sets one time and keeps the other", () => {
  const guest = new FakeGuest();
  const fd = guest.open("file", { oflags: OFLAG.CREAT });
  const before = guest.fdStat(fd) as Filestat;
  const set = (flags: number) => guest.call("fd_filestat_set_times", fd, 100n, 200n, flags);
  assertEquals(set(FSTFLAG.MTIM), 0);
  const after = guest.fdStat(fd) as Filestat;
  assertEquals({ atim: after.atim, mtim: after.mtim }, { atim: before.atim, mtim: 200n });
  assertEquals(set(FSTFLAG.MTIM | FSTFLAG.MTIM_NOW), ERRNO.INVAL);
  assertEquals(set(FSTFLAG.ATIM | FSTFLAG.ATIM_NOW), ERRNO.INVAL);
  assertEquals(guest.call("fd_filestat_set_times", 1, 0n, 0n, FSTFLAG.MTIM), ERRNO.BADF);
});

function withFile(content = ""): { guest: FakeGuest; fd: number } {
  const guest = new FakeGuest();
  const fd = guest.open("file", { oflags: OFLAG.CREAT });
  if (content !== "") guest.write(fd, content);
  return { guest, fd };
}

function seek(guest: FakeGuest, fd: number, delta: bigint, whence: number): bigint | number {
  const errno = guest.call("fd_seek", fd, delta, whence, RESULT_POINTER);
  return errno === 0 ? guest.result64 : -errno;
}

Deno.test("fd_seek() seeks from the start, the position and the end", () => {
  const { guest, fd } = withFile("x".repeat(100));
  assertEquals(seek(guest, fd, 0n, WHENCE.CUR), 100n);
  assertEquals(seek(guest, fd, -50n, WHENCE.CUR), 50n);
  assertEquals(seek(guest, fd, -1n, WHENCE.END), 99n);
  assertEquals(seek(guest, fd, 1000n, WHENCE.SET), 1000n);
  assertEquals(seek(guest, fd, -2000n, WHENCE.CUR), -ERRNO.INVAL);
  assertEquals(guest.call("fd_tell", fd, RESULT_POINTER), 0);
  assertEquals(guest.result64, 1000n);
});

Deno.test("fd_seek() returns EINVAL instead of overflowing", () => {
  const { guest, fd } = withFile();
  for (const delta of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n]) {
    assertEquals(seek(guest, fd, delta, WHENCE.SET), -ERRNO.INVAL, String(delta));
  }
  assertEquals(seek(guest, fd, 2n ** 53n - 1n, WHENCE.SET), 2n ** 53n - 1n);
  assertEquals(seek(guest, fd, 1n, WHENCE.CUR), -ERRNO.INVAL);
  for (const whence of [3, 255, -1]) assertEquals(seek(guest, fd, 0n, whence), -ERRNO.INVAL);
});

Deno.test("fd_seek() and fd_tell() require a file and the right", () => {
  const guest = new FakeGuest();
  guest.create("file");
  const fd = guest.open("file");
  assertEquals(guest.call("fd_fdstat_set_rights", fd, BigInt(RIGHT.FD_TELL), 0n), 0);
  assertEquals(seek(guest, fd, 0n, WHENCE.CUR), 0n);
  assertEquals(seek(guest, fd, 1n, WHENCE.CUR), -ERRNO.NOTCAPABLE);
  for (const whence of [WHENCE.SET, WHENCE.CUR, WHENCE.END]) {
    assertEquals(seek(guest, ROOT_FD, 0n, whence), -ERRNO.BADF);
    assertEquals(seek(guest, 0, 0n, whence), -ERRNO.SPIPE);
    assertEquals(seek(guest, 99, 0n, whence), -ERRNO.BADF);
  }
  assertEquals(guest.call("fd_tell", ROOT_FD, RESULT_POINTER), ERRNO.BADF);
});

Deno.test("fd_allocate() extends and never truncates", () => {
  const { guest, fd } = withFile();
  const size = () => (guest.fdStat(fd) as Filestat).size;
  assertEquals(guest.call("fd_allocate", fd, 0n, 100n), 0);
  assertEquals(guest.call("fd_allocate", fd, 10n, 10n), 0);
  assertEquals(size(), 100);
  assertEquals(guest.call("fd_allocate", fd, 90n, 20n), 0);
  assertEquals(size(), 110);
  assertEquals(guest.call("fd_allocate", fd, 0n, 0n), ERRNO.INVAL);
  assertEquals(guest.call("fd_allocate", fd, -1n, 1n), ERRNO.INVAL);
  assertEquals(guest.call("fd_allocate", fd, 0n, 1n << 40n), ERRNO.NOSPC);
  assertEquals(guest.call("fd_allocate", fd, 2n ** 62n, 2n ** 62n), ERRNO.FBIG);
  assertEquals(guest.call("fd_allocate", ROOT_FD, 0n, 0n), ERRNO.BADF);
  assertEquals(size(), 110);
});

Deno.test("fd_advise() checks its arguments and changes nothing", () => {
  const { guest, fd } = withFile("text");
  for (let advice = 0; advice <= 5; advice++) {
    assertEquals(guest.call("fd_advise", fd, 10n, 50n, advice), 0);
  }
  assertEquals(guest.call("fd_advise", fd, 0n, 0n, 6), ERRNO.INVAL);
  assertEquals(guest.call("fd_advise", fd, -1n, 0n, 0), ERRNO.INVAL);
  assertEquals(guest.call("fd_advise", ROOT_FD, 0n, 0n, 0), ERRNO.BADF);
  assertEquals(guest.readFile("file"), "text");
});

Deno.test("fd_sync() and fd_datasync() accept any open descriptor", () => {
  const { guest, fd } = withFile();
  for (const name of ["fd_sync", "fd_datasync"]) {
    for (const open of [fd, 1, ROOT_FD]) assertEquals(guest.call(name, open), 0);
    assertEquals(guest.call(name, 99), ERRNO.BADF);
  }
});

const NAMES_PER_CALL = 256;

/** All names, read with a small buffer as C libraries do; `between` runs after each call. */
function names(guest: FakeGuest, fd: number, between: (seen: string[]) => void = () => {}) {
  const seen: string[] = [];
  let cookie = 0n;
  for (;;) {
    const entries = guest.readdir(fd, cookie, NAMES_PER_CALL);
    seen.push(...entries.map(({ name }) => name));
    if (guest.result < NAMES_PER_CALL) return seen;
    cookie = entries.at(-1)!.next;
    between(seen);
  }
}

Deno.test('fd_readdir() starts with "." and ".."', () => {
  const guest = new FakeGuest();
  guest.call("path_create_directory", ROOT_FD, "dir");
  const fd = guest.openDirectory("dir");
  const ino = (path: string) => (guest.stat(path) as Filestat).ino;
  assertEquals(guest.readdir(fd), [
    { next: 1n, ino: ino("dir"), type: FILETYPE.DIRECTORY, name: "." },
    { next: 2n, ino: ino("."), type: FILETYPE.DIRECTORY, name: ".." },
  ]);
});

Deno.test("fd_readdir() continues from any cookie", () => {
  const guest = new FakeGuest();
  guest.create("file");
  const all = guest.readdir(ROOT_FD);
  assertEquals(all.map(({ name }) => name), [".", "..", "file"]);
  all.forEach(({ next }, i) => assertEquals(guest.readdir(ROOT_FD, next), all.slice(i + 1)));
  assertEquals(guest.readdir(ROOT_FD, 2n ** 64n - 1n), []);
  assertEquals(guest.readdir(ROOT_FD, -1n), []);
});

Deno.test("fd_readdir() returns each of many names once", () => {
  const guest = new FakeGuest({ limits: { fsBytes: 1 << 24, fsInodes: 2000, openFds: 10 } });
  const created = Array.from({ length: 1000 }, (_, i) => `file.${i}`);
  for (const name of created) guest.create(name);
  assertEquals(names(guest, ROOT_FD), [".", "..", ...created]);
});

Deno.test("fd_readdir() keeps cookies valid while names are created and removed", () => {
  const guest = new FakeGuest();
  const kept = Array.from({ length: 100 }, (_, i) => `kept.${i}`);
  for (const name of kept) {
    guest.create(`gone.${name}`);
    guest.create(name);
  }
  let round = 0;
  const seen = names(guest, ROOT_FD, () => {
    for (let i = 0; i < 10; i++) {
      guest.call("path_unlink_file", ROOT_FD, `gone.kept.${(round * 10 + i) % 100}`);
    }
    guest.create(`new.${round++}`);
  });
  assertEquals(seen.filter((name) => name.startsWith("kept")), kept);
  assertEquals(seen.length, new Set(seen).size);
});

Deno.test("fd_readdir() lists all names when each one is removed after it is read", () => {
  const guest = new FakeGuest();
  const created = Array.from({ length: 200 }, (_, i) => `file.${i}`);
  for (const name of created) guest.create(name);
  const seen = names(guest, ROOT_FD, (so_far) => {
    for (const name of so_far) guest.call("path_unlink_file", ROOT_FD, name);
  });
  assertEquals(seen, [".", "..", ...created]);
});

Deno.test("fd_readdir() truncates the last entry to fill the buffer", () => {
  const guest = new FakeGuest();
  guest.create("file");
  for (const size of [0, 1, 24, 25, 30, 77]) {
    guest.readdir(ROOT_FD, 0n, size);
    assertEquals(guest.result, size);
  }
  guest.readdir(ROOT_FD, 0n, 80);
  assertEquals(guest.result, 25 + 26 + 28);
});

Deno.test("fd_readdir() requires an open directory", () => {
  const guest = new FakeGuest();
  guest.create("file");
  const args = [BUFFER_POINTER, 100, 0n, RESULT_POINTER] as const;
  assertEquals(guest.call("fd_readdir", guest.open("file"), ...args), ERRNO.BADF);
  assertEquals(guest.call("fd_readdir", 0, ...args), ERRNO.BADF);
  assertEquals(guest.call("fd_readdir", 99, ...args), ERRNO.BADF);
});

Deno.test("fd_prestat_get() and fd_prestat_dir_name() describe the preopens", () => {
  const guest = new FakeGuest({ inputs: [{ path: "fs-tests.dir/" }, { path: "/data/in/" }] });
  const preopens: string[] = [];
  let fd = ROOT_FD;
  for (; guest.call("fd_prestat_get", fd, RESULT_POINTER) === 0; fd++) {
    assertEquals(guest.view.getUint8(RESULT_POINTER), 0);
    const length = guest.view.getUint32(RESULT_POINTER + 4, true);
    assertEquals(guest.call("fd_prestat_dir_name", fd, BUFFER_POINTER, length + 1), 0);
    preopens.push(guest.text(BUFFER_POINTER, length));
    const tooShort = guest.call("fd_prestat_dir_name", fd, BUFFER_POINTER, length - 1);
    assertEquals(tooShort, ERRNO.NAMETOOLONG);
  }
  assertEquals(preopens, ["/", "/data/in", "fs-tests.dir"]);
  const opened = guest.openDirectory("data");
  for (const other of [0, 1, fd, opened, 99]) {
    assertEquals(guest.call("fd_prestat_get", other, RESULT_POINTER), ERRNO.BADF);
    assertEquals(guest.call("fd_prestat_dir_name", other, BUFFER_POINTER, 100), ERRNO.BADF);
  }
});
