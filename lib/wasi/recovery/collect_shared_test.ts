import { assert, assertEquals } from "@std/assert";
import { concat } from "../../util/mod.ts";
import { FileSystem } from "../fs/file_system.ts";
import { DirectoryInode, FileInode, SymlinkInode } from "../fs/inode.ts";
import { createInputs, type FileInput } from "../fs/inputs.ts";
import { findOutputs, type FoundOutputs } from "../fs/outputs.ts";
import { SharedTree, type SharedTreePart } from "../fs/shared_tree.ts";
import { collectShared } from "./collect_shared.ts";

const OPTIONS = { outputs: ["out/", "/tmp/", "in/"], maxBytes: Infinity };

const LIMITS = { fsBytes: 2 ** 28, fsInodes: 100_000 };

/** A tree that is recorded in shared memory. */
function sharedSystem(inputs: FileInput[] = []) {
  const parts: SharedTreePart[] = [];
  const shared = inputs.map(({ data, ...input }): FileInput => {
    if (data === undefined) return input;
    const memory = new Uint8Array(new SharedArrayBuffer(data.length) as unknown as ArrayBuffer);
    memory.set(data);
    return { ...input, data: memory };
  });
  const fs = new FileSystem(LIMITS, () => 1);
  createInputs(fs, shared);
  fs.endInputs();
  fs.share(new SharedTree((part) => parts.push(part), { inputs: shared }));
  return { fs, parts, inputs: shared };
}

/** Archive and list of what was left behind. */
function bytesOf(found: FoundOutputs | undefined): { archive: Uint8Array; leftBehind: unknown } {
  assert(found !== undefined);
  const archive = concat([...found.archive].map((piece) => piece.slice()));
  const leftBehind = found.leftBehind?.entries.toSorted((a, b) => a.path < b.path ? -1 : 1);
  return { archive, leftBehind };
}

function assertSame({ fs, parts, inputs }: ReturnType<typeof sharedSystem>, what: string): void {
  const read = bytesOf(collectShared(parts, { ...OPTIONS, inputs }));
  const live = bytesOf(findOutputs(fs, OPTIONS));
  assertEquals(read.archive.length, live.archive.length, what);
  assert(read.archive.every((byte, at) => byte === live.archive[at]), what);
  assertEquals(read.leftBehind, live.leftBehind, what);
}

/** Numbers below a limit, the same for a seed (xorshift). */
function numbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

Deno.test("collectShared() reads the tree that random calls have made, of files, inputs, links and /tmp", () => {
  for (let seed = 1; seed <= 8; seed++) {
    const inputs: FileInput[] = [
      { path: "in/a", data: new Uint8Array(150_000).fill(1) },
      { path: "in/b", data: new Uint8Array(10).fill(2) },
      { path: "in/empty", data: new Uint8Array() },
      { path: "out/", isPreopen: false },
    ];
    const system = sharedSystem(inputs);
    const { fs } = system;
    const random = numbers(seed * 7919);
    const tmp = fs.root.get("tmp") as DirectoryInode;
    const directories = [fs.root, fs.root.get("out"), fs.root.get("in"), tmp] as DirectoryInode[];
    for (let step = 0; step < 200; step++) {
      const parent = directories[random(directories.length)]!;
      const entry = { parent, name: ["a", "b", "ä€😀", "c", "d"][random(5)]! };
      if (entry.parent === fs.root) entry.name = `r${entry.name}`;
      const inode = parent.entry(entry.name);
      const kind = random(8);
      if (inode === undefined) {
        if (kind === 0) {
          const made = fs.createDirectory(entry);
          if (typeof made !== "number") directories.push(made);
        } else if (kind === 1) fs.createSymlink(entry, "target");
        else fs.createFile(entry);
      } else if (kind <= 1) {
        const to = { parent: directories[random(directories.length)]!, name: `n${random(4)}` };
        fs.rename(entry, to, inode);
      } else if (inode instanceof DirectoryInode) {
        if (kind === 2) fs.removeDirectory(entry, inode);
      } else if (kind === 2) fs.unlink(entry, inode);
      else if (kind === 3 && (inode instanceof FileInode || inode instanceof SymlinkInode)) {
        fs.link({ parent, name: `l${random(4)}x${step}` }, inode);
      } else if (inode instanceof FileInode) {
        if (kind === 4) fs.resize(inode, random(200_000));
        else {
          const data = new Uint8Array(1 + random(kind === 5 ? 100_000 : 50)).fill(1 + random(255));
          // Of the inputs only a change of the size is noticed.
          const offset = kind === 6 ? inode.content.size : random(100_000);
          fs.write(inode, offset, data, 0, data.length);
        }
      }
      if (step % 40 === 0) {
        assertSame(system, `seed ${seed}, step ${step}`);
      }
    }
  }
});

Deno.test("SharedTree reuses the memory of removed files, and rewrites a log that describes what is gone", () => {
  const system = sharedSystem();
  const { fs, parts } = system;
  const parent = fs.createDirectory({ parent: fs.root, name: "out" }) as DirectoryInode;
  const data = new Uint8Array(300_000).fill(7);
  for (let round = 0; round < 100_000; round++) {
    const file = fs.createFile({ parent, name: `file ${round % 100}` }) as FileInode;
    fs.write(file, 0, data, 0, round % 1000 === 0 ? data.length : 5);
    if (round % 100 < 99) fs.unlink({ parent, name: `file ${round % 100}` }, file);
    else fs.rename({ parent, name: `file ${round % 100}` }, { parent, name: "kept" }, file);
  }
  const bytes = parts.reduce(
    (sum, { kind, memory }) => sum + (kind === "log" ? 0 : memory.byteLength),
    0,
  );
  assert(bytes < 2 ** 20, `${bytes} bytes of content and sizes`);
  assert(parts.at(-1)!.generation > 0);
  assertSame(system, "after many files");
});

Deno.test("collectShared() returns nothing before the inputs are recorded", () => {
  assertEquals(collectShared([], { ...OPTIONS, inputs: [] }), undefined);
});
