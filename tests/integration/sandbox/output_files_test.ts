import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { runJob, type RunJobOptions, streamJob } from "../../../lib/sandbox/run_job.ts";
import { PlasmError } from "../../../lib/core/errors/mod.ts";
import { fileGuest, type FileStep } from "../../fixtures/file_guest.ts";

async function run(
  steps: readonly FileStep[],
  options: RunJobOptions & { outputs?: string[] } = {},
): Promise<Awaited<ReturnType<typeof runJob>> & { texts: Record<string, string> }> {
  const result = await runJob(await fileGuest(steps), options);
  const texts = Object.fromEntries(
    [...result.outputs].map(([path, data]) => [path, new TextDecoder().decode(data)]),
  );
  return { ...result, texts };
}

const FILES: FileStep[] = [
  { mkdir: "out" },
  { mkdir: "out/empty" },
  { write: "out/b.txt", text: "second" },
  { write: "out/a.txt", text: "first" },
  { write: "other.txt", text: "12345" },
];

Deno.test("runJob() returns declared files and directories, and reports what was left behind", async () => {
  const { outcome, texts } = await run(FILES, { outputs: ["out/"] });
  assertEquals(outcome.exitCode, 0);
  assertEquals(texts, { "out/a.txt": "first", "out/b.txt": "second", "out/empty/": "" });
  assertEquals(outcome.leftBehind, {
    entries: [{ path: "other.txt", bytes: 5, kind: "file" }],
    more: 0,
  });
});

Deno.test("runJob() returns files by absolute paths, from the root, and from /tmp", async () => {
  const steps: FileStep[] = [...FILES, { write: "tmp/scratch", text: "t" }];
  assertEquals((await run(steps, { outputs: ["/out/a.txt", "tmp/scratch"] })).texts, {
    "/out/a.txt": "first",
    "tmp/scratch": "t",
  });
  const root = await run(steps, { outputs: ["./"] });
  assertEquals(Object.keys(root.texts), ["other.txt", "out/a.txt", "out/b.txt", "out/empty/"]);
  assertEquals(root.outcome.leftBehind, undefined);
  assertEquals(Object.keys((await run(FILES, { outputs: ["/"] })).texts), [
    "/other.txt",
    "/out/a.txt",
    "/out/b.txt",
    "/out/empty/",
  ]);
  assertEquals((await run([], { outputs: ["./"] })).texts, { "./": "" });
});

Deno.test("runJob() returns nothing for an output that is missing, of another kind, or behind a link", async () => {
  const steps: FileStep[] = [
    { mkdir: "dir" },
    { write: "dir/file", text: "x" },
    { symlink: "link", target: "dir" },
    { symlink: "file-link", target: "dir/file" },
  ];
  const outputs = ["missing", "dir", "dir/file/", "link/", "link/file", "file-link", "../dir/file"]
    .slice(0, 6);
  const { texts, outcome } = await run(steps, { outputs });
  assertEquals(texts, {});
  assertEquals(outcome.exitCode, 0);
});

Deno.test("runJob() neither follows nor returns links, and reports them", async () => {
  const { texts, outcome } = await run([
    { mkdir: "out" },
    { mkdir: "out/sub" },
    { symlink: "out/sub/loop", target: ".." },
    { symlink: "out/dangling", target: "nowhere" },
    { write: "out/file", text: "x" },
    { link: "out/hard", from: "out/file" },
  ], { outputs: ["out/"] });
  assertEquals(texts, { "out/file": "x", "out/hard": "x" });
  assertEquals(outcome.leftBehind?.entries.map(({ path, kind }) => [path, kind]).sort(), [
    ["out/dangling", "link"],
    ["out/sub/loop", "link"],
  ]);
});

Deno.test("runJob() reports changed inputs as left behind, and unchanged ones not", async () => {
  const inputs = {
    "a.txt": new Uint8Array(3),
    "b.txt": new Uint8Array(3),
    "sub/": new Uint8Array(),
  };
  const { outcome } = await run(
    [{ write: "b.txt", text: "longer" }, { write: "sub/new", text: "1234" }],
    { inputs },
  );
  assertEquals(outcome.leftBehind?.entries, [
    { path: "b.txt", bytes: 6, kind: "file" },
    { path: "sub/", bytes: 4, kind: "directory" },
  ]);
  assertEquals((await run([], { inputs })).outcome.leftBehind, undefined);
});

Deno.test("runJob() limits the list of what was left behind", async () => {
  const { outcome } = await run([{ many: "file", count: 1000 }]);
  assertEquals(outcome.leftBehind?.entries.length, 32);
  assertEquals(outcome.leftBehind?.more, 968);
});

Deno.test("runJob() returns the files of jobs that trap, exit with a code or exceed their output", async () => {
  const outputs = ["out/"];
  const trapped = await run([...FILES, "trap"], { outputs });
  assertEquals(trapped.outcome.status, "trapped");
  assertEquals(trapped.texts["out/a.txt"], "first");
  const failed = await run([...FILES, { exit: 3 }], { outputs });
  assertEquals([failed.outcome.exitCode, failed.texts["out/a.txt"]], [3, "first"]);
  const loud = await run([...FILES, { print: "xxxx" }], {
    outputs,
    resources: { output_bytes: 1 },
  });
  assertEquals([loud.outcome.status, loud.texts["out/a.txt"]], ["output", "first"]);
});

Deno.test("runJob() returns the files of a job that is stopped at its time limit in a call", async () => {
  for (const step of ["yield", "sleep", "read"] as const) {
    // Standard input without data and without an end.
    const stdin = new ReadableStream<Uint8Array>({});
    const { outcome, texts } = await run([...FILES, step], {
      outputs: ["out/"],
      resources: { timeout_seconds: 1 },
      stdin,
    });
    assertEquals(outcome.status, "timeout", step);
    assertMatch(outcome.message!, /longer than its 1000 ms of wall time$/);
    assertEquals(texts["out/b.txt"], "second", step);
  }
});

Deno.test("runJob() returns the files of a job that computes without a call at its time limit", async () => {
  const encode = (text: string) => new TextEncoder().encode(text);
  const { outcome, texts, outputs } = await run([
    ...FILES,
    { write: "out/large", text: "0123456789abcdef".repeat(1024), count: 200 },
    { write: "in/changed", text: "new" },
    { remove: "in/removed" },
    { many: "out/file", count: 500 },
    "spin",
  ], {
    outputs: ["out/", "in/"],
    inputs: {
      "in/same": encode("same"),
      "in/changed": encode("old content"),
      "in/removed": encode("x"),
      "in/large": new Uint8Array(100_000).fill(7),
    },
    resources: { timeout_seconds: 1 },
  });
  assertEquals(outcome.status, "timeout");
  assertMatch(outcome.message!, /longer than its 1000 ms of wall time$/);
  assertEquals([texts["out/b.txt"], texts["out/empty/"], texts["out/file00499"]], [
    "second",
    "",
    "x",
  ]);
  assertEquals([texts["in/same"], texts["in/changed"]], ["same", "new"]);
  assertEquals(texts["out/large"], "0123456789abcdef".repeat(1024 * 200));
  assertEquals(outputs.get("in/large"), new Uint8Array(100_000).fill(7));
  assertEquals([outputs.size, "in/removed" in texts], [507, false]);
  assertEquals(outcome.leftBehind, {
    entries: [{ path: "other.txt", bytes: 5, kind: "file" }],
    more: 0,
  });
});

Deno.test("runJob() reports the files of a job that computes as lost if they exceed the limit", async () => {
  const { outcome, texts } = await run([...FILES, "spin"], {
    outputs: ["out/"],
    resources: { timeout_seconds: 1, output_files_bytes: 10 },
  });
  assertEquals([outcome.status, texts], ["timeout", {}]);
  assertMatch(outcome.message!, /output files are lost: 11 bytes in 3 files, limit 10 bytes$/);
});

Deno.test("runJob() returns the files of a job that computes without end and runs out of fuel", async () => {
  const { outcome, texts } = await run([...FILES, "spin"], {
    outputs: ["out/"],
    resources: { fuel: 100_000 },
  });
  assertEquals(outcome.status, "fuel");
  assertEquals(texts["out/a.txt"], "first");
});

Deno.test("runJob() returns no file if they exceed the limit together", async () => {
  const { outcome, texts, receipt } = await run(FILES, {
    outputs: ["out/"],
    resources: { output_files_bytes: 10 },
  });
  assertEquals(outcome.status, "output");
  assertEquals(outcome.exitCode, null);
  assertEquals(
    outcome.message,
    "Job cannot return its output files: 11 bytes in 3 files, limit 10 bytes",
  );
  assertEquals([texts, receipt], [{}, undefined]);
  const exact = await run(FILES, { outputs: ["out/"], resources: { output_files_bytes: 11 } });
  assertEquals(exact.outcome.status, "exited");
});

Deno.test("runJob() names the setting if a job fails whose file system was full", async () => {
  const steps: FileStep[] = [{ write: "out", text: "x".repeat(1000), count: 100 }];
  const options = { outputs: ["out"], ceilings: { fs_bytes: 50_000 } };
  const { outcome } = await run(steps, options);
  // 100 and the errno of a full disk.
  assertEquals([outcome.status, outcome.exitCode], ["exited", 151]);
  assertMatch(outcome.message!, /file system was full, jobs\.ceilings allows fs_bytes 50000 and/);
  assertEquals((await run(steps, { outputs: ["out"] })).outcome.message, undefined);
});

Deno.test("runJob() refuses names that no claim can hold, and paths that are too long", async () => {
  const reserved = await run([{ write: "stdout", text: "x" }], { outputs: ["./"] });
  assertEquals(reserved.outcome.status, "output");
  assertMatch(reserved.outcome.message!, /reserved name/);
  const absolute = await run([{ write: "stdout", text: "x" }], { outputs: ["/"] });
  assertEquals(absolute.texts, { "/stdout": "x" });
  const deep: FileStep[] = [];
  // 300 levels, and one with names as long as the file system allows.
  let path = "d";
  for (let level = 0; level < 300; level++) {
    deep.push({ mkdir: path });
    path += "/d";
  }
  deep.push({ write: path, text: "leaf" });
  assertEquals((await run(deep, { outputs: ["d/"] })).texts, { [path]: "leaf" });
  const name = "n".repeat(255);
  const long = [
    name,
    `${name}/${name}`,
    `${name}/${name}/${name}`,
    `${name}/${name}/${name}/${name}`,
  ];
  const tooLong = await run([
    ...long.map((mkdir) => ({ mkdir })),
    { write: `${long[3]}/leaf`, text: "x" },
  ], { outputs: [`${name}/`] });
  assertEquals(tooLong.outcome.status, "output");
  assertMatch(tooLong.outcome.message!, /a path has more than 1024 characters/);
});

Deno.test("runJob() returns more content than any buffer between guest and caller holds", async () => {
  const text = "0123456789abcdef".repeat(4096);
  const { outputs } = await run([{ write: "big", text, count: 512 }], { outputs: ["big"] });
  const big = outputs.get("big")!;
  assertEquals(big.length, 512 * text.length);
  const piece = new TextEncoder().encode(text);
  for (let at = 0; at < big.length; at += piece.length) {
    const same = big.subarray(at, at + piece.length).every((byte, i) => byte === piece[i]);
    assert(same, `at ${at}`);
  }
});

Deno.test("streamJob() blocks the collection while its files are not read", async () => {
  const module = await fileGuest([{ write: "big", text: "x".repeat(65_536), count: 160 }]);
  const kinds = new Set<string>();
  let bytes = 0;
  for await (const event of streamJob(module, { outputs: ["big"] })) {
    if (event.type === "files") bytes += event.data.length;
    kinds.add(event.type);
  }
  assertEquals([...kinds], ["started", "files", "finished"]);
  assertEquals(bytes, 512 + 160 * 65_536 + 1024);
});

Deno.test("runJob() refuses outputs that leave the root or are no path", async () => {
  for (const path of ["../a", "a/../b", "a\0b", "", "a//b", "x".repeat(2000), "stdout", "./a"]) {
    const error = await assertRejects(() => run([], { outputs: [path] }), PlasmError);
    assertEquals(error.code, "bad-manifest", path);
  }
});
