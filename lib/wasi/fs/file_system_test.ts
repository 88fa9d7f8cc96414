import { assert, assertEquals } from "@std/assert";
import { ERRNO } from "../abi.ts";
import { type DirectoryEntry, FileSystem, INODE_BYTES, NAME_BYTES } from "./file_system.ts";
import type { DirectoryInode, FileInode } from "./inode.ts";

const ONE_FILE = INODE_BYTES + NAME_BYTES + "name".length;

function fileSystem(limits: { fsBytes?: number; fsInodes?: number } = {}): FileSystem {
  return new FileSystem({ fsBytes: 1e6, fsInodes: 1000, ...limits }, () => 0);
}

function at(fs: FileSystem, name: string): DirectoryEntry {
  return { parent: fs.root, name };
}

Deno.test("FileSystem charges inodes, names, link targets and logical sizes", () => {
  const fs = fileSystem();
  const empty = fs.bytes;
  const file = fs.createFile(at(fs, "name")) as FileInode;
  assertEquals(fs.bytes - empty, ONE_FILE);
  assertEquals(fs.resize(file, 1000), 0);
  assertEquals(fs.write(file, 2000, new Uint8Array(10), 0, 10), 0);
  assertEquals(fs.bytes - empty, ONE_FILE + 2010);
  assertEquals(fs.write(file, 5, new Uint8Array(10), 0, 10), 0);
  assertEquals(fs.bytes - empty, ONE_FILE + 2010);
  assertEquals(fs.link(at(fs, "ünï"), file), 0);
  assertEquals(fs.bytes - empty, ONE_FILE + 2010 + NAME_BYTES + 5);
  fs.unlink(at(fs, "name"), file);
  fs.unlink(at(fs, "ünï"), file);
  assertEquals(fs.createSymlink(at(fs, "name"), "target"), 0);
  assertEquals(fs.bytes - empty, ONE_FILE + "target".length);
  assertEquals(fs.peakBytes - empty, ONE_FILE + 2010 + NAME_BYTES + 5);
});

Deno.test("FileSystem charges an unlinked file until its last descriptor is closed", () => {
  const fs = fileSystem();
  const [bytes, inodes] = [fs.bytes, fs.inodes];
  const file = fs.createFile(at(fs, "name")) as FileInode;
  fs.resize(file, 100);
  file.opens = 2;
  fs.unlink(at(fs, "name"), file);
  assertEquals({ bytes: fs.bytes - bytes, inodes: fs.inodes - inodes }, {
    bytes: INODE_BYTES + 100,
    inodes: 1,
  });
  fs.release(file);
  assertEquals(fs.bytes - bytes, INODE_BYTES + 100);
  fs.release(file);
  assertEquals({ bytes: fs.bytes, inodes: fs.inodes }, { bytes, inodes });
});

Deno.test("FileSystem returns ENOSPC and changes nothing when a limit is reached", () => {
  const fs = fileSystem({ fsBytes: INODE_BYTES + ONE_FILE + 10, fsInodes: 3 });
  const file = fs.createFile(at(fs, "name")) as FileInode;
  const { bytes } = fs;
  assertEquals(fs.createFile(at(fs, "other")), ERRNO.NOSPC);
  assertEquals(fs.createDirectory(at(fs, "other")), ERRNO.NOSPC);
  assertEquals(fs.createSymlink(at(fs, "other"), "x"), ERRNO.NOSPC);
  assertEquals(fs.link(at(fs, "other"), file), ERRNO.NOSPC);
  assertEquals(fs.resize(file, 11), ERRNO.NOSPC);
  assertEquals(fs.write(file, 10, new Uint8Array(1), 0, 1), ERRNO.NOSPC);
  assertEquals(fs.rename(at(fs, "name"), at(fs, "n".repeat(15)), file), ERRNO.NOSPC);
  assertEquals({
    bytes: fs.bytes,
    count: fs.root.count,
    contentSize: file.content.size,
    nlink: file.nlink,
  }, { bytes, count: 1, contentSize: 0, nlink: 1 });
  assertEquals(fs.rename(at(fs, "name"), at(fs, "n".repeat(14)), file), 0);
  assertEquals(fs.peakBytes, fs.bytes);
});

Deno.test("FileSystem charges hard links as inodes", () => {
  const fs = fileSystem({ fsInodes: 3 });
  const file = fs.createFile(at(fs, "a")) as FileInode;
  assertEquals(fs.link(at(fs, "b"), file), 0);
  assertEquals(fs.link(at(fs, "c"), file), ERRNO.NOSPC);
  fs.unlink(at(fs, "a"), file);
  assertEquals(fs.inodes, 2);
  assertEquals(fs.createSymlink(at(fs, "c"), "x"), 0);
});

Deno.test("FileSystem.rename() releases the replaced inode", () => {
  const fs = fileSystem();
  const from = fs.createDirectory(at(fs, "from")) as DirectoryInode;
  const { bytes, inodes } = fs;
  const to = fs.createDirectory(at(fs, "to")) as DirectoryInode;
  assertEquals(fs.rename(at(fs, "from"), at(fs, "to"), from), 0);
  assert(to.removed && !from.removed);
  assertEquals({ bytes: fs.bytes, inodes: fs.inodes }, { bytes: bytes - 2, inodes });
});
