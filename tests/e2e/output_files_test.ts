import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fileGuest, type FileStep } from "../fixtures/file_guest.ts";
import { plasm, type PlasmResult } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { succeeds } from "../fixtures/optional_program.ts";

const STEPS: FileStep[] = [
  { mkdir: "out" },
  { mkdir: "out/empty" },
  { mkdir: "out/sub" },
  { write: "out/a.txt", text: "first" },
  { write: "out/sub/b.txt", text: "second" },
  { write: "c.txt", text: "third" },
];

/** A working directory with a module. */
class Workplace implements AsyncDisposable {
  readonly path: string;
  readonly #temp: AsyncDisposable;

  private constructor(temp: { path: string } & AsyncDisposable) {
    this.path = temp.path;
    this.#temp = temp;
  }

  static async create(steps: readonly FileStep[]): Promise<Workplace> {
    const place = new Workplace(await tempDir());
    await Deno.writeFile(`${place.path}/m.wasm`, await fileGuest(steps));
    return place;
  }

  exec(...args: string[]): Promise<PlasmResult> {
    const env = { PLASM_STATE_DIR: `${this.path}/state` };
    return plasm(["exec", ...args, "m.wasm"], { cwd: this.path, env });
  }

  read(path: string): Promise<string> {
    return Deno.readTextFile(`${this.path}/${path}`);
  }

  /** Names in a directory, without those of the fixture. */
  names(path = "."): string[] {
    return [...Deno.readDirSync(`${this.path}/${path}`)].map(({ name }) => name)
      .filter((name) => name !== "m.wasm" && name !== "state").sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#temp[Symbol.asyncDispose]();
  }
}

Deno.test("plasm exec --output returns files and directories under the names given", async () => {
  await using place = await Workplace.create(STEPS);
  const { code, stdout, stderr } = await place.exec(
    "--output",
    "out/",
    "--output",
    "/c.txt:results.txt",
    "--output",
    "out/a.txt:-",
  );
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: "first", stderr: "" });
  assertEquals(place.names(), ["out", "results.txt"]);
  assertEquals(place.names("out"), ["a.txt", "empty", "sub"]);
  assertEquals(await place.read("out/sub/b.txt"), "second");
  assertEquals(await place.read("results.txt"), "third");
});

Deno.test("plasm exec --output refuses targets that exist before the job runs, without --force", async () => {
  await using place = await Workplace.create([{ print: "ran" }, ...STEPS]);
  await Deno.mkdir(`${place.path}/out`);
  await Deno.writeTextFile(`${place.path}/out/mine`, "mine");
  await Deno.writeTextFile(`${place.path}/c.txt`, "mine");
  for (const output of ["out/", "c.txt", "c.txt:out", "c.txt:missing/", "c.txt:/dev/null", "./"]) {
    const { code, stdout } = await place.exec("--output", output);
    assertEquals([code, stdout], [2, ""], output);
  }
  assertEquals(await place.read("c.txt"), "mine");
  const forced = await place.exec("--force", "--output", "out/", "--output", "c.txt");
  assertEquals(forced.code, 0, forced.stderr);
  assertEquals(place.names("out"), ["a.txt", "empty", "mine", "sub"]);
  assertEquals(await place.read("c.txt"), "third");
});

Deno.test("plasm exec --output writes through no link and over no device on this machine", async () => {
  await using place = await Workplace.create(STEPS);
  await Deno.mkdir(`${place.path}/out`);
  await Deno.mkdir(`${place.path}/elsewhere`);
  await Deno.symlink("../elsewhere", `${place.path}/out/sub`);
  const through = await place.exec("--force", "--output", "out/");
  assertEquals(through.code, 65);
  assertStringIncludes(through.stderr, "a symbolic link is in the way: out/sub");
  await Deno.remove(`${place.path}/out/sub`);
  await Deno.symlink("../elsewhere/victim", `${place.path}/out/a.txt`);
  const over = await place.exec("--force", "--output", "out/");
  assertEquals(over.code, 65);
  assertStringIncludes(over.stderr, "a symbolic link is in the way: out/a.txt");
  assertEquals([place.names("out"), place.names("elsewhere")], [["a.txt"], []]);
  await Deno.symlink("absent", `${place.path}/nowhere`);
  const nowhere = await place.exec("--output", "out/:nowhere");
  assertEquals(nowhere.code, 2);
  assertStringIncludes(nowhere.stderr, "it is a symbolic link to nothing: nowhere");
  const orphan = await place.exec("--output", "c.txt:absent/c.txt");
  assertEquals(orphan.code, 2);
  assertStringIncludes(orphan.stderr, "mkdir -p absent");
  // A link that the user names is replaced; what it leads to is not written.
  await Deno.symlink("elsewhere/victim", `${place.path}/link`);
  assertEquals((await place.exec("--force", "--output", "c.txt:link")).code, 0);
  assertEquals((await Deno.lstat(`${place.path}/link`)).isFile, true);
  assertEquals(place.names("elsewhere"), []);
});

Deno.test("plasm exec exits with 66 if an output is missing and the job succeeded, and writes the others", async () => {
  await using place = await Workplace.create(STEPS);
  const { code, stderr } = await place.exec("--output", "absent", "--output", "c.txt");
  assertEquals({ code, stderr }, {
    code: 66,
    stderr: "plasm: Output not found in the job's files: absent\n",
  });
  assertEquals(place.names(), ["c.txt"]);
  const directory = await place.exec("--output", "out");
  assertEquals(directory.code, 66);
  assertStringIncludes(
    directory.stderr,
    "slash at the end of a directory is missing: --output out/",
  );
  await using failing = await Workplace.create([...STEPS, { exit: 3 }]);
  assertEquals((await failing.exec("--output", "absent", "--output", "c.txt")).code, 3);
  assertEquals(await failing.read("c.txt"), "third");
});

Deno.test("plasm exec --json lists outputs, missing outputs and what the job left behind", async () => {
  await using place = await Workplace.create(STEPS);
  const { code, stdout } = await place.exec("--json", "--output", "c.txt", "--output", "absent");
  assertEquals(code, 66);
  const document = JSON.parse(stdout);
  assertEquals(Object.keys(document.outputs), ["c.txt"]);
  assertEquals(document.outputs, document.receipt.claim.outputs);
  assertEquals(document.missing_outputs, ["absent"]);
  assertEquals(document.left_behind, [{ path: "out/", bytes: 11, kind: "directory" }]);
});

Deno.test("plasm exec delivers nothing if the outputs exceed their limit", async () => {
  await using place = await Workplace.create(STEPS);
  await Deno.writeTextFile(
    `${place.path}/m.json`,
    JSON.stringify({
      resources: { output_files_bytes: 10, cpu_cores: 1, memory_mb: 64, timeout_seconds: 60 },
    }),
  );
  const { code, stderr } = await place.exec("--manifest", "m.json", "--output", "out/");
  assertEquals(code, 137);
  assertStringIncludes(stderr, "11 bytes in 3 files, limit 10 bytes");
  assertEquals(place.names(), ["m.json"]);
});

Deno.test("plasm exec applies the larger limits on files of the user's configuration", async () => {
  await using place = await Workplace.create(STEPS);
  const bytes = 2 ** 31;
  await Deno.writeTextFile(
    `${place.path}/m.json`,
    JSON.stringify({ resources: { output_files_bytes: bytes } }),
  );
  const args = ["--manifest", "m.json", "--output", "c.txt"];
  const refused = await place.exec(...args);
  assertEquals(refused.code, 77);
  assertStringIncludes(refused.stderr, "jobs.ceilings.output_files_bytes");
  const { code, stderr } = await plasm(["exec", ...args, "m.wasm"], {
    cwd: place.path,
    env: { PLASM_JOBS_CEILINGS_OUTPUT_FILES_BYTES: String(bytes) },
  });
  assertEquals(code, 0, stderr);
});

Deno.test("plasm exec returns the outputs that only the manifest names", async () => {
  await using place = await Workplace.create(STEPS);
  await Deno.writeTextFile(`${place.path}/m.json`, JSON.stringify({ outputs: ["/c.txt", "out/"] }));
  const { code, stderr } = await place.exec("--manifest", "m.json", "--output", "out/:renamed");
  assertEquals(code, 0, stderr);
  assertEquals(place.names(), ["c.txt", "m.json", "renamed"]);
});

Deno.test("plasm exec --dir returns what the job changed, and nothing else", async () => {
  await using place = await Workplace.create([
    { write: "data/a", text: "changed" },
    { write: "data/sub/new", text: "new" },
    { remove: "data/removed" },
    { write: "outside", text: "x" },
  ]);
  await Deno.mkdir(`${place.path}/data/sub/empty`, { recursive: true });
  const old = new Date("2020-01-02T03:04:05Z");
  for (const name of ["a", "same", "removed"]) {
    await Deno.writeTextFile(`${place.path}/data/${name}`, name);
    await Deno.utime(`${place.path}/data/${name}`, old, old);
  }
  const { code, stderr } = await place.exec("--dir", "data");
  assertEquals(code, 0, stderr);
  assertEquals(place.names(), ["data"]);
  assertEquals(place.names("data"), ["a", "removed", "same", "sub"]);
  assertEquals(place.names("data/sub"), ["empty", "new"]);
  assertEquals(await place.read("data/a"), "changed");
  assertEquals((await Deno.stat(`${place.path}/data/same`)).mtime, old);
  assert((await Deno.stat(`${place.path}/data/a`)).mtime! > old);
});

Deno.test("plasm exec --dir . lets a program change files of the working directory", async () => {
  await using place = await Workplace.create([{ write: "file", text: "after" }]);
  await Deno.writeTextFile(`${place.path}/file`, "before");
  const { code, stderr } = await place.exec("--dir", ".");
  assertEquals(code, 0, stderr);
  assertEquals(await place.read("file"), "after");
});

Deno.test("plasm exec --output refuses what is no output", async () => {
  await using place = await Workplace.create(STEPS);
  for (const output of ["", ":x", "c.txt:", "out/:-", "/", "a\nb/../c"]) {
    const { code } = await place.exec("--output", output);
    assert(code === 2 || code === 65, `${output}: ${code}`);
  }
  assertEquals((await place.exec("--json", "--output", "c.txt:-")).code, 2);
  assertEquals((await place.exec("--output", "c.txt:x", "--output", "out/a.txt:x")).code, 2);
  assertEquals((await place.exec("--dir", "../up")).code, 2);
  assertEquals((await place.exec("--dir", "m.wasm")).code, 65);
  assertEquals(place.names(), []);
});

Deno.test("plasm exec --output leaves nothing behind and replaces nothing when the disk is full", async () => {
  await using place = await Workplace.create([
    { mkdir: "out" },
    { mkdir: "small" },
    { write: "out/big", text: "0123456789abcdef".repeat(1024), count: 64 },
    { write: "out/first", text: "first" },
    { write: "medium", text: "0123456789abcdef".repeat(2048) },
    { many: "small/", count: 50 },
  ]);
  const disk = `${place.path}/disk`;
  await Deno.mkdir(disk);
  // "mine" takes a page, so that a file of 32 KiB does not fit.
  const options = "size=32k,nr_inodes=30";
  const mount = await succeeds(
    new Deno.Command("mount", {
      args: ["-t", "tmpfs", "-o", options, "tmpfs", disk],
      stderr: "null",
    }),
  );
  if (!mount) {
    console.warn("SKIPPED: no file system of a given size can be mounted");
    return;
  }
  try {
    await Deno.writeTextFile(`${disk}/mine`, "mine");
    for (
      const outputs of [
        // Larger than what stays in memory until it is verified.
        ["out/:disk/out"],
        ["out/big:disk/mine"],
        // Written once it has been verified.
        ["medium:disk/mine"],
        // No inode is free.
        ["small/:disk/small"],
        // The other directory has space, and is not written.
        ["out/first:first", "small/:disk/small"],
      ]
    ) {
      const args = outputs.flatMap((output) => ["--output", output]);
      const { code, stderr } = await place.exec("--force", ...args);
      assertEquals(code, 73, `${outputs}: ${stderr}`);
      assertStringIncludes(stderr, "No space left on device");
      assertStringIncludes(stderr, "hint: Free space on the disk");
      assertEquals(place.names("disk"), ["mine"]);
      assertEquals(await place.read("disk/mine"), "mine");
      assertEquals(place.names(), ["disk"]);
    }
    assertEquals((await place.exec("--force", "--output", "out/first:disk/mine")).code, 0);
    assertEquals(await place.read("disk/mine"), "first");
  } finally {
    await new Deno.Command("umount", { args: [disk] }).output();
  }
});
