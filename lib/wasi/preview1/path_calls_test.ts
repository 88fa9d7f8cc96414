import { assert, assertEquals } from "@std/assert";
import {
  BUFFER_POINTER,
  FakeGuest,
  type Fdstat,
  type Filestat,
  RESULT_POINTER,
  ROOT_FD,
} from "../../../tests/fixtures/fake_guest.ts";
import {
  ALL_RIGHTS,
  ERRNO,
  FDFLAG,
  FILE_RIGHTS,
  FSTFLAG,
  LOOKUP_SYMLINK_FOLLOW,
  OFLAG,
  RIGHT,
} from "../abi.ts";
import { FILETYPE } from "../fs/inode.ts";

Deno.test("path_open() returns ENOENT for a missing file and creates it with O_CREAT", () => {
  const guest = new FakeGuest();
  assertEquals(guest.open("file"), -ERRNO.NOENT);
  assert(guest.open("file", { oflags: OFLAG.CREAT }) > ROOT_FD);
  assertEquals(guest.open("file", { oflags: OFLAG.CREAT | OFLAG.EXCL }), -ERRNO.EXIST);
  assertEquals(guest.open("file", { oflags: OFLAG.DIRECTORY }), -ERRNO.NOTDIR);
});

Deno.test("path_open() stays below its directory", () => {
  const guest = new FakeGuest();
  guest.call("path_create_directory", ROOT_FD, "dir");
  guest.call("path_create_directory", ROOT_FD, "dir/nested");
  guest.create("dir/nested/file");
  guest.create("outside");
  assert(guest.open("dir/.//nested/../../dir/nested/../nested///./file") > 0);
  const dir = guest.openDirectory("dir");
  assertEquals(guest.open("/nested/file", { at: dir }), -ERRNO.PERM);
  assertEquals(guest.open("../outside", { at: dir }), -ERRNO.PERM);
  assertEquals(guest.open("nested/../../dir/nested/file", { at: dir }), -ERRNO.PERM);
  assertEquals(guest.open("..", { at: ROOT_FD }), -ERRNO.PERM);
});

Deno.test("path_open() does not leave its directory through symbolic links", () => {
  const guest = new FakeGuest();
  guest.call("path_create_directory", ROOT_FD, "dir");
  guest.create("secret", "s");
  const dir = guest.openDirectory("dir");
  // Created through the root, from which the target is reachable.
  assertEquals(guest.call("path_symlink", "../secret", ROOT_FD, "dir/up"), 0);
  assertEquals(guest.readFile("dir/up"), "s");
  assertEquals(guest.open("up", { at: dir, follow: LOOKUP_SYMLINK_FOLLOW }), -ERRNO.PERM);
  assertEquals(guest.call("path_symlink", "/secret", ROOT_FD, "absolute"), ERRNO.PERM);
});

Deno.test("path_open() requires a directory when the path ends in a slash", () => {
  const guest = new FakeGuest();
  guest.call("path_create_directory", ROOT_FD, "dir");
  guest.create("file");
  assert(guest.open("dir/", { rights: 0 }) > 0);
  assert(guest.open("dir///", { rights: 0 }) > 0);
  assertEquals(guest.open("file/"), -ERRNO.NOTDIR);
  assertEquals(guest.open("file///"), -ERRNO.NOTDIR);
  assertEquals(guest.open("new/", { oflags: OFLAG.CREAT }), -ERRNO.ISDIR);
});

Deno.test("path_open() rejects invalid paths", () => {
  const guest = new FakeGuest();
  assertEquals(guest.open(""), -ERRNO.NOENT);
  assertEquals(guest.open("file\0"), -ERRNO.INVAL);
  assertEquals(guest.open("ünï\0"), -ERRNO.INVAL);
  assertEquals(guest.open("n".repeat(256), { oflags: OFLAG.CREAT }), -ERRNO.NAMETOOLONG);
  assertEquals(guest.open("é".repeat(128), { oflags: OFLAG.CREAT }), -ERRNO.NAMETOOLONG);
  assert(guest.open("n".repeat(255), { oflags: OFLAG.CREAT }) > 0);
  assert(guest.open("é".repeat(127), { oflags: OFLAG.CREAT }) > 0);
  assertEquals(guest.open("a/".repeat(2049)), -ERRNO.NAMETOOLONG);
  guest.bytes.set([0x66, 0xff], 2048);
  const args = [ROOT_FD, 0, 2048, 2, OFLAG.CREAT, 0n, 0n, 0, RESULT_POINTER];
  assertEquals(guest.call("path_open", ...args), ERRNO.ILSEQ);
});

Deno.test("path_open() follows a final symbolic link only with the lookup flag", () => {
  const guest = new FakeGuest();
  guest.call("path_symlink", "target", ROOT_FD, "link");
  assertEquals(guest.open("link"), -ERRNO.LOOP);
  assertEquals(guest.open("link", { oflags: OFLAG.DIRECTORY }), -ERRNO.LOOP);
  assertEquals(guest.open("link", { follow: LOOKUP_SYMLINK_FOLLOW }), -ERRNO.NOENT);
  guest.call("path_create_directory", ROOT_FD, "target");
  const follow = LOOKUP_SYMLINK_FOLLOW;
  assert(guest.open("link", { follow, oflags: OFLAG.DIRECTORY, rights: 0 }) > 0);
  assertEquals(guest.open("link", { oflags: OFLAG.CREAT | OFLAG.EXCL, follow }), -ERRNO.EXIST);
});

Deno.test("path_open() creates the target of a dangling link", () => {
  const guest = new FakeGuest();
  guest.call("path_symlink", "made", ROOT_FD, "link");
  assert(guest.open("link", { oflags: OFLAG.CREAT, follow: LOOKUP_SYMLINK_FOLLOW }) > 0);
  assertEquals((guest.stat("made") as Filestat).type, FILETYPE.REGULAR_FILE);
});

Deno.test("path_open() returns ELOOP after 40 symbolic links", () => {
  const guest = new FakeGuest();
  guest.call("path_symlink", "self", ROOT_FD, "self");
  assertEquals(guest.open("self", { follow: LOOKUP_SYMLINK_FOLLOW }), -ERRNO.LOOP);
  assertEquals(guest.open("self/x"), -ERRNO.LOOP);
  guest.create("l0");
  for (let i = 1; i <= 41; i++) guest.call("path_symlink", `l${i - 1}`, ROOT_FD, `l${i}`);
  assert(guest.open("l40", { follow: LOOKUP_SYMLINK_FOLLOW }) > 0);
  assertEquals(guest.open("l41", { follow: LOOKUP_SYMLINK_FOLLOW }), -ERRNO.LOOP);
});

Deno.test("path_open() opens a directory except for writing", () => {
  const guest = new FakeGuest();
  const { rights, inheriting } = guest.fdstat(ROOT_FD) as Fdstat;
  assert(guest.open(".", { rights, inheriting }) > 0);
  assert(guest.open(".", { rights: 0, inheriting: 0, fdflags: FDFLAG.NONBLOCK }) > 0);
  assert(guest.open(".", { oflags: OFLAG.DIRECTORY, rights: RIGHT.FD_READ }) > 0);
  const write = { rights: RIGHT.FD_READ | RIGHT.FD_WRITE };
  assertEquals(guest.open(".", { oflags: OFLAG.DIRECTORY, ...write }), -ERRNO.ISDIR);
  assertEquals(guest.open(".", { oflags: OFLAG.TRUNC, rights: 0 }), -ERRNO.ISDIR);
  assertEquals(guest.open("x", { oflags: OFLAG.DIRECTORY | OFLAG.CREAT }), -ERRNO.INVAL);
});

Deno.test("path_open() requires an open directory", () => {
  const guest = new FakeGuest();
  const file = guest.open("file", { oflags: OFLAG.CREAT });
  assertEquals(guest.open("x", { at: file, oflags: OFLAG.CREAT }), -ERRNO.NOTDIR);
  assertEquals(guest.open("x", { at: 1 }), -ERRNO.NOTDIR);
  assertEquals(guest.open("x", { at: 99 }), -ERRNO.BADF);
  assertEquals(guest.open("x", { at: -1 }), -ERRNO.BADF);
});

Deno.test("path_open() takes the open mode from the rights and grants the others", () => {
  const guest = new FakeGuest();
  const neither = guest.open("file", { oflags: OFLAG.CREAT, rights: 0, inheriting: 0 });
  assertEquals(guest.call("fd_seek", neither, 0n, 0, RESULT_POINTER), 0);
  assertEquals(guest.call("fd_fdstat_set_flags", neither, FDFLAG.APPEND), 0);
  const rightsOf = (rights: number) =>
    (guest.fdstat(guest.open("file", { rights })) as Fdstat).rights;
  const rest = FILE_RIGHTS & ~(RIGHT.FD_READ | RIGHT.FD_WRITE);
  assertEquals(rightsOf(0), rest | RIGHT.FD_READ);
  assertEquals(rightsOf(RIGHT.FD_READ), rest | RIGHT.FD_READ);
  assertEquals(rightsOf(RIGHT.FD_WRITE | RIGHT.FD_SEEK), rest | RIGHT.FD_WRITE);
  assertEquals(rightsOf(ALL_RIGHTS), FILE_RIGHTS);
  const writer = guest.open("file", { rights: RIGHT.FD_WRITE });
  assertEquals(guest.write(writer, "text"), 4);
  assertEquals(guest.read(writer), -ERRNO.BADF);
  assertEquals(guest.write(neither, "text"), -ERRNO.BADF);
  assertEquals(guest.read(neither), "text");
});

Deno.test("path_open() grants all rights of a directory opened with none", () => {
  const guest = new FakeGuest();
  const root = guest.open(".", { rights: 0, inheriting: 0, oflags: OFLAG.DIRECTORY });
  assertEquals(guest.call("path_create_directory", root, "d"), 0);
  const dir = guest.open("d", { at: root, rights: RIGHT.FD_READDIR, inheriting: RIGHT.FD_READ });
  guest.create("x", "text", dir);
  assertEquals(guest.readFile("x", dir), "text");
  assertEquals(guest.readdir(dir).length, 3);
});

Deno.test("path_open() does not grant what fd_fdstat_set_rights() dropped", () => {
  const guest = new FakeGuest();
  guest.call("path_create_directory", ROOT_FD, "d");
  guest.create("d/x", "text");
  const dir = guest.openDirectory("d");
  const rights = BigInt(RIGHT.PATH_OPEN);
  assertEquals(guest.call("fd_fdstat_set_rights", dir, rights, BigInt(RIGHT.FD_READ)), 0);
  assertEquals(guest.open("new", { at: dir, oflags: OFLAG.CREAT }), -ERRNO.NOTCAPABLE);
  assertEquals(guest.call("path_create_directory", dir, "new"), ERRNO.NOTCAPABLE);
  const file = guest.open("x", { at: dir });
  assertEquals((guest.fdstat(file) as Fdstat).rights, RIGHT.FD_READ);
  assertEquals(guest.write(file, "y"), -ERRNO.BADF);
  assertEquals(guest.read(file), "text");
});

Deno.test("path_open() grants a file no path rights", () => {
  const guest = new FakeGuest();
  const fd = guest.open("file", { oflags: OFLAG.CREAT, rights: ALL_RIGHTS });
  const { rights, inheriting } = guest.fdstat(fd) as Fdstat;
  assertEquals((rights | inheriting) & RIGHT.PATH_FILESTAT_GET, 0);
});

Deno.test("path_open() truncates only with the right to set sizes", () => {
  const guest = new FakeGuest();
  guest.create("file", "text");
  const { rights, inheriting } = guest.fdstat(ROOT_FD) as Fdstat;
  const lowered = rights & ~RIGHT.PATH_FILESTAT_SET_SIZE;
  assertEquals(
    guest.call("fd_fdstat_set_rights", ROOT_FD, BigInt(lowered), BigInt(inheriting)),
    0,
  );
  assertEquals(guest.open("file", { oflags: OFLAG.TRUNC, rights: 0 }), -ERRNO.PERM);
  assertEquals(guest.readFile("file"), "text");
});

Deno.test("path_open() returns EMFILE and changes nothing when the limit is reached", () => {
  const guest = new FakeGuest({ limits: { fsBytes: 1e6, fsInodes: 100, openFds: 5 } });
  guest.create("file", "text");
  assert(guest.open("file") > 0);
  assertEquals(guest.open("file", { oflags: OFLAG.TRUNC }), -ERRNO.MFILE);
  assertEquals(guest.open("new", { oflags: OFLAG.CREAT }), -ERRNO.MFILE);
  assertEquals((guest.stat("file") as Filestat).size, 4);
  assertEquals(guest.stat("new"), -ERRNO.NOENT);
});

Deno.test("path_open() treats names such as __proto__ as data", () => {
  const guest = new FakeGuest();
  for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    assertEquals(guest.open(name), -ERRNO.NOENT, name);
    guest.create(name, name);
    assertEquals(guest.readFile(name), name);
  }
});

const NOW_MS = 1_700_000_000_000.123;
const NOW_NS = 1_700_000_000_000_100_000n;

function guestAt(realtimeMs = NOW_MS): FakeGuest {
  return new FakeGuest({ now: { realtimeMs: () => realtimeMs, monotonicMs: () => 0 } });
}

Deno.test("path_filestat_get() returns type, size, links and times", () => {
  const guest = guestAt();
  guest.create("file", "12345");
  const stat = guest.stat("file") as Filestat;
  assertEquals({ ...stat, ino: 0n }, {
    dev: 1n,
    ino: 0n,
    type: FILETYPE.REGULAR_FILE,
    nlink: 1,
    size: 5,
    atim: NOW_NS,
    mtim: NOW_NS,
    ctim: NOW_NS,
  });
  guest.create("other");
  assertEquals((guest.stat("other") as Filestat).ino === stat.ino, false);
});

Deno.test("path_filestat_get() returns exact times for any clock value", () => {
  for (const ms of [0, 0.1, 1, 4_294_967.295, 1_679_999_999_999.9, 4_102_444_800_000, 9e12]) {
    const guest = guestAt(ms);
    guest.create("file");
    const ticks = BigInt(Math.floor(ms * 10));
    assertEquals((guest.stat("file") as Filestat).mtim, ticks * 100_000n, `${ms} ms`);
  }
});

Deno.test("path_filestat_get() follows a final symbolic link only with the lookup flag or before a slash", () => {
  const guest = guestAt();
  guest.call("path_create_directory", ROOT_FD, "dir");
  guest.call("path_symlink", "dir", ROOT_FD, "link");
  const type = (path: string, follow = 0) => (guest.stat(path, { follow }) as Filestat).type;
  assertEquals(type("link"), FILETYPE.SYMBOLIC_LINK);
  assertEquals(type("link", LOOKUP_SYMLINK_FOLLOW), FILETYPE.DIRECTORY);
  assertEquals(type("link/"), FILETYPE.DIRECTORY);
  assertEquals((guest.stat("link") as Filestat).size, 3);
  assertEquals(guest.stat("none"), -ERRNO.NOENT);
});

Deno.test("path_filestat_set_times() sets each time to a given time or the current time", () => {
  const guest = guestAt();
  guest.create("file");
  const set = (atim: bigint, mtim: bigint, flags: number) =>
    guest.call("path_filestat_set_times", ROOT_FD, 0, "file", atim, mtim, flags);
  assertEquals(set(5n, NOW_NS - 101n, FSTFLAG.MTIM), 0);
  let stat = guest.stat("file") as Filestat;
  assertEquals({ atim: stat.atim, mtim: stat.mtim }, { atim: NOW_NS, mtim: NOW_NS - 101n });
  assertEquals(set(5n, 6n, FSTFLAG.ATIM | FSTFLAG.MTIM_NOW), 0);
  stat = guest.stat("file") as Filestat;
  assertEquals({ atim: stat.atim, mtim: stat.mtim }, { atim: 5n, mtim: NOW_NS });
  assertEquals(set(-1n, 0n, FSTFLAG.ATIM), 0);
  assertEquals((guest.stat("file") as Filestat).atim, 2n ** 64n - 1n);
});

Deno.test("path_filestat_set_times() rejects conflicting flags and changes nothing", () => {
  const guest = guestAt();
  guest.create("file");
  const before = guest.stat("file");
  for (const flags of [FSTFLAG.ATIM | FSTFLAG.ATIM_NOW, FSTFLAG.MTIM | FSTFLAG.MTIM_NOW, 16, -1]) {
    assertEquals(
      guest.call("path_filestat_set_times", ROOT_FD, 0, "file", 1n, 1n, flags),
      ERRNO.INVAL,
    );
  }
  assertEquals(guest.stat("file"), before);
});

Deno.test("path_filestat_set_times() sets the times of a link itself unless it follows links", () => {
  const guest = guestAt();
  guest.create("file");
  guest.call("path_symlink", "file", ROOT_FD, "link");
  const set = (follow: number, mtim: bigint) =>
    guest.call("path_filestat_set_times", ROOT_FD, follow, "link", 0n, mtim, FSTFLAG.MTIM);
  assertEquals(set(0, 7n), 0);
  assertEquals((guest.stat("link") as Filestat).mtim, 7n);
  assertEquals((guest.stat("file") as Filestat).mtim, NOW_NS);
  assertEquals(set(LOOKUP_SYMLINK_FOLLOW, 8n), 0);
  assertEquals((guest.stat("file") as Filestat).mtim, 8n);
});

Deno.test("path_readlink() fills the buffer and leaves the rest unchanged", () => {
  const guest = guestAt();
  guest.call("path_symlink", "target", ROOT_FD, "link");
  guest.create("file");
  const readlink = (path: string, size: number) =>
    guest.call("path_readlink", ROOT_FD, path, BUFFER_POINTER, size, RESULT_POINTER);
  guest.bytes.fill(0x2e, BUFFER_POINTER, BUFFER_POINTER + 10);
  assertEquals(readlink("link", 10), 0);
  assertEquals(guest.result, 6);
  assertEquals(guest.text(BUFFER_POINTER, 10), "target....");
  assertEquals(readlink("link", 4), 0);
  assertEquals(guest.result, 4);
  assertEquals(readlink("file", 4), ERRNO.INVAL);
  assertEquals(readlink("none", 4), ERRNO.NOENT);
});

const rename = (guest: FakeGuest, from: string, to: string): number =>
  guest.call("path_rename", ROOT_FD, from, ROOT_FD, to);
const link = (guest: FakeGuest, from: string, to: string, flags = 0): number =>
  guest.call("path_link", ROOT_FD, flags, from, ROOT_FD, to);
const mkdir = (guest: FakeGuest, path: string): number =>
  guest.call("path_create_directory", ROOT_FD, path);
const rmdir = (guest: FakeGuest, path: string): number =>
  guest.call("path_remove_directory", ROOT_FD, path);
const unlink = (guest: FakeGuest, path: string): number =>
  guest.call("path_unlink_file", ROOT_FD, path);
const symlink = (guest: FakeGuest, target: string, path: string): number =>
  guest.call("path_symlink", target, ROOT_FD, path);

Deno.test("path_create_directory() creates one directory", () => {
  const guest = new FakeGuest();
  assertEquals(mkdir(guest, "a/b"), ERRNO.NOENT);
  assertEquals(mkdir(guest, "a/"), 0);
  assertEquals(mkdir(guest, "a"), ERRNO.EXIST);
  assertEquals(mkdir(guest, "."), ERRNO.EXIST);
  assertEquals(mkdir(guest, "a/.."), ERRNO.EXIST);
  assertEquals(mkdir(guest, "a/b"), 0);
  guest.create("file");
  assertEquals(mkdir(guest, "file"), ERRNO.EXIST);
  assertEquals(mkdir(guest, "file/x"), ERRNO.NOTDIR);
});

Deno.test("path_remove_directory() removes only empty directories", () => {
  const guest = new FakeGuest();
  mkdir(guest, "a");
  mkdir(guest, "a/b");
  guest.create("file");
  symlink(guest, "a", "link");
  assertEquals(rmdir(guest, "a"), ERRNO.NOTEMPTY);
  assertEquals(rmdir(guest, "a/."), ERRNO.INVAL);
  assertEquals(rmdir(guest, "file"), ERRNO.NOTDIR);
  assertEquals(rmdir(guest, "file/"), ERRNO.NOTDIR);
  assertEquals(rmdir(guest, "link"), ERRNO.NOTDIR);
  assertEquals(rmdir(guest, "link/"), ERRNO.NOTDIR);
  assertEquals(rmdir(guest, "none"), ERRNO.NOENT);
  assertEquals(rmdir(guest, "a/b/"), 0);
  assertEquals(rmdir(guest, "a"), 0);
});

Deno.test("path_unlink_file() removes anything but directories", () => {
  const guest = new FakeGuest();
  mkdir(guest, "dir");
  assertEquals(unlink(guest, "dir"), ERRNO.ISDIR);
  assertEquals(unlink(guest, "dir/"), ERRNO.ISDIR);
  assertEquals(unlink(guest, "none"), ERRNO.NOENT);
  guest.create("file");
  assertEquals(unlink(guest, "file/"), ERRNO.NOTDIR);
  assertEquals(unlink(guest, "file"), 0);
  symlink(guest, "dir", "link");
  assertEquals(unlink(guest, "link"), 0);
  assertEquals((guest.stat("dir") as Filestat).type, FILETYPE.DIRECTORY);
});

Deno.test("path_unlink_file() keeps an open file readable and frees its name", () => {
  const guest = new FakeGuest();
  const before = guest.wasi.fsBytes;
  guest.create("file", "text");
  const fd = guest.open("file");
  assertEquals(unlink(guest, "file"), 0);
  assertEquals(guest.read(fd), "text");
  assertEquals((guest.fdStat(fd) as Filestat).nlink, 0);
  guest.create("file", "other");
  assertEquals(guest.readFile("file"), "other");
  assertEquals(unlink(guest, "file"), 0);
  assert(guest.wasi.fsBytes > before);
  guest.call("fd_close", fd);
  assertEquals(guest.wasi.fsBytes, before);
});

Deno.test("path_remove_directory() prevents creation in a removed directory that is still open", () => {
  const guest = new FakeGuest();
  mkdir(guest, "dir");
  const fd = guest.openDirectory("dir");
  assertEquals(rmdir(guest, "dir"), 0);
  assertEquals(guest.open("x", { at: fd, oflags: OFLAG.CREAT }), -ERRNO.NOENT);
  assertEquals(guest.readdir(fd), []);
  assertEquals(mkdir(guest, "dir"), 0);
});

Deno.test("path_symlink() creates links and rejects invalid targets and paths", () => {
  const guest = new FakeGuest();
  mkdir(guest, "dir");
  guest.create("file");
  assertEquals(symlink(guest, "source", "target/"), ERRNO.NOENT);
  assertEquals(symlink(guest, "source", "target"), 0);
  assertEquals(symlink(guest, "source", "dir"), ERRNO.EXIST);
  assertEquals(symlink(guest, "source", "dir/"), ERRNO.EXIST);
  assertEquals(symlink(guest, "source", "file"), ERRNO.EXIST);
  assertEquals(symlink(guest, "source", "file/"), ERRNO.NOTDIR);
  assertEquals(symlink(guest, "source", "target/"), ERRNO.NOTDIR);
  assertEquals(symlink(guest, "", "empty"), ERRNO.NOENT);
  assertEquals(symlink(guest, "/", "root"), ERRNO.PERM);
});

Deno.test("path_link() creates a second name for an inode", () => {
  const guest = new FakeGuest();
  mkdir(guest, "dir");
  guest.create("file", "text");
  assertEquals(link(guest, "file", "dir/link"), 0);
  assertEquals(guest.stat("file"), guest.stat("dir/link"));
  assertEquals((guest.stat("file") as Filestat).nlink, 2);
  assertEquals(unlink(guest, "file"), 0);
  assertEquals(guest.readFile("dir/link"), "text");
  assertEquals((guest.stat("dir/link") as Filestat).nlink, 1);
});

Deno.test("path_link() links symbolic links instead of their targets", () => {
  const guest = new FakeGuest();
  guest.create("file");
  symlink(guest, "none", "dangling");
  symlink(guest, "loop", "loop");
  assertEquals(link(guest, "dangling", "a"), 0);
  assertEquals(link(guest, "loop", "b"), 0);
  assertEquals((guest.stat("b") as Filestat).type, FILETYPE.SYMBOLIC_LINK);
  assertEquals(link(guest, "dangling", "c", LOOKUP_SYMLINK_FOLLOW), ERRNO.INVAL);
  assertEquals(link(guest, "file", "dangling"), ERRNO.EXIST);
});

Deno.test("path_link() rejects directories and existing names", () => {
  const guest = new FakeGuest();
  mkdir(guest, "dir");
  guest.create("file");
  guest.create("other");
  assertEquals(link(guest, "dir", "link"), ERRNO.PERM);
  assertEquals(link(guest, "file", "other"), ERRNO.EXIST);
  assertEquals(link(guest, "file", "file"), ERRNO.EXIST);
  assertEquals(link(guest, "file", "dir"), ERRNO.EXIST);
  assertEquals(link(guest, "file", "link/"), ERRNO.NOENT);
  assertEquals(link(guest, "file/", "link"), ERRNO.NOTDIR);
  assertEquals(link(guest, "none", "link"), ERRNO.NOENT);
});

Deno.test("path_rename() replaces files with files", () => {
  const guest = new FakeGuest();
  guest.create("a", "A");
  guest.create("b", "B");
  const before = guest.wasi.fsBytes;
  assertEquals(rename(guest, "a", "b"), 0);
  assertEquals(guest.stat("a"), -ERRNO.NOENT);
  assertEquals(guest.readFile("b"), "A");
  assert(guest.wasi.fsBytes < before);
  assertEquals(rename(guest, "none", "b"), ERRNO.NOENT);
  link(guest, "b", "c");
  assertEquals(rename(guest, "b", "c"), 0);
  assertEquals(guest.readFile("b"), "A");
});

Deno.test("path_rename() moves directories to free names and over empty directories", () => {
  const guest = new FakeGuest();
  mkdir(guest, "source");
  guest.create("source/file", "text");
  assertEquals(rename(guest, "source/", "target/"), 0);
  mkdir(guest, "empty");
  assertEquals(rename(guest, "target", "empty"), 0);
  assertEquals(guest.readFile("empty/file"), "text");
  mkdir(guest, "other");
  assertEquals(rename(guest, "other", "empty"), ERRNO.NOTEMPTY);
  assertEquals(rename(guest, "other", "empty/file"), ERRNO.NOTDIR);
  guest.create("file");
  assertEquals(rename(guest, "file", "other"), ERRNO.ISDIR);
  assertEquals(rename(guest, "file", "new/"), ERRNO.NOTDIR);
  assertEquals(rename(guest, "file/", "new"), ERRNO.NOTDIR);
});

Deno.test('path_rename() rejects moving a directory into itself and moving "." or ".."', () => {
  const guest = new FakeGuest();
  mkdir(guest, "a");
  mkdir(guest, "a/b");
  assertEquals(rename(guest, "a", "a/b/c"), ERRNO.INVAL);
  assertEquals(rename(guest, "a", "a/c"), ERRNO.INVAL);
  assertEquals(rename(guest, "a", "a"), 0);
  assertEquals(rename(guest, ".", "x"), ERRNO.BUSY);
  assertEquals(rename(guest, "a/b/..", "x"), ERRNO.BUSY);
  assertEquals(rename(guest, "a", "."), ERRNO.BUSY);
});

Deno.test('path_rename() updates the meaning of ".."', () => {
  const guest = new FakeGuest();
  mkdir(guest, "a");
  mkdir(guest, "a/moved");
  mkdir(guest, "b");
  guest.create("b/file", "in b");
  assertEquals(rename(guest, "a/moved", "b/moved"), 0);
  assertEquals(guest.readFile("b/moved/../file"), "in b");
});

Deno.test("path_rename() moves between two descriptors", () => {
  const guest = new FakeGuest();
  mkdir(guest, "a");
  mkdir(guest, "b");
  guest.create("a/x", "text");
  const [from, to] = [guest.openDirectory("a"), guest.openDirectory("b")];
  assertEquals(guest.call("path_rename", from, "x", to, "y"), 0);
  assertEquals(guest.readFile("b/y"), "text");
  assertEquals(guest.call("path_rename", to, "y", from, "../z"), ERRNO.PERM);
});
