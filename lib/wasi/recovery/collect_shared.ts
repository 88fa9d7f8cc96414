/**
 * Reads a file tree that another thread records in shared memory, and collects its output files.
 *
 * @module
 */
import { TMP } from "../fs/built_ins.ts";
import { FileContent } from "../fs/file_content.ts";
import { DirectoryInode, FileInode, FILETYPE, type Inode, SymlinkInode } from "../fs/inode.ts";
import type { FileInput } from "../fs/inputs.ts";
import {
  type CollectOutputsOptions,
  findOutputs,
  type FoundOutputs,
  type OutputTree,
} from "../fs/outputs.ts";
import { BLOCK_CELLS, LOG_START, type SharedTreePart, TREE_RECORD } from "../fs/shared_tree.ts";

/** Options of {@linkcode collectShared}. */
export interface SharedOutputs extends Omit<CollectOutputsOptions, "write"> {
  /** The inputs of the job; their content is in shared memory. */
  inputs: readonly FileInput[];
}

/** Inode number of the root. */
const ROOT_INO = 1;

/** Inode number of a directory /tmp in which the guest has created nothing. */
const UNUSED_INO = 0;

/**
 * Collects the output files of the tree that these parts describe.
 *
 * @returns `undefined` if the guest has not begun
 */
export function collectShared(
  parts: readonly SharedTreePart[],
  { inputs, ...options }: SharedOutputs,
): FoundOutputs | undefined {
  const complete = parts.findLast(({ kind, memory }) =>
    kind === "log" && Atomics.load(new Int32Array(memory), 1) === 1
  );
  if (complete === undefined) return undefined;
  const reader = new TreeReader(parts, inputs);
  for (const { kind, generation, memory } of parts) {
    if (kind !== "log" || generation !== complete.generation) continue;
    reader.read(new Int32Array(memory as unknown as ArrayBuffer));
  }
  return findOutputs(reader.tree(), options);
}

/** Content of a file. */
interface ReadContent {
  chunks: (Uint8Array | undefined)[];
  /** Reads the size in bytes. */
  size: () => number;
}

/** Builds a tree from records. */
class TreeReader {
  readonly #root = new DirectoryInode(ROOT_INO, 0n, undefined);
  readonly #inodes = new Map<number, Inode>([[ROOT_INO, this.#root]]);
  readonly #contents = new Map<FileInode, ReadContent>();
  readonly #changed = new Set<Inode>();
  readonly #cells: Float64Array[];
  readonly #arenas: SharedArrayBuffer[];
  readonly #inputs: readonly FileInput[];
  #lastInput = 0;
  #log = new Int32Array(0);
  #at = 0;

  constructor(parts: readonly SharedTreePart[], inputs: readonly FileInput[]) {
    const memories = (kind: SharedTreePart["kind"]): SharedArrayBuffer[] =>
      parts.filter((part) => part.kind === kind).map(({ memory }) => memory);
    this.#cells = memories("cells").map((memory) => new Float64Array(memory));
    this.#arenas = memories("arena");
    this.#inputs = inputs;
    this.#setTmp(new DirectoryInode(UNUSED_INO, 0n, this.#root));
  }

  /** The tree. Of the inputs, files that the job has overwritten without another size do not count as changed. */
  tree(): OutputTree {
    for (const [file, { chunks, size }] of this.#contents) {
      file.content = FileContent.of(chunks, size());
    }
    return {
      root: this.#root,
      wasFull: false, // reported for guests that exit
      isChanged: (inode) => inode.ino > this.#lastInput || this.#changed.has(inode),
    };
  }

  /** Applies the records of a block. */
  read(log: Int32Array<ArrayBuffer>): void {
    this.#log = log;
    this.#at = LOG_START;
    for (const end = Atomics.load(log, 0); this.#at < end;) this.#apply(this.#next());
  }

  #apply(kind: number): void {
    switch (kind) {
      case TREE_RECORD.ENTRY: {
        const parent = this.#directory(this.#next());
        const inode = this.#inode(this.#next(), this.#next());
        return parent.set(this.#nextName(), inode);
      }
      case TREE_RECORD.REMOVAL:
        return this.#directory(this.#next()).delete(this.#nextName());
      case TREE_RECORD.CONTENT: {
        const file = this.#file(this.#next());
        const cell = this.#next();
        const cells = this.#cells[Math.floor(cell / BLOCK_CELLS)]!;
        const size = () => cells[cell % BLOCK_CELLS]!;
        const data = this.#inputs[this.#next()]?.data;
        if (size() !== data?.length) this.#changed.add(file);
        const chunks = data === undefined ? [] : [...FileContent.from(data).chunks];
        this.#contents.set(file, { chunks, size });
        return;
      }
      case TREE_RECORD.CHUNK: {
        const file = this.#file(this.#next());
        const index = this.#next();
        const memory = this.#arenas[this.#next()] as unknown as ArrayBuffer;
        this.#contents.get(file)!.chunks[index] = new Uint8Array(
          memory,
          this.#next(),
          this.#next(),
        );
        this.#changed.add(file);
        return;
      }
      case TREE_RECORD.CUT:
        this.#contents.get(this.#file(this.#next()))!.chunks.length = this.#next();
        return;
      case TREE_RECORD.INPUTS:
        this.#lastInput = this.#next();
        return;
      case TREE_RECORD.TMP:
        return this.#setTmp(this.#directory(this.#next()));
    }
  }

  #setTmp(tmp: DirectoryInode): void {
    this.#root.fallback = (name) => name === TMP ? tmp : undefined;
  }

  #next(): number {
    return this.#log[this.#at++]!;
  }

  #nextName(): string {
    const length = this.#next();
    const codes: number[] = [];
    for (let left = length; left > 0; left -= 2) {
      const word = this.#next();
      codes.push(word & 0xffff);
      if (left > 1) codes.push(word >>> 16);
    }
    return String.fromCharCode(...codes);
  }

  #inode(ino: number, type: number): Inode {
    if (type === FILETYPE.DIRECTORY) return this.#directory(ino);
    if (type === FILETYPE.REGULAR_FILE) return this.#file(ino);
    return this.#known(ino, () => new SymlinkInode(ino, 0n, ""));
  }

  #directory(ino: number): DirectoryInode {
    return this.#known(ino, () => new DirectoryInode(ino, 0n, this.#root)) as DirectoryInode;
  }

  #file(ino: number): FileInode {
    return this.#known(ino, () => new FileInode(ino, 0n)) as FileInode;
  }

  #known(ino: number, create: () => Inode): Inode {
    const known = this.#inodes.get(ino);
    if (known !== undefined) return known;
    const inode = create();
    this.#inodes.set(ino, inode);
    return inode;
  }
}
