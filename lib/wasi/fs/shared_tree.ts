/**
 * Records a job's file tree in shared memory, so that another thread can read it while the guest computes.
 *
 * Names are appended to a log, which is rewritten from the tree when it has outgrown it; content is written to shared
 * memory in the first place. The other thread reads the state after the last call that the guest made.
 *
 * @module
 */
import { CONTENT_CHUNK_BYTES, type ContentMemory, type FileContent } from "./file_content.ts";
import { DirectoryInode, FileInode, type Inode, NO_CONTENT } from "./inode.ts";

/** Kinds of records in the log; each is followed by its fields, one word each. */
export const TREE_RECORD = {
  /** Names an inode: directory, inode, type, length of the name, name in UTF-16. */
  ENTRY: 1,
  /** Removes a name: directory, length of the name, name in UTF-16. */
  REMOVAL: 2,
  /** Gives a file content: inode, cell of its size, index of the input that it consists of or -1. */
  CONTENT: 3,
  /** Places a chunk of content: inode, index in the file, arena, offset in the arena, size. */
  CHUNK: 4,
  /** Removes the last chunks of content: inode, number of chunks left. */
  CUT: 5,
  /** Last inode of the inputs. */
  INPUTS: 6,
  /** The directory /tmp, which the root does not list: inode. */
  TMP: 7,
} as const;

/** First word of a block that has records; before are its fill and whether the log is complete from here on. */
export const LOG_START = 2;

/** Shared memory that another thread needs to read the tree. */
export interface SharedTreePart {
  /** A block of the log, or memory of sizes or of content; each kind is numbered by its order. */
  kind: "log" | "cells" | "arena";
  /** Number of times that the log was rewritten. */
  generation: number;
  memory: SharedArrayBuffer;
}

/** Size of a block of the log, in words: more than any record. */
const LOG_WORDS = 16 * 1024;

/** Most words of a record besides its name. */
const MAX_FIXED_WORDS = 8;

/** Size of the first arena, in bytes; each further one is twice as large, up to the limit. */
const FIRST_ARENA_BYTES = 64 * 1024;

/** Largest arena, in bytes. */
const MAX_ARENA_BYTES = 16 * 1024 * 1024;

/** Sizes per block. */
export const BLOCK_CELLS = 4096;

/** Words that the log may grow to before it is first rewritten; later to a multiple of its size after a rewrite. */
const FIRST_REWRITE_WORDS = 1024 * 1024;
const REWRITE_FACTOR = 4;

/** Records one tree. */
export class SharedTree {
  readonly #publish: (part: SharedTreePart) => void;
  /** Index of each input by its memory. */
  readonly #inputs: ReadonlyMap<ArrayBufferLike, number>;
  #root: DirectoryInode | undefined;
  #tmp: DirectoryInode | undefined;
  #lastInput = 0;
  #generation = 0;
  #log = new Int32Array(0);
  #fill = 0;
  /** Words written since the log was rewritten. */
  #words = 0;
  #rewriteAt = FIRST_REWRITE_WORDS;
  readonly #arenas = new Map<ArrayBufferLike, number>();
  #arena = new Uint8Array(0);
  #arenaFill = 0;
  /** Released chunks by size. */
  readonly #freeChunks = new Map<number, Uint8Array[]>();
  #freeBytes = 0;
  readonly #cells: Float64Array[] = [];
  readonly #freeCells: number[] = [];
  #nextCell = 0;

  /** @param publish Sends memory to the other thread. */
  constructor(
    publish: (part: SharedTreePart) => void,
    { inputs }: { inputs: readonly { data?: Uint8Array | undefined }[] },
  ) {
    this.#publish = publish;
    this.#inputs = new Map(inputs.flatMap(({ data }, index) => data ? [[data.buffer, index]] : []));
  }

  /** Records the tree of the inputs. Their content must be in shared memory. */
  begin(root: DirectoryInode, { lastInput }: { lastInput: number }): void {
    this.#root = root;
    this.#lastInput = lastInput;
    this.#writeTree();
  }

  /** Records a new name of an inode, or the replacement of the one that had it. */
  entry(parent: DirectoryInode, name: string, inode: Inode): void {
    if (parent.isBuiltIn && parent !== this.#root && parent !== this.#tmp) {
      this.#tmp = parent;
      this.#record(TREE_RECORD.TMP, parent.ino);
    }
    this.#entry(parent.ino, inode, name);
    this.#limit();
  }

  /** Records that a name was removed. */
  removal(parent: DirectoryInode, name: string): void {
    this.#reserve(MAX_FIXED_WORDS + name.length);
    const at = this.#fill;
    this.#log[at] = TREE_RECORD.REMOVAL;
    this.#log[at + 1] = parent.ino;
    this.#commit(this.#putName(at + 2, name));
    this.#limit();
  }

  /** Memory of the content of a file that had none. */
  contentOf(file: FileInode): ContentMemory {
    const memory = this.#memoryOf(file.ino, { size: 0 });
    this.#record(TREE_RECORD.CONTENT, file.ino, memory.cell, -1);
    return memory;
  }

  #memoryOf(ino: number, { size }: { size: number }): FileMemory {
    const cell = this.#freeCells.pop() ?? this.#nextCell++;
    if (cell >= this.#cells.length * BLOCK_CELLS) {
      const memory = new SharedArrayBuffer(BLOCK_CELLS * Float64Array.BYTES_PER_ELEMENT);
      this.#cells.push(new Float64Array(memory));
      this.#publish({ kind: "cells", generation: this.#generation, memory });
    }
    const cells = this.#cells[Math.floor(cell / BLOCK_CELLS)]!;
    cells[cell % BLOCK_CELLS] = size;
    return new FileMemory(this, { ino, cell, cells });
  }

  /** Takes a chunk of zeros. */
  allocate(bytes: number): Uint8Array {
    return (this.#freeBytes < bytes ? undefined : this.#reuse(bytes)) ?? this.#newChunk(bytes);
  }

  /** Takes the first bytes of the smallest released chunk that is large enough. Sizes are powers of two. */
  #reuse(bytes: number): Uint8Array | undefined {
    for (let size = bytes; size <= CONTENT_CHUNK_BYTES; size *= 2) {
      const chunk = this.#freeChunks.get(size)?.pop();
      if (chunk === undefined) continue;
      this.#freeBytes -= size;
      for (let half = size / 2; half >= bytes; half /= 2) this.free(chunk.subarray(half, 2 * half));
      return chunk.subarray(0, bytes).fill(0);
    }
    return undefined;
  }

  /** Records which chunk a file has at an index. */
  place(ino: number, index: number, chunk: Uint8Array): void {
    const arena = this.#arenas.get(chunk.buffer)!;
    this.#record(TREE_RECORD.CHUNK, ino, index, arena, chunk.byteOffset, chunk.length);
  }

  #newChunk(bytes: number): Uint8Array {
    if (this.#arenaFill + bytes > this.#arena.length) {
      const size = Math.min(MAX_ARENA_BYTES, FIRST_ARENA_BYTES << Math.min(this.#arenas.size, 10));
      const memory = new SharedArrayBuffer(size);
      this.#arenas.set(memory, this.#arenas.size);
      this.#arena = new Uint8Array(memory as unknown as ArrayBuffer);
      this.#arenaFill = 0;
      this.#publish({ kind: "arena", generation: this.#generation, memory });
    }
    this.#arenaFill += bytes;
    return this.#arena.subarray(this.#arenaFill - bytes, this.#arenaFill);
  }

  /** Returns a chunk for reuse. */
  free(chunk: Uint8Array): void {
    if (!this.#arenas.has(chunk.buffer)) return; // that of an input
    this.#freeBytes += chunk.length;
    const chunks = this.#freeChunks.get(chunk.length);
    if (chunks === undefined) this.#freeChunks.set(chunk.length, [chunk]);
    else chunks.push(chunk);
  }

  /** Returns the cell of a file's size for reuse. */
  freeCell(cell: number): void {
    this.#freeCells.push(cell);
  }

  /** Records that only the first chunks of a file are left. */
  cut(ino: number, left: number): void {
    this.#record(TREE_RECORD.CUT, ino, left);
  }

  /** Writes a record without a name; a rest parameter would allocate an array for each. */
  #record(kind: number, a: number, b?: number, c?: number, d = 0, e = 0): void {
    this.#reserve(MAX_FIXED_WORDS);
    const log = this.#log;
    let at = this.#fill;
    log[at++] = kind;
    log[at++] = a;
    if (b !== undefined) log[at++] = b;
    if (c !== undefined) {
      log[at++] = c;
      if (kind === TREE_RECORD.CHUNK) {
        log[at++] = d;
        log[at++] = e;
      }
    }
    this.#commit(at);
  }

  #entry(directory: number, inode: Inode, name: string): void {
    this.#reserve(MAX_FIXED_WORDS + name.length);
    const log = this.#log;
    let at = this.#fill;
    log[at++] = TREE_RECORD.ENTRY;
    log[at++] = directory;
    log[at++] = inode.ino;
    log[at++] = inode.type;
    this.#commit(this.#putName(at, name));
  }

  #putName(start: number, name: string): number {
    const log = this.#log;
    const { length } = name;
    let at = start;
    log[at++] = length;
    for (let i = 0; i < length; i += 2) {
      log[at++] = name.charCodeAt(i) | (i + 1 < length ? name.charCodeAt(i + 1) << 16 : 0);
    }
    return at;
  }

  /** Makes the records up to a word visible to the other thread. */
  #commit(end: number): void {
    this.#words += end - this.#fill;
    this.#fill = end;
    Atomics.store(this.#log, 0, end);
  }

  #reserve(words: number): void {
    if (this.#fill + words <= this.#log.length) return;
    const memory = new SharedArrayBuffer(LOG_WORDS * Int32Array.BYTES_PER_ELEMENT);
    this.#log = new Int32Array(memory) as unknown as Int32Array<ArrayBuffer>;
    this.#fill = LOG_START;
    this.#publish({ kind: "log", generation: this.#generation, memory });
  }

  /** Rewrites the log when most of it describes what is gone. */
  #limit(): void {
    if (this.#words < this.#rewriteAt) return;
    this.#generation++;
    this.#log = new Int32Array(0);
    this.#fill = 0;
    this.#writeTree();
    this.#rewriteAt = Math.max(FIRST_REWRITE_WORDS, REWRITE_FACTOR * this.#words);
  }

  /** Writes the log of the whole tree. */
  #writeTree(): void {
    this.#words = 0;
    this.#record(TREE_RECORD.INPUTS, this.#lastInput);
    const first = this.#log;
    const pending = [this.#root!];
    if (this.#tmp !== undefined) {
      this.#record(TREE_RECORD.TMP, this.#tmp.ino);
      pending.push(this.#tmp);
    }
    const described = new Set<Inode>();
    for (let directory; (directory = pending.pop()) !== undefined;) {
      for (let position = 0; position < directory.positions; position++) {
        const inode = directory.inodeAt(position);
        if (inode === undefined) continue;
        this.#entry(directory.ino, inode, directory.nameAt(position));
        if (inode instanceof DirectoryInode) pending.push(inode);
        if (!(inode instanceof FileInode) || described.has(inode)) continue;
        described.add(inode);
        if (inode.content !== NO_CONTENT) this.#describe(inode);
      }
    }
    Atomics.store(first, 1, 1);
  }

  /** Records the content of a file: chunks of its input, which come first, and others. */
  #describe({ ino, content }: FileInode): void {
    const [first] = content.chunks;
    const input = first === undefined ? -1 : this.#inputs.get(first.buffer) ?? -1;
    const memory = (content.memory ??= this.#memoryOf(ino, content)) as FileMemory;
    this.#record(TREE_RECORD.CONTENT, ino, memory.cell, input);
    let isInput = input >= 0;
    content.chunks.forEach((chunk, index) => {
      if (isInput && chunk?.buffer === first!.buffer) return;
      if (isInput) this.cut(ino, index);
      isInput = false;
      if (chunk !== undefined) this.place(ino, index, chunk);
    });
    if (isInput) this.cut(ino, content.chunks.length);
  }
}

/** Memory of one file. */
class FileMemory implements ContentMemory {
  readonly cell: number;
  readonly #tree: SharedTree;
  readonly #ino: number;
  readonly #cells: Float64Array;

  constructor(
    tree: SharedTree,
    { ino, cell, cells }: { ino: number; cell: number; cells: Float64Array },
  ) {
    this.cell = cell;
    this.#tree = tree;
    this.#ino = ino;
    this.#cells = cells;
  }

  allocate(bytes: number): Uint8Array {
    return this.#tree.allocate(bytes);
  }

  place(index: number, chunk: Uint8Array): void {
    this.#tree.place(this.#ino, index, chunk);
  }

  free(chunk: Uint8Array): void {
    this.#tree.free(chunk);
  }

  cut(left: number, removed: readonly (Uint8Array | undefined)[]): void {
    this.#tree.cut(this.#ino, left);
    for (const chunk of removed) if (chunk !== undefined) this.#tree.free(chunk);
  }

  resize(size: number): void {
    this.#cells[this.cell % BLOCK_CELLS] = size;
  }

  release(content: FileContent): void {
    for (const chunk of content.chunks) if (chunk !== undefined) this.#tree.free(chunk);
    this.#tree.freeCell(this.cell);
  }
}
