import { assertEquals, assertRejects } from "@std/assert";
import { concat, encodeTarHeader, memberPadding, tarEnd } from "../../util/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { tempDir } from "../../../tests/fixtures/temp_dir.ts";
import { OutputStaging } from "./output_staging.ts";
import type { OutputTarget } from "./output_target.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function archive(files: Record<string, string>): Uint8Array {
  const parts = Object.entries(files).flatMap(([path, content]) => {
    const data = encode(content);
    return [encodeTarHeader({ path, bytes: data.length }), data, memberPadding(data.length)];
  });
  return concat([...parts, tarEnd()]);
}

const write = (): Promise<void> => Promise.resolve();

function target(guest: string, host: string, options: Partial<OutputTarget> = {}): OutputTarget {
  return { guest, host, force: false, isShared: false, ...options };
}

function names(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
}

Deno.test("OutputStaging writes nothing to its targets before commit(), and nothing at all without it", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  {
    using staging = new OutputStaging({ targets: [target("out/", `${dir}/out`)] });
    await staging.add(archive({ "out/a": "first" }));
    assertEquals(names(dir).filter((name) => !name.startsWith(".plasm-")), []);
  }
  assertEquals(names(dir), []);
});

Deno.test("OutputStaging.commit() refuses names that the file system cannot hold, before anything is written", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  // 255 characters are allowed in a claim; as UTF-8 they are longer than a name on Linux.
  const name = "ä".repeat(200);
  using staging = new OutputStaging({ targets: [target("out/", `${dir}/out`)] });
  await staging.add(archive({ "out/a": "first", [`out/${name}`]: "second" }));
  const error = await assertRejects(() => staging.commit({ write }), PlasmError, "limit 255");
  assertEquals([error.code, error.message.includes(name)], ["bad-input", true]);
  assertEquals(names(dir).filter((entry) => !entry.startsWith(".plasm-")), []);
});

Deno.test("OutputStaging.commit() refuses paths that are too long here", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const path = `out/${Array.from({ length: 20 }, () => "ä".repeat(120)).join("/")}`;
  using staging = new OutputStaging({ targets: [target("out/", `${dir}/out`)] });
  await staging.add(archive({ [path]: "x" }));
  await assertRejects(() => staging.commit({ write }), PlasmError, "limit 4095");
});

Deno.test("OutputStaging.commit() refuses two outputs of one name below a directory", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const all = { all: ["./", "/a"] };
  using staging = new OutputStaging({ targets: [target("./", `${dir}/all`, all)] });
  await staging.add(archive({ "/a": "absolute", "a": "relative" }));
  await assertRejects(() => staging.commit({ write }), PlasmError, "does not distinguish it");
  assertEquals(names(dir).filter((entry) => !entry.startsWith(".plasm-")), []);
});

Deno.test("OutputStaging.commit() replaces existing files only where allowed, and checks all before the first", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.mkdir(`${dir}/out`);
  await Deno.writeTextFile(`${dir}/out/z`, "mine");
  const files = archive({ "out/a": "first", "out/z": "second" });
  {
    using staging = new OutputStaging({ targets: [target("out/", `${dir}/out`)] });
    await staging.add(files);
    await assertRejects(() => staging.commit({ write }), PlasmError, "the file exists");
  }
  assertEquals(names(`${dir}/out`), ["z"]);
  using forced = new OutputStaging({ targets: [target("out/", `${dir}/out`, { force: true })] });
  await forced.add(files);
  await forced.commit({ write });
  assertEquals(await Deno.readTextFile(`${dir}/out/z`), "second");
});

Deno.test("OutputStaging.reset() discards what a lost run has sent", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  using staging = new OutputStaging({ targets: [target("a", `${dir}/a`)] });
  await staging.add(archive({ a: "first" }).subarray(0, 600));
  staging.reset();
  await staging.add(archive({ a: "second" }));
  await staging.commit({ write });
  assertEquals(await Deno.readTextFile(`${dir}/a`), "second");
  assertEquals(names(dir).filter((entry) => !entry.startsWith(".plasm-")), ["a"]);
});

Deno.test("OutputStaging reports a place that cannot store the files, and leaves nothing", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  // A directory that is removed while the files arrive. Small files are written by commit(), large ones before.
  for (const content of ["x", "x".repeat(100_000)]) {
    await Deno.mkdir(`${dir}/gone`);
    using staging = new OutputStaging({ targets: [target("out/", `${dir}/gone/out`)] });
    await Deno.remove(`${dir}/gone`);
    const error = await assertRejects(async () => {
      await staging.add(archive({ "out/a": content }));
      await staging.commit({ write });
    }, PlasmError);
    assertEquals(error.code, "state");
    assertEquals(names(dir), []);
  }
});

Deno.test("OutputStaging.commit() writes small and large files to each of their targets", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.mkdir(`${dir}/existing`);
  const targets = [
    target("out/", `${dir}/new`),
    target("out/", `${dir}/existing`),
    target("out/small", `${dir}/small`),
    target("out/large", `${dir}/large`),
  ];
  const large = "0123456789".repeat(10_000);
  using staging = new OutputStaging({ targets });
  await staging.add(archive({ "out/empty": "", "out/large": large, "out/small": "text" }));
  await staging.commit({ write });
  for (const name of ["new", "existing"]) {
    assertEquals(names(`${dir}/${name}`).filter((entry) => !entry.startsWith(".plasm-")), [
      "empty",
      "large",
      "small",
    ]);
    assertEquals(await Deno.readTextFile(`${dir}/${name}/large`), large);
    assertEquals(await Deno.readTextFile(`${dir}/${name}/small`), "text");
  }
  assertEquals(await Deno.readTextFile(`${dir}/large`), large);
  assertEquals(await Deno.readTextFile(`${dir}/small`), "text");
  staging[Symbol.dispose]();
  assertEquals(names(dir), ["existing", "large", "new", "small"]);
  // What arrives late, such as from a download that is being stopped, creates nothing.
  const late = new OutputStaging({ targets });
  late[Symbol.dispose]();
  await assertRejects(() => late.add(archive({ "out/a": large })), PlasmError, "discarded");
  assertEquals(names(dir), ["existing", "large", "new", "small"]);
});
