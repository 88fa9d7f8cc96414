import { assert, assertEquals, assertNotEquals } from "@std/assert";
import {
  FakeGuest,
  FakeHost,
  type Fdstat,
  type Filestat,
  RESULT_POINTER,
  ROOT_FD,
} from "../../../tests/fixtures/fake_guest.ts";
import { ERRNO, OFLAG, RIGHT } from "../abi.ts";
import { FILETYPE } from "./inode.ts";

const DEVICES = ["null", "zero", "full", "random", "urandom", "stdin", "stdout", "stderr"];

Deno.test("/dev contains the devices, and the root lists neither /dev nor /tmp", () => {
  const guest = new FakeGuest();
  const dev = guest.openDirectory("dev");
  assertEquals(guest.readdir(dev, 2n).map(({ name }) => name), DEVICES);
  for (const name of DEVICES) {
    assertEquals((guest.stat(`dev/${name}`) as Filestat).type, FILETYPE.CHARACTER_DEVICE);
  }
  assertEquals((guest.stat("tmp") as Filestat).type, FILETYPE.DIRECTORY);
  assertEquals(guest.readdir(ROOT_FD, 2n), []);
});

Deno.test("/dev/null discards writes and is empty", () => {
  const guest = new FakeGuest();
  const fd = guest.open("dev/null", { oflags: OFLAG.CREAT | OFLAG.TRUNC });
  assertEquals(guest.write(fd, "text"), 4);
  assertEquals(guest.write(fd, "text", 10n), 4);
  assertEquals(guest.read(fd), "");
  assertEquals(guest.call("fd_seek", fd, 5n, 0, RESULT_POINTER), 0);
  assertEquals(guest.result64, 0n);
  assertEquals(guest.call("fd_tell", fd, RESULT_POINTER), 0);
  assertEquals(guest.call("fd_seek", fd, 5n, 3, RESULT_POINTER), ERRNO.INVAL);
  assertEquals(guest.call("fd_filestat_set_size", fd, 0n), ERRNO.INVAL);
  assertEquals(guest.call("fd_allocate", fd, 0n, 1n), ERRNO.NODEV);
  assertEquals(guest.call("fd_advise", fd, 0n, 1n, 0), 0);
  assertEquals(guest.call("fd_sync", fd), 0);
});

Deno.test("/dev/null is not a terminal: it can be positioned", () => {
  const guest = new FakeGuest();
  const { type, rights } = guest.fdstat(guest.open("dev/null")) as Fdstat;
  assertEquals(type, FILETYPE.CHARACTER_DEVICE);
  assertNotEquals(rights & (RIGHT.FD_SEEK | RIGHT.FD_TELL), 0);
});

Deno.test("/dev/zero and /dev/full read as zeros, and nothing can be written to /dev/full", () => {
  const guest = new FakeGuest();
  for (const name of ["zero", "full"]) {
    const fd = guest.open(`dev/${name}`);
    assertEquals(guest.read(fd, 3), "\0\0\0");
    assertEquals(guest.read(fd, 3, 100n), "\0\0\0");
  }
  assertEquals(guest.write(guest.open("dev/zero"), "text"), 4);
  assertEquals(guest.write(guest.open("dev/full"), "text"), -ERRNO.NOSPC);
  assertEquals(guest.write(guest.open("dev/full"), ""), 0);
});

Deno.test("/dev/random and /dev/urandom read as random bytes", () => {
  const guest = new FakeGuest();
  for (const name of ["random", "urandom"]) {
    const fd = guest.open(`dev/${name}`, { rights: RIGHT.FD_READ });
    assertNotEquals(guest.read(fd, 64), guest.read(fd, 64));
    assertEquals(guest.write(fd, "text"), -ERRNO.BADF);
  }
});

Deno.test("/dev/stdin, /dev/stdout and /dev/stderr open the standard streams", () => {
  const host = new FakeHost({ stdin: "input" });
  const guest = new FakeGuest({ host });
  const stdin = guest.open("dev/stdin", { rights: RIGHT.FD_READ });
  assertEquals(guest.read(stdin), "input");
  for (const name of ["stdout", "stderr"] as const) {
    const fd = guest.open(`dev/${name}`, { rights: RIGHT.FD_WRITE });
    assertEquals(guest.write(fd, "text"), 4);
    assertEquals(host.output[name], "text");
    assertEquals(guest.fdstat(fd), guest.fdstat(1));
    assertEquals(guest.call("fd_close", fd), 0);
  }
  const wrong = guest.open("dev/stdout", { rights: RIGHT.FD_READ });
  assertEquals(guest.read(wrong), -ERRNO.BADF);
  assertEquals(guest.write(wrong, "text"), -ERRNO.BADF);
});

Deno.test("/dev and its devices cannot be changed", () => {
  const guest = new FakeGuest();
  guest.create("file");
  guest.call("path_create_directory", ROOT_FD, "empty");
  assertEquals(guest.open("dev/null", { oflags: OFLAG.CREAT | OFLAG.EXCL }), -ERRNO.EXIST);
  assertEquals(guest.open("dev/null", { oflags: OFLAG.DIRECTORY }), -ERRNO.NOTDIR);
  assertEquals(guest.open("dev/new", { oflags: OFLAG.CREAT }), -ERRNO.PERM);
  assertEquals(guest.call("path_create_directory", ROOT_FD, "dev"), ERRNO.EXIST);
  assertEquals(guest.call("path_create_directory", ROOT_FD, "dev/new"), ERRNO.PERM);
  assertEquals(guest.call("path_symlink", "null", ROOT_FD, "dev/new"), ERRNO.PERM);
  assertEquals(guest.call("path_link", ROOT_FD, 0, "file", ROOT_FD, "dev/new"), ERRNO.PERM);
  assertEquals(guest.call("path_link", ROOT_FD, 0, "dev/null", ROOT_FD, "new"), ERRNO.PERM);
  assertEquals(guest.call("path_unlink_file", ROOT_FD, "dev/null"), ERRNO.PERM);
  for (const name of ["dev", "tmp"]) {
    assertEquals(guest.call("path_remove_directory", ROOT_FD, name), ERRNO.PERM);
    assertEquals(guest.call("path_rename", ROOT_FD, name, ROOT_FD, "new"), ERRNO.PERM);
    assertEquals(guest.call("path_rename", ROOT_FD, "empty", ROOT_FD, name), ERRNO.PERM);
  }
  assertEquals(guest.call("path_rename", ROOT_FD, "file", ROOT_FD, "dev/null"), ERRNO.PERM);
  assertEquals(guest.call("path_rename", ROOT_FD, "file", ROOT_FD, "dev/new"), ERRNO.PERM);
  assertEquals(guest.call("path_rename", ROOT_FD, "dev/null", ROOT_FD, "new"), ERRNO.PERM);
});

Deno.test("/tmp is a directory for files that count against the limits", () => {
  const guest = new FakeGuest();
  const before = guest.wasi.fsBytes;
  assertEquals((guest.stat("tmp") as Filestat).type, FILETYPE.DIRECTORY);
  assertEquals(guest.wasi.fsBytes, before);
  guest.create("tmp/a", "text");
  assert(guest.wasi.fsBytes > before);
  assertEquals(guest.call("path_rename", ROOT_FD, "tmp/a", ROOT_FD, "b"), 0);
  assertEquals(guest.readFile("b"), "text");
  assertEquals(guest.readdir(guest.openDirectory("tmp"), 2n), []);
});

Deno.test("createWasi() adds devices to an input directory /dev and keeps its entries", () => {
  const data = new TextEncoder().encode("mine");
  const guest = new FakeGuest({ inputs: [{ path: "/dev/null", data }, { path: "tmp/a", data }] });
  assertEquals(guest.readFile("dev/null"), "mine");
  assertEquals(guest.read(guest.open("dev/zero"), 1), "\0");
  assertEquals(guest.readdir(guest.openDirectory("dev"), 2n).map(({ name }) => name), ["null"]);
  assertEquals(guest.open("dev/new", { oflags: OFLAG.CREAT }) > 0, true);
  assertEquals(guest.readdir(ROOT_FD, 2n).map(({ name }) => name), ["dev", "tmp"]);
});

Deno.test("createWasi() replaces /dev and /tmp by input files of these names", () => {
  const data = new TextEncoder().encode("mine");
  const guest = new FakeGuest({ inputs: [{ path: "dev", data }, { path: "tmp", data }] });
  assertEquals(guest.readFile("dev"), "mine");
  assertEquals(guest.readFile("tmp"), "mine");
  assertEquals(guest.open("dev/null"), -ERRNO.NOTDIR);
});
