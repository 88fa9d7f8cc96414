import { assert, assertEquals } from "@std/assert";
import { ALL_RIGHTS, ERRNO, FDFLAG, FILETYPE, LOOKUP_SYMLINK_FOLLOW, OFLAG, RIGHT } from "./abi.ts";
import {
  FakeGuest,
  type Fdstat,
  type Filestat,
  RESULT_POINTER,
  ROOT_FD,
} from "../../../tests/fixtures/fake_guest.ts";

Deno.test("path_open() answers ENOENT for what is missing and creates with O_CREAT", () => {
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
  // Made from above, where the target is reachable.
  assertEquals(guest.call("path_symlink", "../secret", ROOT_FD, "dir/up"), 0);
  assertEquals(guest.readFile("dir/up"), "s");
  assertEquals(guest.open("up", { at: dir, follow: LOOKUP_SYMLINK_FOLLOW }), -ERRNO.PERM);
  assertEquals(guest.call("path_symlink", "/secret", ROOT_FD, "absolute"), ERRNO.PERM);
});

Deno.test("path_open() with a slash at the end means a directory", () => {
  const guest = new FakeGuest();
  guest.call("path_create_directory", ROOT_FD, "dir");
  guest.create("file");
  assert(guest.open("dir/", { rights: 0 }) > 0);
  assert(guest.open("dir///", { rights: 0 }) > 0);
  assertEquals(guest.open("file/"), -ERRNO.NOTDIR);
  assertEquals(guest.open("file///"), -ERRNO.NOTDIR);
  assertEquals(guest.open("new/", { oflags: OFLAG.CREAT }), -ERRNO.ISDIR);
});

Deno.test("path_open() refuses paths that are no paths", () => {
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

Deno.test("path_open() follows a last symbolic link only when asked", () => {
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

Deno.test("path_open() creates what a dangling link names", () => {
  const guest = new FakeGuest();
  guest.call("path_symlink", "made", ROOT_FD, "link");
  assert(guest.open("link", { oflags: OFLAG.CREAT, follow: LOOKUP_SYMLINK_FOLLOW }) > 0);
  assertEquals((guest.stat("made") as Filestat).type, FILETYPE.REGULAR_FILE);
});

Deno.test("path_open() gives up after 40 symbolic links", () => {
  const guest = new FakeGuest();
  guest.call("path_symlink", "self", ROOT_FD, "self");
  assertEquals(guest.open("self", { follow: LOOKUP_SYMLINK_FOLLOW }), -ERRNO.LOOP);
  assertEquals(guest.open("self/x"), -ERRNO.LOOP);
  guest.create("l0");
  for (let i = 1; i <= 41; i++) guest.call("path_symlink", `l${i - 1}`, ROOT_FD, `l${i}`);
  assert(guest.open("l40", { follow: LOOKUP_SYMLINK_FOLLOW }) > 0);
  assertEquals(guest.open("l41", { follow: LOOKUP_SYMLINK_FOLLOW }), -ERRNO.LOOP);
});

Deno.test("path_open() opens a directory for anything but writing", () => {
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

Deno.test("path_open() needs an open directory", () => {
  const guest = new FakeGuest();
  const file = guest.open("file", { oflags: OFLAG.CREAT });
  assertEquals(guest.open("x", { at: file, oflags: OFLAG.CREAT }), -ERRNO.NOTDIR);
  assertEquals(guest.open("x", { at: 1 }), -ERRNO.NOTDIR);
  assertEquals(guest.open("x", { at: 99 }), -ERRNO.BADF);
  assertEquals(guest.open("x", { at: -1 }), -ERRNO.BADF);
});

Deno.test("path_open() hands on no right that the directory may not", () => {
  const guest = new FakeGuest();
  guest.call("path_create_directory", ROOT_FD, "d");
  const dir = guest.open("d", { rights: RIGHT.PATH_OPEN, inheriting: RIGHT.FD_READ });
  assertEquals(guest.open("x", { at: dir, oflags: OFLAG.CREAT }), -ERRNO.NOTCAPABLE);
  guest.create("d/x", "text");
  const file = guest.open("x", { at: dir });
  assertEquals((guest.fdstat(file) as Fdstat).rights, RIGHT.FD_READ);
  assertEquals(guest.write(file, "y"), -ERRNO.BADF);
  assertEquals(guest.read(file), "text");
});

Deno.test("path_open() gives a file no path rights", () => {
  const guest = new FakeGuest();
  const fd = guest.open("file", { oflags: OFLAG.CREAT, rights: ALL_RIGHTS });
  const { rights, inheriting } = guest.fdstat(fd) as Fdstat;
  assertEquals((rights | inheriting) & RIGHT.PATH_FILESTAT_GET, 0);
});

Deno.test("path_open() truncates only with the right to", () => {
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

Deno.test("path_open() answers EMFILE at the cap and changes nothing", () => {
  const guest = new FakeGuest({ limits: { fsBytes: 1e6, fsInodes: 100, openFds: 5 } });
  guest.create("file", "text");
  assert(guest.open("file") > 0);
  assertEquals(guest.open("file", { oflags: OFLAG.TRUNC }), -ERRNO.MFILE);
  assertEquals(guest.open("new", { oflags: OFLAG.CREAT }), -ERRNO.MFILE);
  assertEquals((guest.stat("file") as Filestat).size, 4);
  assertEquals(guest.stat("new"), -ERRNO.NOENT);
});

Deno.test("path_open() takes names such as __proto__ as names", () => {
  const guest = new FakeGuest();
  for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    assertEquals(guest.open(name), -ERRNO.NOENT, name);
    guest.create(name, name);
    assertEquals(guest.readFile(name), name);
  }
});
