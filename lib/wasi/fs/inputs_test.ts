import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { FakeGuest, type Filestat, ROOT_FD } from "../../../tests/fixtures/fake_guest.ts";
import type { FileInput } from "./inputs.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function refused(inputs: FileInput[], limits = {}): PlasmError {
  const all = { fsBytes: 1e6, fsInodes: 100, openFds: 10, ...limits };
  return assertThrows(() => new FakeGuest({ inputs, limits: all }), PlasmError);
}

Deno.test("createWasi() creates input files and their parent directories", () => {
  const guest = new FakeGuest({
    inputs: [
      { path: "/a/b/c.txt", data: bytes("C") },
      { path: "a/d", data: bytes("D") },
      { path: "empty" },
      { path: "a/" },
    ],
  });
  assertEquals(guest.readFile("a/b/c.txt"), "C");
  assertEquals(guest.readFile("a/d"), "D");
  assertEquals(guest.readFile("empty"), "");
  assertEquals(guest.readFile("d", ROOT_FD + 1), "D");
});

Deno.test("createWasi() uses the memory of inputs", () => {
  const data = bytes("before");
  const guest = new FakeGuest({ inputs: [{ path: "file", data }] });
  data.set(bytes("after!"));
  assertEquals(guest.readFile("file"), "after!");
});

Deno.test("createWasi() preopens the root once when it is also an input", () => {
  const guest = new FakeGuest({ inputs: [{ path: "/" }] });
  assertEquals(guest.call("fd_prestat_get", ROOT_FD, 0), 0);
  assertEquals(guest.call("fd_prestat_get", ROOT_FD + 1, 0), 8);
});

Deno.test("createWasi() preopens only input directories when preopenRoot is false", () => {
  const guest = new FakeGuest({ inputs: [{ path: "dir/" }], preopenRoot: false });
  assertEquals(guest.call("fd_prestat_get", 3, 0), 0);
  assertEquals(guest.view.getUint32(4, true), 3);
  assertEquals(new FakeGuest({ preopenRoot: false }).call("fd_prestat_get", 3, 0), 8);
});

Deno.test('createWasi() preopens the root as "." when "./" is an input', () => {
  const guest = new FakeGuest({ inputs: [{ path: "./" }, { path: "a", data: bytes("A") }] });
  assertEquals(guest.call("fd_prestat_get", ROOT_FD + 1, 0), 0);
  assertEquals(guest.view.getUint32(4, true), 1);
  assertEquals(guest.readFile("a", ROOT_FD + 1), "A");
  assertEquals(guest.readFile("a"), "A");
});

Deno.test("createWasi() sets the times of inputs, 0 by default", () => {
  const guest = new FakeGuest({
    inputs: [
      { path: "dir/", mtimeMs: 1 },
      { path: "dir/sub/file", data: bytes("x"), mtimeMs: 2.5e12 },
      { path: "dir/other/file" },
      { path: "dir/sub/", mtimeMs: 3, isPreopen: false },
    ],
  });
  const times = (path: string) => {
    const { atim, mtim, ctim } = guest.stat(path) as Filestat;
    assertEquals([atim, ctim], [mtim, mtim]);
    return mtim;
  };
  assertEquals(["dir", "dir/sub/file", "dir/other", "dir/other/file", "dir/sub"].map(times), [
    1_000_000n,
    2_500_000_000_000_000_000n,
    0n,
    0n,
    3_000_000n,
  ]);
  assertEquals(guest.call("fd_prestat_get", ROOT_FD + 1, 0), 0);
  assertEquals(guest.call("fd_prestat_get", ROOT_FD + 2, 0), 8);
  guest.create("dir/new");
  assertNotEquals((guest.stat("dir") as Filestat).mtim, 1_000_000n);
});

Deno.test("createWasi() rejects invalid input paths", () => {
  const paths = [
    "",
    "//",
    "a//b",
    "../a",
    "a/../b",
    "a/..",
    "./a",
    "a/.",
    "a\0b",
    "\ud800",
    "n".repeat(256),
    "é".repeat(128),
    "a/".repeat(2048) + "b",
    "//a",
  ];
  for (const path of paths) assertEquals(refused([{ path }]).code, "bad-input", path);
  assertEquals(
    refused([{ path: "a/../b" }]).message,
    'Cannot create input "a/../b": ".." is not allowed as a name',
  );
});

Deno.test("createWasi() rejects conflicting inputs", () => {
  const file = { path: "a", data: bytes("x") };
  assertEquals(refused([file, file]).code, "bad-input");
  assertEquals(refused([file, { path: "a/b", data: bytes("x") }]).code, "bad-input");
  assertEquals(refused([file, { path: "a/" }]).code, "bad-input");
  assertEquals(refused([{ path: "a/" }, file]).code, "bad-input");
  assertEquals(refused([{ path: "a/", data: bytes("x") }]).code, "bad-input");
});

Deno.test("createWasi() rejects inputs above the limits with figures", () => {
  const data = new Uint8Array(2000);
  const error = refused([{ path: "a", data }], { fsBytes: 2500 });
  assertEquals({ code: error.code, details: error.details }, {
    code: "over-limit",
    details: { fs_bytes: 2500, fs_inodes: 100 },
  });
  assertEquals(refused([{ path: "a/b/c" }], { fsInodes: 3 }).code, "over-limit");
});
