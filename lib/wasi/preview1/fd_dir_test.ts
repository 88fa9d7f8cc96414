import { assertEquals } from "@std/assert";
import { ERRNO, FILETYPE } from "./abi.ts";
import {
  BUFFER_POINTER,
  FakeGuest,
  type Filestat,
  RESULT_POINTER,
  ROOT_FD,
} from "../../../tests/fixtures/fake_guest.ts";

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

Deno.test("fd_readdir() starts with the directory and the one above", () => {
  const guest = new FakeGuest();
  guest.call("path_create_directory", ROOT_FD, "dir");
  const fd = guest.openDirectory("dir");
  const ino = (path: string) => (guest.stat(path) as Filestat).ino;
  assertEquals(guest.readdir(fd), [
    { next: 1n, ino: ino("dir"), type: FILETYPE.DIRECTORY, name: "." },
    { next: 2n, ino: ino("."), type: FILETYPE.DIRECTORY, name: ".." },
  ]);
});

Deno.test("fd_readdir() goes on from any cookie", () => {
  const guest = new FakeGuest();
  guest.create("file");
  const all = guest.readdir(ROOT_FD);
  assertEquals(all.map(({ name }) => name), [".", "..", "file"]);
  all.forEach(({ next }, i) => assertEquals(guest.readdir(ROOT_FD, next), all.slice(i + 1)));
  assertEquals(guest.readdir(ROOT_FD, 2n ** 64n - 1n), []);
  assertEquals(guest.readdir(ROOT_FD, -1n), []);
});

Deno.test("fd_readdir() shows each of many names once", () => {
  const guest = new FakeGuest({ limits: { fsBytes: 1 << 24, fsInodes: 2000, openFds: 10 } });
  const created = Array.from({ length: 1000 }, (_, i) => `file.${i}`);
  for (const name of created) guest.create(name);
  assertEquals(names(guest, ROOT_FD), [".", "..", ...created]);
});

Deno.test("fd_readdir() keeps its cursor while names come and go", () => {
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

Deno.test("fd_readdir() lists all when each name seen is removed at once", () => {
  const guest = new FakeGuest();
  const created = Array.from({ length: 200 }, (_, i) => `file.${i}`);
  for (const name of created) guest.create(name);
  const seen = names(guest, ROOT_FD, (so_far) => {
    for (const name of so_far) guest.call("path_unlink_file", ROOT_FD, name);
  });
  assertEquals(seen, [".", "..", ...created]);
});

Deno.test("fd_readdir() cuts the last entry to fill the buffer", () => {
  const guest = new FakeGuest();
  guest.create("file");
  for (const size of [0, 1, 24, 25, 30, 77]) {
    guest.readdir(ROOT_FD, 0n, size);
    assertEquals(guest.result, size);
  }
  guest.readdir(ROOT_FD, 0n, 80);
  assertEquals(guest.result, 25 + 26 + 28);
});

Deno.test("fd_readdir() needs an open directory", () => {
  const guest = new FakeGuest();
  guest.create("file");
  const args = [BUFFER_POINTER, 100, 0n, RESULT_POINTER] as const;
  assertEquals(guest.call("fd_readdir", guest.open("file"), ...args), ERRNO.NOTDIR);
  assertEquals(guest.call("fd_readdir", 99, ...args), ERRNO.BADF);
});

Deno.test("fd_prestat_get() and fd_prestat_dir_name() tell the preopens", () => {
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
  assertEquals(preopens, ["/", "fs-tests.dir", "/data/in"]);
  const opened = guest.openDirectory("data");
  for (const other of [0, 1, fd, opened, 99]) {
    assertEquals(guest.call("fd_prestat_get", other, RESULT_POINTER), ERRNO.BADF);
    assertEquals(guest.call("fd_prestat_dir_name", other, BUFFER_POINTER, 100), ERRNO.BADF);
  }
});
