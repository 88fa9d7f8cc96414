/**
 * Runs tests and a program of Zig's standard library; skipped with a message unless PyPI's ziglang 0.15 is installed.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { plasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { outputOf } from "../fixtures/optional_program.ts";

/** Zig's standard library changes with each version. */
const VERSION = "0.15.";

/** Opens directories with other rights than it uses, as all of Zig's file functions do. */
const PROGRAM = `const std = @import("std");
pub fn main() !void {
    var dir = try std.fs.cwd().makeOpenPath("a/b", .{ .iterate = true });
    defer dir.close();
    try dir.writeFile(.{ .sub_path = "file", .data = "text" });
    const file = try dir.openFile("file", .{ .mode = .read_write });
    defer file.close();
    try file.setEndPos(2);
    try std.testing.expectEqual(2, (try file.stat()).size);
    try dir.makeDir("sub");
    try dir.rename("file", "sub/moved");
    var names: usize = 0;
    var entries = dir.iterate();
    while (try entries.next()) |_| names += 1;
    try std.testing.expectEqual(1, names);
    var buffer: [8]u8 = undefined;
    const text = try dir.readFile("sub/moved", &buffer);
    try std.fs.File.stdout().writeAll(text);
    try std.fs.cwd().deleteTree("a");
    try std.testing.expectError(error.FileNotFound, std.fs.cwd().access("a", .{}));
}
`;

const ZIG = ["-m", "ziglang"];

async function zigVersion(): Promise<string> {
  const found = await outputOf(
    new Deno.Command("python3", { args: [...ZIG, "version"], stderr: "null" }),
  );
  return new TextDecoder().decode(found?.stdout);
}

async function hasZig(): Promise<boolean> {
  const version = await zigVersion();
  if (version.startsWith(VERSION)) return true;
  console.warn(`SKIPPED: ziglang ${VERSION}x of PyPI is not installed`);
  return false;
}

/** Runs Zig in a directory, which has its caches too. */
async function zig(dir: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("python3", {
    args: [...ZIG, ...args],
    cwd: dir,
    env: { ZIG_GLOBAL_CACHE_DIR: `${dir}/global`, ZIG_LOCAL_CACHE_DIR: `${dir}/local` },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

const TARGET = ["-target", "wasm32-wasi"];

Deno.test("plasm exec runs a program of Zig's standard library", async () => {
  if (!await hasZig()) return;
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.writeTextFile(`${dir}/program.zig`, PROGRAM);
  await zig(dir, ["build-exe", ...TARGET, "-O", "ReleaseSafe", "program.zig"]);
  const run = await plasm(["exec", `${dir}/program.wasm`]);
  assertEquals({ code: run.code, stdout: run.stdout }, { code: 0, stdout: "te" }, run.stderr);
});

/** Parts of the library whose tests use the system. PyPI's package lacks some tests, those of directories among them. */
const PARTS = ["fs", "Io", "os", "posix", "process", "time", "heap", "fmt", "Random", "Thread"];

/** Fewest tests that must pass: 333 do with Zig 0.15.2. */
const FLOOR = 320;

Deno.test("plasm exec runs the tests of Zig's standard library", async () => {
  if (!await hasZig()) return;
  await using temp = await tempDir();
  const dir = temp.path;
  const lib = /lib_dir\W+"([^"]+)"/.exec(await zig(dir, ["env"]))?.[1];
  assert(lib !== undefined);
  await zig(dir, [
    ...["test", `${lib}/std/std.zig`, "--zig-lib-dir", lib, ...TARGET, "--test-no-exec"],
    ...["-femit-bin=std.wasm", ...PARTS.flatMap((part) => ["--test-filter", `${part}.`])],
  ]);
  await Deno.mkdir(`${dir}/root`);
  const limits = ["--memory-mb", "1024", "--timeout", "300"];
  const { code, stderr } = await plasm([
    ...["exec", ...limits, "--input", `${dir}/root:/`, `${dir}/std.wasm`],
  ]);
  const [, passed = "0", skipped, failed] =
    /^(\d+) passed; (\d+) skipped; (\d+) failed\.$/m.exec(stderr) ?? [];
  console.log(`Zig's std: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  assertEquals({ code, failed }, { code: 0, failed: "0" }, stderr);
  assert(Number(passed) >= FLOOR, `${passed} tests passed, at least ${FLOOR} must`);
});
