import { assertEquals } from "@std/assert";
import { FakeGuest, type Filestat, ROOT_FD } from "../../../tests/fixtures/fake_guest.ts";
import { random } from "../../../tests/fixtures/random_source.ts";
import { ERRNO, OFLAG } from "../abi.ts";
import { FILETYPE } from "../fs/inode.ts";

/** A file or directory. Hard links share the object of their file. */
type Node = { kind: "file"; text: string; links: number } | { kind: "dir" };

/** Simplest possible model of a file system: a map from complete paths to nodes. */
class Oracle {
  readonly nodes = new Map<string, Node>([["", { kind: "dir" }]]);

  children(path: string): string[] {
    const prefix = path === "" ? "" : `${path}/`;
    return [...this.nodes.keys()].filter((other) =>
      other !== "" && other.startsWith(prefix) && !other.slice(prefix.length).includes("/")
    ).map((other) => other.slice(prefix.length)).sort();
  }

  /** Errno of a lookup of the parent directory. */
  above(path: string): number {
    const names = path.split("/");
    for (let i = 1; i < names.length; i++) {
      const node = this.nodes.get(names.slice(0, i).join("/"));
      if (node === undefined) return ERRNO.NOENT;
      if (node.kind !== "dir") return ERRNO.NOTDIR;
    }
    return 0;
  }

  mkdir(path: string): number {
    const errno = this.above(path);
    if (errno !== 0) return errno;
    if (this.nodes.has(path)) return ERRNO.EXIST;
    this.nodes.set(path, { kind: "dir" });
    return 0;
  }

  write(path: string, text: string): number {
    const errno = this.above(path);
    if (errno !== 0) return errno;
    const node = this.nodes.get(path);
    if (node?.kind === "dir") return ERRNO.ISDIR;
    if (node === undefined) this.nodes.set(path, { kind: "file", text, links: 1 });
    else node.text = text;
    return 0;
  }

  unlink(path: string): number {
    const errno = this.above(path);
    if (errno !== 0) return errno;
    const node = this.nodes.get(path);
    if (node === undefined) return ERRNO.NOENT;
    if (node.kind === "dir") return ERRNO.ISDIR;
    node.links--;
    this.nodes.delete(path);
    return 0;
  }

  rmdir(path: string): number {
    const errno = this.above(path);
    if (errno !== 0) return errno;
    const node = this.nodes.get(path);
    if (node === undefined) return ERRNO.NOENT;
    if (node.kind !== "dir") return ERRNO.NOTDIR;
    if (this.children(path).length > 0) return ERRNO.NOTEMPTY;
    this.nodes.delete(path);
    return 0;
  }

  link(from: string, to: string): number {
    const errno = this.above(from);
    if (errno !== 0) return errno;
    const node = this.nodes.get(from);
    if (node === undefined) return ERRNO.NOENT;
    const toErrno = this.above(to);
    if (toErrno !== 0) return toErrno;
    if (this.nodes.has(to)) return ERRNO.EXIST;
    if (node.kind === "dir") return ERRNO.PERM;
    node.links++;
    this.nodes.set(to, node);
    return 0;
  }

  rename(from: string, to: string): number {
    const errno = this.above(from) || this.above(to);
    if (errno !== 0) return errno;
    const node = this.nodes.get(from);
    if (node === undefined) return ERRNO.NOENT;
    const target = this.nodes.get(to);
    if (node === target) return 0;
    if (node.kind === "dir" && to.startsWith(`${from}/`)) return ERRNO.INVAL;
    if (node.kind !== "dir" && target?.kind === "dir") return ERRNO.ISDIR;
    if (node.kind === "dir" && target !== undefined) {
      if (target.kind !== "dir") return ERRNO.NOTDIR;
      if (this.children(to).length > 0) return ERRNO.NOTEMPTY;
    }
    if (target?.kind === "file") target.links--;
    for (const [path, moved] of [...this.nodes]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.nodes.delete(path);
      this.nodes.set(to + path.slice(from.length), moved);
    }
    return 0;
  }
}

function write(guest: FakeGuest, path: string, text: string): number {
  const fd = guest.open(path, { oflags: OFLAG.CREAT | OFLAG.TRUNC });
  if (fd < 0) return -fd;
  assertEquals(guest.write(fd, text), text.length);
  return guest.call("fd_close", fd);
}

function assertSameTree(guest: FakeGuest, oracle: Oracle): void {
  for (const [path, node] of oracle.nodes) {
    const shown = path === "" ? "." : path;
    if (node.kind === "file") {
      assertEquals(guest.readFile(shown), node.text);
      const { nlink, size, type } = guest.stat(shown) as Filestat;
      const expected = [node.links, node.text.length, FILETYPE.REGULAR_FILE];
      assertEquals([nlink, size, type], expected, path);
    } else {
      const fd = guest.openDirectory(shown);
      const names = guest.readdir(fd, 2n).map(({ name }) => name).sort();
      assertEquals(names, oracle.children(path), path);
      guest.call("fd_close", fd);
    }
  }
}

Deno.test("createWasi() matches an oracle file system over random operations", () => {
  const next = random(7);
  for (let round = 0; round < 15; round++) {
    const guest = new FakeGuest();
    const oracle = new Oracle();
    const empty = guest.wasi.fsBytes;
    const path = () =>
      Array.from({ length: 1 + next(3) }, () => ["a", "b", "c", "d"][next(4)]).join("/");
    for (let step = 0; step < 300; step++) {
      const [one, two] = [path(), path()];
      const context = `round ${round}, step ${step}: ${one} ${two}`;
      switch (next(7)) {
        case 0:
        case 1:
          assertEquals(
            guest.call("path_create_directory", ROOT_FD, one),
            oracle.mkdir(one),
            context,
          );
          break;
        case 2:
          assertEquals(write(guest, one, `${step}`), oracle.write(one, `${step}`), context);
          break;
        case 3:
          assertEquals(guest.call("path_unlink_file", ROOT_FD, one), oracle.unlink(one), context);
          break;
        case 4:
          assertEquals(
            guest.call("path_remove_directory", ROOT_FD, one),
            oracle.rmdir(one),
            context,
          );
          break;
        case 5:
          assertEquals(
            guest.call("path_link", ROOT_FD, 0, one, ROOT_FD, two),
            oracle.link(one, two),
            context,
          );
          break;
        case 6:
          assertEquals(
            guest.call("path_rename", ROOT_FD, one, ROOT_FD, two),
            oracle.rename(one, two),
            context,
          );
      }
      if (step % 20 === 0) assertSameTree(guest, oracle);
    }
    assertSameTree(guest, oracle);
    // Removing everything, the deepest names first, releases all charged bytes.
    for (const left of [...oracle.nodes.keys()].sort().reverse()) {
      if (left === "") continue;
      const node = oracle.nodes.get(left)!;
      const name = node.kind === "dir" ? "path_remove_directory" : "path_unlink_file";
      assertEquals(guest.call(name, ROOT_FD, left), 0, left);
    }
    assertEquals(guest.wasi.fsBytes, empty);
  }
});
