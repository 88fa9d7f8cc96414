/**
 * From a path to a place in the tree, without ever leaving the directory it starts from.
 * @module
 */
import { ERRNO } from "../errno.ts";
import { type DirectoryInode, FILETYPE, type Inode } from "./inode.ts";

/** Longest path a guest may pass, in bytes (`PATH_MAX` of Linux). */
export const MAX_PATH_BYTES = 4096;

/** Longest name, in bytes (`NAME_MAX` of Linux). */
export const MAX_NAME_BYTES = 255;

/** Most symbolic links on one path (`MAXSYMLINKS` of Linux). */
export const MAX_SYMLINKS = 40;

const { DIRECTORY } = FILETYPE;
const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * What to do with a symbolic link at the end of a path: follow it, follow it only if a slash comes
 * after it (as lstat(2) does), or never (as unlink(2) and all that changes names do).
 */
export type LastLink = "follow" | "slash" | "keep";

/**
 * The outcome of {@linkcode PathLookup.find}, kept in fields so that a lookup makes no object. It is
 * overwritten by the next lookup.
 */
export class PathLookup {
  /** Directory that holds the last name. */
  parent!: DirectoryInode;
  /** The last name; empty where the path ended in "." or "..": such a place has no name to change. */
  name = "";
  /** What is there; undefined if nothing. */
  inode: Inode | undefined;
  /** Whether the path ended in a slash, and so means a directory. */
  slash = false;

  /**
   * Walks `path` from `base`. Answers 0 when all but the last name exist: then the fields tell what
   * is (or is not) there. What the slash at the end of a kept link or file means is the caller's. A path that leads above `base`, by "..", from "/" or through a symbolic
   * link, answers EPERM, as wasmtime does.
   */
  find(base: DirectoryInode, path: string, lastLink: LastLink): number {
    if (path.length === 0) return ERRNO.NOENT;
    if (base.removed) return ERRNO.NOENT;
    let rest = path;
    let at = 0;
    let links = 0;
    let directory = base;
    if (rest.charCodeAt(0) === SLASH) return ERRNO.PERM;
    for (;;) {
      const start = skipSlashes(rest, at);
      if (start === rest.length) return this.#end(directory);
      let end = rest.indexOf("/", start);
      if (end === -1) end = rest.length;
      at = end;
      const length = end - start;
      if (length <= 2 && rest.charCodeAt(start) === DOT) {
        if (length === 1) continue;
        if (rest.charCodeAt(start + 1) === DOT) {
          if (directory === base) return ERRNO.PERM;
          directory = directory.parent;
          continue;
        }
      }
      const name = rest.slice(start, end);
      if (tooLong(name)) return ERRNO.NAMETOOLONG;
      const inode = directory.get(name);
      const slash = end < rest.length;
      const last = !slash || skipSlashes(rest, end) === rest.length;
      if (inode === undefined && !last) return ERRNO.NOENT;
      const follow = !last || lastLink === "follow" || (slash && lastLink === "slash");
      if (follow && inode?.type === FILETYPE.SYMBOLIC_LINK) {
        if (++links > MAX_SYMLINKS) return ERRNO.LOOP;
        if (inode.target.charCodeAt(0) === SLASH) return ERRNO.PERM;
        rest = inode.target + rest.slice(end);
        at = 0;
        continue;
      }
      if (last) {
        if (slash && lastLink !== "keep" && (inode?.type ?? DIRECTORY) !== DIRECTORY) {
          return ERRNO.NOTDIR;
        }
        this.parent = directory;
        this.name = name;
        this.inode = inode;
        this.slash = slash;
        return 0;
      }
      if (inode?.type !== DIRECTORY) return ERRNO.NOTDIR;
      directory = inode;
    }
  }

  #end(directory: DirectoryInode): number {
    this.parent = directory.parent;
    this.name = "";
    this.inode = directory;
    this.slash = true;
    return 0;
  }
}

function skipSlashes(path: string, at: number): number {
  while (at < path.length && path.charCodeAt(at) === SLASH) at++;
  return at;
}

/** A code unit is at most three bytes, so short names need no counting. */
function tooLong(name: string): boolean {
  return name.length * 3 > MAX_NAME_BYTES && utf8Length(name) > MAX_NAME_BYTES;
}

/** Bytes of a string in UTF-8. The string must be well formed, as decoded text is. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit <= 0x7f) continue;
    // The two halves of a surrogate pair are four bytes together.
    bytes += unit <= 0x7ff || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return bytes;
}
