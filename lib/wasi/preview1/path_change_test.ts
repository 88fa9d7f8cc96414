import { assert, assertEquals } from "@std/assert";
import { ERRNO, FILETYPE, LOOKUP_SYMLINK_FOLLOW, OFLAG } from "./abi.ts";
import { FakeGuest, type Filestat, ROOT_FD } from "../../../tests/fixtures/fake_guest.ts";

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

Deno.test("path_create_directory() makes one directory", () => {
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

Deno.test("path_remove_directory() removes what is an empty directory", () => {
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

Deno.test("path_unlink_file() removes what is no directory", () => {
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

Deno.test("path_unlink_file() leaves an open file readable and its name free", () => {
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

Deno.test("path_remove_directory() leaves an open directory that nothing can be made in", () => {
  const guest = new FakeGuest();
  mkdir(guest, "dir");
  const fd = guest.openDirectory("dir");
  assertEquals(rmdir(guest, "dir"), 0);
  assertEquals(guest.open("x", { at: fd, oflags: OFLAG.CREAT }), -ERRNO.NOENT);
  assertEquals(guest.readdir(fd), []);
  assertEquals(mkdir(guest, "dir"), 0);
});

Deno.test("path_symlink() makes links and refuses places that cannot be", () => {
  const guest = new FakeGuest();
  mkdir(guest, "dir");
  guest.create("file");
  assertEquals(symlink(guest, "source", "target/"), ERRNO.NOENT);
  assertEquals(symlink(guest, "source", "target"), 0);
  assertEquals(symlink(guest, "source", "dir"), ERRNO.EXIST);
  assertEquals(symlink(guest, "source", "dir/"), ERRNO.EXIST);
  assertEquals(symlink(guest, "source", "file"), ERRNO.EXIST);
  assertEquals(symlink(guest, "", "empty"), ERRNO.NOENT);
  assertEquals(symlink(guest, "/", "root"), ERRNO.PERM);
});

Deno.test("path_link() gives one inode two names", () => {
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

Deno.test("path_link() links symbolic links, not what they name", () => {
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

Deno.test("path_link() refuses directories and taken names", () => {
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

Deno.test("path_rename() moves files over files", () => {
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

Deno.test("path_rename() moves no directory into itself and no dots", () => {
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

Deno.test("path_rename() sets what .. means", () => {
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
