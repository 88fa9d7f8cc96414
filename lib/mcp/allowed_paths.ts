/**
 * Reads the modules and inputs that an agent names, from the directories that the command line names.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { escapeText } from "../util/mod.ts";

/** Maximum number of files and directories below one input. */
const MAX_ENTRIES = 16_384;

/** Content of an input directory or file by guest path. */
export type AgentFiles = Record<string, Uint8Array>;

/** Options of {@linkcode AllowedPaths.readInput}. */
export interface ReadInputOptions {
  /** Path in the job's file system; that of a directory has no slash at its end. */
  guest: string;
  /** Most bytes of all files together. */
  maxBytes: number;
}

/** Directories that may be read, with everything that links inside them lead to as long as it is inside too. */
export class AllowedPaths {
  readonly #dirs: readonly string[];

  /** @param dirs Real paths, absolute and without links. */
  private constructor(dirs: readonly string[]) {
    this.#dirs = dirs;
  }

  /**
   * Resolves the directories.
   *
   * @throws {PlasmError} `usage` if one does not exist or is no directory
   */
  static async of(dirs: readonly string[]): Promise<AllowedPaths> {
    return new AllowedPaths(
      await Promise.all(dirs.map(async (dir) => {
        const info = await Deno.stat(dir).catch(() => undefined);
        if (info?.isDirectory !== true) {
          throw new PlasmError("usage", `Cannot serve ${escapeText(dir)}: it is no directory`);
        }
        return await Deno.realPath(dir);
      })),
    );
  }

  /** The directories, for messages. */
  get dirs(): readonly string[] {
    return this.#dirs;
  }

  /**
   * Reads a file. A relative path is looked up in each directory.
   *
   * @throws {PlasmError} `policy` if it is outside, `not-found`, `too-large`, `bad-input` if it is no regular file
   */
  async readFile(path: string, { maxBytes }: { maxBytes: number }): Promise<Uint8Array> {
    return await readRegular(await this.#resolve(path), { path, maxBytes });
  }

  /**
   * Reads a file or a directory with everything in it, by guest path.
   *
   * @throws {PlasmError} as {@linkcode readFile}, and `too-large` for a directory of too many files
   */
  async readInput(path: string, { guest, maxBytes }: ReadInputOptions): Promise<AgentFiles> {
    const files: AgentFiles = {};
    const pending = [{ real: await this.#resolve(path), path, guest }];
    let [bytes, entries] = [0, 0];
    for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
      if (++entries > MAX_ENTRIES) {
        throw new PlasmError(
          "too-large",
          `Cannot read input: ${escapeText(path)} has more than ${MAX_ENTRIES} entries`,
        );
      }
      const { isDirectory } = await Deno.stat(next.real);
      if (!isDirectory) {
        const data = await readRegular(next.real, { path: next.path, maxBytes: maxBytes - bytes });
        bytes += data.length;
        files[next.guest] = data;
        continue;
      }
      files[`${next.guest}/`] = new Uint8Array();
      for await (const { name } of Deno.readDir(next.real)) {
        const child = `${next.path}/${name}`;
        pending.push({
          real: await this.#resolve(`${next.real}/${name}`),
          path: child,
          guest: `${next.guest}/${name}`,
        });
      }
    }
    return files;
  }

  async #resolve(path: string): Promise<string> {
    if (path.includes("\0")) throw new PlasmError("bad-input", "Cannot read a path with a NUL");
    const candidates = path.startsWith("/") ? [path] : this.#dirs.map((dir) => `${dir}/${path}`);
    for (const candidate of candidates) {
      const real = await Deno.realPath(candidate).catch(() => undefined);
      if (real !== undefined && this.#has(real)) return real;
    }
    // The same answer for what is missing and for what is outside: an agent cannot explore the file system.
    throw new PlasmError(
      "policy",
      `Cannot read ${escapeText(path)}: not found in a served directory`,
      {
        hint: this.#dirs.length === 0
          ? "Ask the user to start plasm mcp with --dir DIR"
          : `Name a file below ${this.#dirs.map((dir) => escapeText(dir)).join(" or ")}`,
        details: { dirs: [...this.#dirs] },
      },
    );
  }

  #has(real: string): boolean {
    return this.#dirs.some((dir) => dir === "/" || real === dir || real.startsWith(`${dir}/`));
  }
}

async function readRegular(
  real: string,
  { path, maxBytes }: { path: string; maxBytes: number },
): Promise<Uint8Array> {
  const { isFile, size } = await Deno.stat(real);
  if (!isFile) {
    throw new PlasmError("bad-input", `Cannot read ${escapeText(path)}: it is no regular file`);
  }
  const tooLarge = (bytes: number): PlasmError =>
    new PlasmError(
      "too-large",
      `Cannot read ${escapeText(path)}: it has ${bytes} bytes, ${maxBytes} are allowed`,
      { details: { bytes, allowed: maxBytes } },
    );
  if (size > maxBytes) throw tooLarge(size);
  const data = await Deno.readFile(real);
  if (data.length > maxBytes) throw tooLarge(data.length);
  return data;
}
