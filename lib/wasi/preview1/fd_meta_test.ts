import { assert, assertEquals } from "@std/assert";
import { ERRNO, FDFLAG, FILETYPE, FSTFLAG, OFLAG, RIGHT } from "./abi.ts";
import {
  FakeGuest,
  type Fdstat,
  type Filestat,
  ROOT_FD,
} from "../../../tests/fixtures/fake_guest.ts";

Deno.test("fd_close() closes preopens and streams too, and leaves others open", () => {
  const guest = new FakeGuest({ inputs: [{ path: "/data/" }] });
  assertEquals(guest.call("fd_close", ROOT_FD), 0);
  assertEquals(guest.call("fd_close", ROOT_FD), ERRNO.BADF);
  assertEquals(guest.fdstat(ROOT_FD), -ERRNO.BADF);
  assertEquals((guest.fdstat(4) as Fdstat).type, FILETYPE.DIRECTORY);
  assertEquals(guest.call("fd_close", 1), 0);
  assertEquals(guest.write(1, "x"), -ERRNO.BADF);
});

Deno.test("fd_close() frees the lowest number first", () => {
  const guest = new FakeGuest();
  const fds = ["a", "b", "c"].map((name) => guest.open(name, { oflags: OFLAG.CREAT }));
  assertEquals(fds, [4, 5, 6]);
  guest.call("fd_close", 5);
  guest.call("fd_close", 4);
  assertEquals(guest.open("a"), 4);
  assertEquals(guest.open("a"), 5);
  assertEquals(guest.open("a"), 7);
});

Deno.test("fd_renumber() moves a descriptor over another, streams and preopens included", () => {
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

Deno.test("fd_renumber() frees a file that only the replaced descriptor held", () => {
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

Deno.test("fd_fdstat_get() tells that streams are no terminals", () => {
  const guest = new FakeGuest();
  for (const fd of [0, 1, 2]) {
    const { type, rights } = guest.fdstat(fd) as Fdstat;
    assertEquals(type, FILETYPE.UNKNOWN);
    assertEquals(rights & (RIGHT.FD_SEEK | RIGHT.FD_TELL), 0);
  }
});

Deno.test("fd_fdstat_get() tells rights that directories have, and none to seek or resize", () => {
  const guest = new FakeGuest();
  const { rights, inheriting } = guest.fdstat(ROOT_FD) as Fdstat;
  assertEquals(rights & (RIGHT.FD_SEEK | RIGHT.FD_FILESTAT_SET_SIZE | RIGHT.FD_WRITE), 0);
  for (const right of [RIGHT.FD_READ, RIGHT.FD_WRITE, RIGHT.FD_SEEK, RIGHT.POLL_FD_READWRITE]) {
    assertEquals(inheriting & right, right);
  }
});

Deno.test("fd_fdstat_set_flags() keeps known flags and refuses others", () => {
  const guest = new FakeGuest();
  const fd = guest.open("file", { oflags: OFLAG.CREAT, fdflags: FDFLAG.APPEND | FDFLAG.SYNC });
  assertEquals((guest.fdstat(fd) as Fdstat).flags, FDFLAG.APPEND | FDFLAG.SYNC);
  assertEquals(guest.call("fd_fdstat_set_flags", fd, FDFLAG.NONBLOCK), 0);
  assertEquals((guest.fdstat(fd) as Fdstat).flags, FDFLAG.NONBLOCK);
  assertEquals(guest.call("fd_fdstat_set_flags", fd, 32), ERRNO.INVAL);
});

Deno.test("fd_fdstat_set_rights() only takes away", () => {
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

Deno.test("fd_filestat_get() matches what fd_readdir tells", () => {
  const guest = new FakeGuest();
  guest.create("a");
  guest.create("b");
  for (const { name, ino, type } of guest.readdir(ROOT_FD).slice(2)) {
    const stat = guest.stat(name) as Filestat;
    assertEquals([stat.ino, stat.type], [ino, type]);
  }
});

Deno.test("fd_filestat_set_size() cuts and extends with zeros", () => {
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

Deno.test("fd_filestat_set_times() sets one time and leaves the other", () => {
  const guest = new FakeGuest();
  const fd = guest.open("file", { oflags: OFLAG.CREAT });
  const before = guest.fdStat(fd) as Filestat;
  const set = (flags: number) => guest.call("fd_filestat_set_times", fd, 100n, 200n, flags);
  assertEquals(set(FSTFLAG.MTIM), 0);
  const after = guest.fdStat(fd) as Filestat;
  assertEquals([after.atim, after.mtim], [before.atim, 200n]);
  assertEquals(set(FSTFLAG.MTIM | FSTFLAG.MTIM_NOW), ERRNO.INVAL);
  assertEquals(set(FSTFLAG.ATIM | FSTFLAG.ATIM_NOW), ERRNO.INVAL);
  assertEquals(guest.call("fd_filestat_set_times", 1, 0n, 0n, FSTFLAG.MTIM), ERRNO.BADF);
});
