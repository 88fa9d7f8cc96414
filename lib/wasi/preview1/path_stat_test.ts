import { assertEquals } from "@std/assert";
import { ERRNO, FILETYPE, FSTFLAG, LOOKUP_SYMLINK_FOLLOW } from "./abi.ts";
import {
  BUFFER_POINTER,
  FakeGuest,
  type Filestat,
  RESULT_POINTER,
  ROOT_FD,
} from "../../../tests/fixtures/fake_guest.ts";

const NOW_MS = 1_700_000_000_000.123;
const NOW_NS = 1_700_000_000_000_100_000n;

function guestAt(realtimeMs = NOW_MS): FakeGuest {
  return new FakeGuest({ now: { realtimeMs: () => realtimeMs, monotonicMs: () => 0 } });
}

Deno.test("path_filestat_get() tells type, size, links and times", () => {
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

Deno.test("path_filestat_get() tells times exactly whatever the clock says", () => {
  for (const ms of [0, 0.1, 1, 4_294_967.295, 1_679_999_999_999.9, 4_102_444_800_000, 9e12]) {
    const guest = guestAt(ms);
    guest.create("file");
    const ticks = BigInt(Math.floor(ms * 10));
    assertEquals((guest.stat("file") as Filestat).mtim, ticks * 100_000n, `${ms} ms`);
  }
});

Deno.test("path_filestat_get() follows a last symbolic link only when asked or before a slash", () => {
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

Deno.test("path_filestat_set_times() sets each time exactly, or now", () => {
  const guest = guestAt();
  guest.create("file");
  const set = (atim: bigint, mtim: bigint, flags: number) =>
    guest.call("path_filestat_set_times", ROOT_FD, 0, "file", atim, mtim, flags);
  assertEquals(set(5n, NOW_NS - 101n, FSTFLAG.MTIM), 0);
  let stat = guest.stat("file") as Filestat;
  assertEquals([stat.atim, stat.mtim], [NOW_NS, NOW_NS - 101n]);
  assertEquals(set(5n, 6n, FSTFLAG.ATIM | FSTFLAG.MTIM_NOW), 0);
  stat = guest.stat("file") as Filestat;
  assertEquals([stat.atim, stat.mtim], [5n, NOW_NS]);
  assertEquals(set(-1n, 0n, FSTFLAG.ATIM), 0);
  assertEquals((guest.stat("file") as Filestat).atim, 2n ** 64n - 1n);
});

Deno.test("path_filestat_set_times() refuses flags that contradict and changes nothing", () => {
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

Deno.test("path_filestat_set_times() sets a link's own times unless it follows", () => {
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

Deno.test("path_readlink() fills what fits and leaves the rest", () => {
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
