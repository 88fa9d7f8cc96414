import { assertEquals } from "@std/assert";
import { ERRNO, OFLAG, RIGHT, WHENCE } from "./abi.ts";
import {
  FakeGuest,
  type Filestat,
  RESULT_POINTER,
  ROOT_FD,
} from "../../../tests/fixtures/fake_guest.ts";

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

Deno.test("fd_seek() moves from the start, the position and the end", () => {
  const { guest, fd } = withFile("x".repeat(100));
  assertEquals(seek(guest, fd, 0n, WHENCE.CUR), 100n);
  assertEquals(seek(guest, fd, -50n, WHENCE.CUR), 50n);
  assertEquals(seek(guest, fd, -1n, WHENCE.END), 99n);
  assertEquals(seek(guest, fd, 1000n, WHENCE.SET), 1000n);
  assertEquals(seek(guest, fd, -2000n, WHENCE.CUR), -ERRNO.INVAL);
  assertEquals(guest.call("fd_tell", fd, RESULT_POINTER), 0);
  assertEquals(guest.result64, 1000n);
});

Deno.test("fd_seek() answers EINVAL instead of wrapping around", () => {
  const { guest, fd } = withFile();
  for (const delta of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n]) {
    assertEquals(seek(guest, fd, delta, WHENCE.SET), -ERRNO.INVAL, String(delta));
  }
  assertEquals(seek(guest, fd, 2n ** 53n - 1n, WHENCE.SET), 2n ** 53n - 1n);
  assertEquals(seek(guest, fd, 1n, WHENCE.CUR), -ERRNO.INVAL);
  for (const whence of [3, 255, -1]) assertEquals(seek(guest, fd, 0n, whence), -ERRNO.INVAL);
});

Deno.test("fd_seek() and fd_tell() need a file and the right", () => {
  const guest = new FakeGuest();
  guest.create("file");
  const fd = guest.open("file", { rights: RIGHT.FD_TELL });
  assertEquals(seek(guest, fd, 0n, WHENCE.CUR), 0n);
  assertEquals(seek(guest, fd, 1n, WHENCE.CUR), -ERRNO.NOTCAPABLE);
  for (const whence of [WHENCE.SET, WHENCE.CUR, WHENCE.END]) {
    assertEquals(seek(guest, ROOT_FD, 0n, whence), -ERRNO.BADF);
    assertEquals(seek(guest, 0, 0n, whence), -ERRNO.SPIPE);
    assertEquals(seek(guest, 99, 0n, whence), -ERRNO.BADF);
  }
  assertEquals(guest.call("fd_tell", ROOT_FD, RESULT_POINTER), ERRNO.BADF);
});

Deno.test("fd_allocate() extends and never cuts", () => {
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

Deno.test("fd_advise() checks and changes nothing", () => {
  const { guest, fd } = withFile("text");
  for (let advice = 0; advice <= 5; advice++) {
    assertEquals(guest.call("fd_advise", fd, 10n, 50n, advice), 0);
  }
  assertEquals(guest.call("fd_advise", fd, 0n, 0n, 6), ERRNO.INVAL);
  assertEquals(guest.call("fd_advise", fd, -1n, 0n, 0), ERRNO.INVAL);
  assertEquals(guest.call("fd_advise", ROOT_FD, 0n, 0n, 0), ERRNO.BADF);
  assertEquals(guest.readFile("file"), "text");
});

Deno.test("fd_sync() and fd_datasync() take any open descriptor", () => {
  const { guest, fd } = withFile();
  for (const name of ["fd_sync", "fd_datasync"]) {
    for (const open of [fd, 1, ROOT_FD]) assertEquals(guest.call(name, open), 0);
    assertEquals(guest.call(name, 99), ERRNO.BADF);
  }
});
