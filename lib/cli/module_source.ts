/**
 * Reads the module of a command line: from a file, standard input, a URL, a registry or the module cache.
 *
 * @module
 */
import type { DaemonClient } from "../client/mod.ts";
import { type Hash, sha256 } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { DEFAULT_CEILINGS } from "../sandbox/mod.ts";
import { fetchModule, type ModuleReference, parseReference, programName } from "../modules/mod.ts";
import { collect } from "../util/async/mod.ts";
import { escapeText } from "../util/mod.ts";
import type { OptionSpec, ParsedArgs } from "./command.ts";
import { createClient } from "./daemon_client.ts";
import { readCappedFile } from "./host_files.ts";
import type { CliIo } from "./io.ts";

/** `--offline` */
export const OFFLINE_OPTION: OptionSpec = {
  name: "offline",
  kind: "flag",
  help: "Take a module of a URL or a registry only from the cache",
};

/** Time after which a download shows its progress, in milliseconds. */
const QUIET_MS = 1000;

/** Moves to the start of the line and erases it (ECMA-48, EL). */
const CLEAR = "\r\x1b[K";

/** A module that has been read. */
export interface ModuleSource {
  module: Uint8Array;
  moduleHash: Hash;
  /** Name of the program, for argv[0]. @default {none} */
  name?: string | undefined;
}

/** Reports whether a command line names a module that may have to be downloaded. */
export function needsNetwork(args: ParsedArgs): boolean {
  try {
    return !args.flag("offline") &&
      ["url", "oci"].includes(parseReference(args.positionals[0] ?? "").kind);
  } catch {
    return false; // reported when it is read
  }
}

/** Setting that limits the size of a module. */
const SIZE_SETTING = "jobs.ceilings.module_bytes";

/** Most bytes of the module: the default, or more if the configuration says so. */
async function sizeLimit(reference: ModuleReference, io: CliIo): Promise<number> {
  const { module_bytes: usual } = DEFAULT_CEILINGS;
  if (reference.kind === "file") {
    const { size } = await Deno.stat(reference.path).catch(() => ({ size: 0 })); // reported when it is read
    if (size <= usual) return usual;
  }
  // Loaded only if it can matter: reading it would delay every start.
  const { loadConfig } = await import("../config/mod.ts");
  const { config } = await loadConfig({ env: (name) => io.env(name) });
  return Math.max(usual, config.jobs.ceilings.module_bytes);
}

function overLimit(size: string, maxBytes: number): PlasmError {
  return new PlasmError(
    "over-limit",
    `Cannot run module: it has ${size}, ${SIZE_SETTING} allows ${maxBytes}`,
    {
      hint: `Strip its debug information, or raise ${SIZE_SETTING} in the configuration`,
      details: { allowed: maxBytes },
    },
  );
}

/**
 * Reads the module that a reference names.
 *
 * @throws {PlasmError} `bad-module`, `usage`, `over-limit` if it is too large, or as `fetchModule`
 */
export async function readModule(
  args: ParsedArgs,
  { io }: { io: CliIo },
): Promise<ModuleSource> {
  const reference = parseReference(args.positionals[0]!);
  const name = programName(reference);
  const maxBytes = await sizeLimit(reference, io);
  const tooLarge = (size: string): PlasmError => overLimit(size, maxBytes);
  if (reference.kind !== "file" && reference.kind !== "stdin") {
    const progress = downloadProgress(io, { json: args.flag("json") });
    try {
      const { module, hash } = await fetchModule(args.positionals[0]!, {
        offline: args.flag("offline"),
        maxBytes,
        env: (name) => io.env(name),
        onProgress: progress.show,
        signal: io.signal,
      });
      return { module, moduleHash: hash, name };
    } catch (error) {
      const { code } = PlasmError.from(error);
      if (code === "too-large") throw tooLarge(`more than ${maxBytes} bytes`);
      const stored = reference.kind === "hash" && code === "not-found"
        ? await readFromDaemon(reference.digest, { args, maxBytes, io })
        : undefined;
      if (stored === undefined) throw error;
      return { module: stored, moduleHash: reference.digest!, name };
    } finally {
      await progress.clear();
    }
  }
  const module = reference.kind === "stdin"
    ? await readModuleFromStdin(io, maxBytes)
    : await readCappedFile(reference.path, {
      maxBytes,
      code: "bad-module",
      what: "module",
      tooLarge,
    });
  const text = textFormat(module);
  if (text !== undefined) throw textModule(reference, text);
  const build = reference.kind === "file" ? buildCommand(reference.path, module) : undefined;
  if (build !== undefined) throw build;
  const moduleHash = await sha256(module);
  if (reference.digest !== undefined && reference.digest !== moduleHash) {
    throw new PlasmError(
      "bad-module",
      `Cannot run module: it is pinned to ${reference.digest}, its content hashes to ${moduleHash}`,
      { details: { expected: reference.digest, actual: moduleHash } },
    );
  }
  return { module, moduleHash, name };
}

/** Reads a module that the daemon has stored; undefined if there is no daemon, or it does not have it. */
async function readFromDaemon(
  hash: Hash,
  { args, maxBytes, io }: { args: ParsedArgs; maxBytes: number; io: CliIo },
): Promise<Uint8Array | undefined> {
  let client: DaemonClient | undefined;
  try {
    client = await createClient(args, io);
    const module = await client.module(hash, { signal: io.signal });
    return module.length <= maxBytes && await sha256(module) === hash ? module : undefined;
  } catch (error) {
    if (io.signal.aborted) throw error;
    return undefined;
  } finally {
    client?.[Symbol.dispose]();
  }
}

async function readModuleFromStdin(io: CliIo, maxBytes: number): Promise<Uint8Array> {
  if (io.stdinIsTerminal) {
    throw new PlasmError("usage", "Cannot read module: standard input is a terminal", {
      hint: "Pipe a module into plasm, or name a file",
    });
  }
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const piping = io.stdin.pipeTo(writable, { signal: io.signal, preventCancel: true });
  piping.catch(() => {}); // the reader reports it
  const tooLarge = () => overLimit(`more than ${maxBytes} bytes`, maxBytes);
  return await collect(readable, { maxBytes, tooLarge });
}

/** What the text format of WebAssembly describes; undefined for other content. */
function textFormat(module: Uint8Array): "module" | "component" | undefined {
  const start = new TextDecoder("latin1").decode(module.subarray(0, 4096));
  const first = /^(?:\s|;;[^\n]*\n|\(;[^;]*;\))*\(\s*(module|component|func|import|memory)\b/.exec(
    start,
  );
  if (first === null) return undefined;
  return first[1] === "component" ? "component" : "module";
}

function textModule(reference: ModuleReference, format: "module" | "component"): PlasmError {
  const path = reference.kind === "file" ? escapeText(reference.path) : "module.wat";
  const tool = format === "component" ? "wasm-tools parse" : "wat2wasm";
  return new PlasmError("bad-module", "Cannot run module: it is WebAssembly text, not binary", {
    hint: `Convert it: ${tool} ${path} -o ${path.replace(/\.wa[st]$/, "")}.wasm`,
  });
}

/** Commands that make a module of source code, by the ending of its name. */
const BUILDS: Readonly<Record<string, (path: string, output: string) => string>> = {
  c: (path, output) => `clang --target=wasm32-wasi ${path} -o ${output}`,
  cc: (path, output) => `clang++ --target=wasm32-wasi ${path} -o ${output}`,
  cpp: (path, output) => `clang++ --target=wasm32-wasi ${path} -o ${output}`,
  rs: (path, output) => `rustc --target wasm32-wasip1 ${path} -o ${output}`,
  go: (path, output) => `GOOS=wasip1 GOARCH=wasm go build -o ${output} ${path}`,
  zig: (path) => `zig build-exe -target wasm32-wasi ${path}`,
  py: (path) => `plasm exec --input ${path} PYTHON.wasm -- ${path.replace(/.*\//, "")}`,
};

/** Error for source code, with the command that makes a module of it; undefined for other files. */
function buildCommand(file: string, content: Uint8Array): PlasmError | undefined {
  const path = escapeText(file);
  const [, stem, ending] = /^(.+)\.([a-z]+)$/.exec(path) ?? [];
  const command = ending !== undefined && Object.hasOwn(BUILDS, ending)
    ? BUILDS[ending]
    : undefined;
  // A module begins with a zero byte, whatever its name is.
  if (command === undefined || content.length === 0 || content.includes(0)) return undefined;
  const verb = ending === "py" ? "Run it with an interpreter" : "Build it";
  return new PlasmError("bad-module", "Cannot run module: it is source code", {
    hint: `${verb}: ${command(path, `${stem}.wasm`)}`,
  });
}

/** Progress of a download on a terminal, shown once it takes longer than a second. */
function downloadProgress(
  io: CliIo,
  { json }: { json: boolean },
): { show: (received: number, total: number | undefined) => void; clear: () => Promise<void> } {
  const start = performance.now();
  let shown = "";
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  return {
    show(received, total) {
      if (json || !io.stderrIsTerminal || performance.now() - start < QUIET_MS) return;
      const line = `downloading… ${megabytes(received)}${
        total === undefined ? "" : ` of ${megabytes(total)}`
      }`;
      if (line === shown) return;
      shown = line;
      void io.message(CLEAR + line);
    },
    async clear() {
      if (shown !== "") await io.message(CLEAR);
    },
  };
}
