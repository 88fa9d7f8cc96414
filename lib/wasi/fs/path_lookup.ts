/**
 * Resolves guest paths without leaving the directory where they start.
 *
 * @module
 */
import { ERRNO } from "../abi.ts";
import { type DirectoryInode, FILETYPE, type Inode } from "./inode.ts";

/** Longest path, in bytes (`PATH_MAX` of Linux). */
export const MAX_PATH_BYTES = 4096;

/** Longest name, in bytes (`NAME_MAX` of Linux). */
export const MAX_NAME_BYTES = 255;

/** Most symbolic links followed for one path (`MAXSYMLINKS` of Linux). */
export const MAX_SYMLINKS = 40;

const { DIRECTORY } = FILETYPE;
const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * Handling of a symbolic link at the end of a path: follow it, follow it only before a trailing slash (as lstat(2)
 * does), or never follow it (as unlink(2) and other calls that change names do).
 */
export type LastLink = "follow" | "slash" | "keep";

/**
 * Path resolver whose fields hold the result of the last {@linkcode PathLookup.find}, so that a lookup allocates
 * nothing.
 */
export class PathLookup {
  /** Directory of the last name. */
  parent!: DirectoryInode;
  /** Last name; empty if the path ends in "." or "..", which cannot be renamed or removed. */
  name = "";
  /** Inode under the name, if any. */
  inode: Inode | undefined;
  /** Whether the path ends in a slash and must be a directory. */
  slash = false;

  /**
   * Resolves `path` from `base`. The caller handles a trailing slash after a link or file if `lastLink` is "keep".
   *
   * @returns 0 if all names but the last exist, and the fields hold the result; otherwise an errno. A path that
   * leads above `base`, by "..", "/" or a symbolic link, returns EPERM, as in wasmtime.
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

/** Whether a name exceeds the limit. A code unit takes at most three bytes, so short names are not measured. */
function tooLong(name: string): boolean {
  return name.length * 3 > MAX_NAME_BYTES && utf8Length(name) > MAX_NAME_BYTES;
}

/** Length of a well-formed string in UTF-8, in bytes. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit <= 0x7f) continue;
    // A surrogate pair is two code units and four bytes.
    bytes += unit <= 0x7ff || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return bytes;
}
