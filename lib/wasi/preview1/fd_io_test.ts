import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  FakeGuest,
  FakeHost,
  type Filestat,
  RESULT_POINTER,
  ROOT_FD,
} from "../../../tests/fixtures/fake_guest.ts";
import { ERRNO, FDFLAG, OFLAG, RIGHT } from "../abi.ts";
import { MAX_IOVECS } from "./guest_memory.ts";

function withFile(fdflags = 0): { guest: FakeGuest; fd: number } {
  const guest = new FakeGuest();
  return { guest, fd: guest.open("file", { oflags: OFLAG.CREAT, fdflags }) };
}

/** Lays out iovecs at address 0. */
function iovecs(guest: FakeGuest, list: [pointer: number, length: number][]): number {
  list.forEach(([pointer, length], i) => {
    guest.view.setUint32(i * 8, pointer, true);
    guest.view.setUint32(i * 8 + 4, length, true);
  });
  return list.length;
}

Deno.test("fd_write() and fd_read() advance the position", () => {
  const { guest, fd } = withFile();
  assertEquals(guest.write(fd, "hello"), 5);
  assertEquals(guest.read(fd), "");
  guest.call("fd_seek", fd, 1n, 0, RESULT_POINTER);
  assertEquals(guest.read(fd, 2), "el");
  assertEquals(guest.read(fd, 9), "lo");
});

Deno.test("fd_write() fills the gap with zeros when it starts past the end", () => {
  const { guest, fd } = withFile();
  guest.call("fd_seek", fd, 3n, 0, RESULT_POINTER);
  guest.write(fd, "x");
  assertEquals(guest.readFile("file"), "\0\0\0x");
});

Deno.test("fd_write() and fd_pwrite() append with FDFLAG.APPEND", () => {
  const { guest, fd } = withFile(FDFLAG.APPEND);
  guest.write(fd, "ab");
  guest.call("fd_seek", fd, 0n, 0, RESULT_POINTER);
  guest.write(fd, "cd");
  assertEquals(guest.readFile("file"), "abcd");
  assertEquals(guest.write(fd, "XY", 0n), 2);
  assertEquals(guest.readFile("file"), "abcdXY");
  assertEquals(guest.call("fd_fdstat_set_flags", fd, 0), 0);
  guest.call("fd_seek", fd, 0n, 0, RESULT_POINTER);
  guest.write(fd, "Z");
  guest.write(fd, "W", 1n);
  assertEquals(guest.readFile("file"), "ZWcdXY");
});

Deno.test("fd_pread() and fd_pwrite() keep the position", () => {
  const { guest, fd } = withFile();
  assertEquals(guest.write(fd, "\0\x01\x02\x03", 0n), 4);
  assertEquals(guest.read(fd, 4, 2n), "\x02\x03");
  assertEquals(guest.write(fd, "\x01\0", 2n), 2);
  assertEquals(guest.read(fd, 4), "\0\x01\x01\0");
  assertEquals(guest.read(fd, 4, -1n), -ERRNO.INVAL);
  assertEquals(guest.read(fd, 4, 2n ** 60n), -ERRNO.INVAL);
  assertEquals(guest.write(fd, "x", -1n), -ERRNO.INVAL);
  assertEquals(guest.read(fd, 4, 1n << 40n), "");
});

Deno.test("fd_read() and fd_write() use all their buffers", () => {
  const { guest, fd } = withFile();
  guest.bytes.set(new TextEncoder().encode("onetwothree"), 4096);
  const count = iovecs(guest, [[4096, 3], [5000, 0], [4099, 3], [4102, 5]]);
  assertEquals(guest.call("fd_write", fd, 0, count, RESULT_POINTER), 0);
  assertEquals(guest.result, 11);
  assertEquals(guest.readFile("file"), "onetwothree");
  iovecs(guest, [[4096, 4], [6000, 100]]);
  assertEquals(guest.call("fd_pread", fd, 0, 2, 0n, RESULT_POINTER), 0);
  assertEquals([guest.text(4096, 4), guest.text(6000, 7)], ["onet", "wothree"]);
});

Deno.test("fd_read() stops when the data overwrites its own iovec list", () => {
  const nonsense = "\x7f".repeat(64);
  const host = new FakeHost({ stdin: nonsense });
  const guest = new FakeGuest({ host });
  guest.create("file", nonsense);
  for (const fd of [guest.open("file"), 0]) {
    // The first buffer is the second entry of the list.
    iovecs(guest, [[8, 8], [4096, 8]]);
    assertEquals(guest.call("fd_read", fd, 0, 2, RESULT_POINTER), 0);
    assertEquals(guest.result, 8);
  }
});

Deno.test("fd_write() passes stream output to the host in order", () => {
  const guest = new FakeGuest();
  guest.bytes.set(new TextEncoder().encode("onetwothree"), 4096);
  const count = iovecs(guest, [[4096, 3], [0, 0], [4099, 3], [8192, 5000], [4102, 5]]);
  guest.bytes.fill(0x2e, 8192, 8192 + 5000);
  assertEquals(guest.call("fd_write", 1, 0, count, RESULT_POINTER), 0);
  assertEquals(guest.result, 5011);
  assertEquals(guest.host.output.stdout, `onetwo${".".repeat(5000)}three`);
  guest.write(2, "error");
  assertEquals(guest.host.output.stderr, "error");
});

Deno.test("fd_write() passes exceptions of the host through", () => {
  class Limit extends Error {}
  const guest = new FakeGuest();
  guest.host.write = () => {
    throw new Limit("Output limit reached");
  };
  assertThrows(() => guest.write(1, "x"), Limit);
});

Deno.test("fd_read() returns available standard input, then the end", () => {
  const guest = new FakeGuest({ host: new FakeHost({ stdin: "abcdef" }) });
  assertEquals(guest.read(0, 4), "abcd");
  iovecs(guest, [[4096, 1], [5000, 100]]);
  assertEquals(guest.call("fd_read", 0, 0, 2, RESULT_POINTER), 0);
  assertEquals(guest.result, 2);
  assertEquals(guest.text(4096, 1) + guest.text(5000, 1), "ef");
  assertEquals(guest.read(0), "");
});

Deno.test("fd_read() returns EAGAIN for standard input only when non-blocking", () => {
  const host = new FakeHost({ ended: false });
  const guest = new FakeGuest({ host });
  assertEquals(guest.call("fd_fdstat_set_flags", 0, FDFLAG.NONBLOCK), 0);
  assertEquals(guest.read(0), -ERRNO.AGAIN);
  host.ended = true;
  assertEquals(guest.read(0), "");
});

Deno.test("fd_read() and fd_write() return EBADF without the right", () => {
  const guest = new FakeGuest();
  guest.create("file", "text");
  const readable = guest.open("file", { rights: RIGHT.FD_READ });
  const writable = guest.open("file", { rights: RIGHT.FD_WRITE });
  for (const fd of [0, readable, ROOT_FD, 99, -31337]) {
    assertEquals(guest.write(fd, "x"), -ERRNO.BADF, `write ${fd}`);
  }
  for (const fd of [1, 2, writable, ROOT_FD, 99]) {
    assertEquals(guest.read(fd), -ERRNO.BADF, `read ${fd}`);
  }
  for (const fd of [writable, ROOT_FD]) assertEquals(guest.read(fd, 1, 0n), -ERRNO.BADF);
  assertEquals(guest.read(0, 1, 0n), -ERRNO.SPIPE);
  assertEquals(guest.write(1, "x", 0n), -ERRNO.SPIPE);
});

Deno.test("fd_read() returns data that another descriptor just wrote", () => {
  const { guest, fd } = withFile();
  const reader = guest.open("file", { rights: RIGHT.FD_READ });
  guest.write(fd, "x");
  assertEquals(guest.read(reader), "x");
});

Deno.test("fd_write() returns ENOSPC at the byte limit after a partial write", () => {
  const guest = new FakeGuest({ limits: { fsBytes: 4096, fsInodes: 10, openFds: 10 } });
  const fd = guest.open("file", { oflags: OFLAG.CREAT });
  assertEquals(guest.write(fd, "x".repeat(4096)), -ERRNO.NOSPC);
  assertEquals((guest.stat("file") as Filestat).size, 0);
  const count = iovecs(guest, [[8192, 1000], [8192, 4000]]);
  assertEquals(guest.call("fd_write", fd, 0, count, RESULT_POINTER), 0);
  assertEquals(guest.result, 1000);
  assertEquals(guest.write(fd, "x", 1n << 40n), -ERRNO.NOSPC);
  assert(guest.wasi.fsPeakBytes <= 4096);
});

Deno.test("fd_write() rejects iovec lists that are too long or too large", () => {
  const { guest, fd } = withFile();
  for (const count of [MAX_IOVECS + 1, -1, 2 ** 31]) {
    assertEquals(guest.call("fd_write", fd, 0, count, RESULT_POINTER), ERRNO.INVAL);
  }
  assertEquals(guest.call("fd_write", fd, 0, 0, RESULT_POINTER), 0);
  assertEquals(guest.result, 0);
});
