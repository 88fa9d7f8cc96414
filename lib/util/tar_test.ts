import { assert, assertEquals, assertThrows } from "@std/assert";
import { concat } from "./bytes.ts";
import { encodeTarHeader, memberPadding, tarEnd, TarReader } from "./tar.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function archive(files: Record<string, string>, end = tarEnd()): Uint8Array {
  const parts = Object.entries(files).flatMap(([path, content]) => {
    const data = encode(content);
    return [encodeTarHeader({ path, bytes: data.length }), data, memberPadding(data.length)];
  });
  return concat([...parts, end]);
}

function read(
  bytes: Uint8Array,
  step = bytes.length,
): { files: Map<string, string>; reader: TarReader } {
  const reader = new TarReader();
  const found = new Map<string, Uint8Array[]>();
  for (let at = 0; at < bytes.length; at += step) {
    for (const { entry, offset, data } of reader.read(bytes.subarray(at, at + step))) {
      const parts = found.get(entry.path) ?? [];
      assertEquals(offset, parts.reduce((sum, { length }) => sum + length, 0));
      found.set(entry.path, [...parts, data.slice()]);
    }
  }
  const decoder = new TextDecoder();
  return {
    reader,
    files: new Map([...found].map(([path, parts]) => [path, decoder.decode(concat(parts))])),
  };
}

const FILES = {
  "a": "text",
  "dir/": "",
  "dir/b": "x".repeat(512),
  "dir/empty": "",
  "größe\n5 size=1\n": "umlaut",
  [`${"deep/".repeat(60)}leaf`]: "y".repeat(1025),
};

Deno.test("TarReader reads what encodeTarHeader() and memberPadding() wrote, in chunks of any size", () => {
  const bytes = archive(FILES);
  for (const step of [1, 7, 511, 512, 513, 4096, bytes.length]) {
    const { files, reader } = read(bytes, step);
    assertEquals(Object.fromEntries(files), FILES);
    assert(reader.isComplete);
  }
});

Deno.test("encodeTarHeader() writes archives that tar(1) extracts", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${dir}/a.tar`, archive(FILES));
    const list = new Deno.Command("tar", {
      args: ["-tf", "a.tar", "--quoting-style=literal"],
      cwd: dir,
    });
    const { stdout, success } = await list.output();
    assert(success);
    assertEquals(
      new TextDecoder().decode(stdout),
      Object.keys(FILES).map((path) => `${path}\n`).join(""),
    );
    assert((await new Deno.Command("tar", { args: ["-xf", "a.tar"], cwd: dir }).output()).success);
    for (const [path, content] of Object.entries(FILES)) {
      if (!path.endsWith("/")) assertEquals(await Deno.readTextFile(`${dir}/${path}`), content);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("TarReader reads sizes above 8 GiB", () => {
  const bytes = 9 * 2 ** 30;
  const reader = new TarReader();
  const header = encodeTarHeader({ path: "huge\n", bytes });
  assertEquals([...reader.read(header)], []);
  const [part] = reader.read(encode("x"));
  assertEquals(part!.entry, { path: "huge\n", bytes });
});

Deno.test("TarReader reports an archive without its end as incomplete", () => {
  assertEquals(read(archive(FILES, new Uint8Array(512))).reader.isComplete, false);
  assertEquals(read(archive({})).reader.isComplete, true);
  assertEquals(new TarReader().isComplete, false);
});

Deno.test("TarReader refuses everything that is not in canonical form", () => {
  const whole = archive({ a: "text" });
  // Magic and fields that the encoder leaves empty, the padding, and the end of the archive.
  for (
    const at of [0, 101, 110, 120, 136, 150, 156, 160, 257, 265, 300, 345, 511, 520, 1030, 2000]
  ) {
    const changed = whole.slice();
    changed[at]! ^= 1;
    const { files, reader } = (() => {
      try {
        return read(changed);
      } catch {
        return { files: undefined, reader: undefined };
      }
    })();
    assertEquals(files === undefined || !reader!.isComplete, true, `byte ${at}`);
  }
  assertThrows(() => read(concat([whole, new Uint8Array(512)])), Error, "follow the end");
  const directory = encodeTarHeader({ path: "dir/", bytes: 5 });
  assertThrows(() => read(directory), Error, "a directory has content");
});
