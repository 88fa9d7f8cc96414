/**
 * Reads the job of a command line: module, manifest, options and input files.
 *
 * @module
 */
import {
  configPaths,
  createManifest,
  type Hash,
  type JobInputs,
  type Manifest,
  MAX_MANIFEST_BYTES,
  parseManifestFile,
  type Resources,
} from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { type Ceilings, checkModule, DEFAULT_CEILINGS, hashInputs } from "../../sandbox/mod.ts";
import { abortable } from "../../util/async/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { ParsedArgs } from "../command.ts";
import {
  checkOutputTargets,
  type OutputTarget,
  outputTargets,
  parseDir,
  type SharedDirectory,
} from "../output_files/mod.ts";
import { checkTarget, fileErrorReason, readCappedFile } from "../host_files.ts";
import { type CliIo, commandInterrupted } from "../io.ts";
import { readModule } from "../module_source.ts";

/** Maximum number of input files and empty directories: a manifest cannot name more. */
const MAX_INPUT_FILES = 16_384;

/** Maximum number of input directories read: links can repeat a directory many times. */
const MAX_INPUT_DIRECTORIES = 16_384;

/** Options of {@linkcode readJob}. */
export interface ReadJobOptions {
  /** Whether this command writes the outputs: if so, their paths are checked now. @default {true} */
  writesOutputs?: boolean;
}

/** A job without its standard input. */
export interface ExecJob {
  module: Uint8Array;
  moduleHash: Hash;
  manifest: Manifest;
  inputs: JobInputs;
  ceilings: Ceilings;
  /** Where the job's output files are written. */
  targets: OutputTarget[];
}

/**
 * Reads a job that runs on another node or in the daemon, and refuses the module that a local run refuses.
 *
 * @throws {PlasmError} as {@linkcode readJob}
 */
export async function readCheckedJob(
  args: ParsedArgs,
  io: CliIo,
  options: ReadJobOptions = {},
): Promise<ExecJob> {
  const job = await readJob(args, io, options);
  await checkModule(job.module, job.manifest);
  return job;
}

/**
 * Reads the job of `plasm exec`, after checking the paths of receipt and bundle.
 *
 * @throws {PlasmError} as `readExecJob`; `usage` if receipt or bundle cannot be written; `interrupted`
 */
export async function readJob(
  args: ParsedArgs,
  io: CliIo,
  options: ReadJobOptions = {},
): Promise<ExecJob> {
  for (const kind of ["receipt", "bundle"] as const) {
    const path = args.string(kind);
    if (path !== undefined) await checkTarget(path, kind);
  }
  // A read from a pipe without a writer or from a file system that hangs cannot be cancelled.
  return await abortable(readExecJob(args, { ...options, io }), {
    signal: io.signal,
    error: commandInterrupted,
  });
}

/**
 * Reads module, manifest and inputs. Options override the manifest file.
 *
 * @throws {PlasmError} `bad-module`, `bad-manifest`, `bad-input` or `usage`
 */
async function readExecJob(
  args: ParsedArgs,
  { io, writesOutputs = true }: ReadJobOptions & { io: CliIo },
): Promise<ExecJob> {
  const { module, moduleHash, manifest: base } = await readJobBase(args, io);
  // readModule() has applied the limit of the configuration.
  const module_bytes = Math.max(DEFAULT_CEILINGS.module_bytes, module.length);
  const hasFiles = ["dir", "input", "output"].some((name) => args.strings(name).length > 0) ||
    base.outputs !== undefined;
  const ceilings = {
    ...DEFAULT_CEILINGS,
    module_bytes,
    ...(hasFiles ? await fileCeilings(io) : {}),
  };
  const { inputs, times } = await readHostInputs({
    dirs: args.strings("dir").map(parseDir),
    inputs: args.strings("input").map(parseInput),
  }, ceilings.fs_bytes);
  const targets = outputTargets(args, base.outputs);
  if (writesOutputs) await checkOutputTargets(targets);
  const outputs = [...new Set([...base.outputs ?? [], ...targets.map(({ guest }) => guest)])];
  // Inputs named by the manifest file are compared with the files read; otherwise the manifest names those files.
  const named = base.inputs ?? (Object.keys(inputs).length > 0 && await hashInputs(inputs));
  // In the deterministic profile the job must not depend on when files were copied to this machine.
  const hasTimes = base.inputs === undefined && named && base.profile !== "deterministic";
  const manifest = createNamedManifest(args, {
    ...base,
    args: [...(args.rest ?? base.args)],
    env: { ...base.env, ...envOf(args) },
    ...(named ? { inputs: named } : {}),
    ...(hasTimes ? { input_times: times } : {}),
    ...(outputs.length > 0 ? { outputs } : {}),
  });
  return { module, moduleHash, manifest, inputs, ceilings, targets };
}

/** Settings that limit files. */
const FILE_SETTINGS = ["fs_bytes", "output_files_bytes"] as const;

/** Limits on files: the defaults, or more if the user's configuration says so. */
async function fileCeilings(io: CliIo): Promise<Pick<Ceilings, typeof FILE_SETTINGS[number]>> {
  const { fs_bytes, output_files_bytes } = DEFAULT_CEILINGS;
  const env = (name: string) => io.env(name);
  const names = ["CONFIG", ...FILE_SETTINGS.map((key) => `JOBS_CEILINGS_${key.toUpperCase()}`)];
  const isSet = names.some((name) => env(`PLASM_${name}`) !== undefined);
  const [, userFile] = configPaths(env);
  // Loading the configuration would delay every start.
  if (!isSet && (userFile === undefined || !await exists(userFile))) {
    return { fs_bytes, output_files_bytes };
  }
  const { loadConfig } = await import("../../config/mod.ts");
  const { config: { jobs: { ceilings } } } = await loadConfig({ env, system: false });
  return {
    fs_bytes: Math.max(fs_bytes, ceilings.fs_bytes),
    output_files_bytes: Math.max(output_files_bytes, ceilings.output_files_bytes),
  };
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Module of a job, and its manifest without what options add that name files, arguments and variables. */
export interface JobBase {
  module: Uint8Array;
  moduleHash: Hash;
  manifest: Manifest;
}

/**
 * Reads module and manifest file, and applies the options that set limits, name and profile.
 *
 * @throws {PlasmError} `bad-module`, `bad-manifest` or `usage`
 */
export async function readJobBase(args: ParsedArgs, io: CliIo): Promise<JobBase> {
  const { module, moduleHash, name } = await readModule(args, { io });
  const manifestPath = args.string("manifest");
  const base = manifestPath === undefined
    ? createManifest({ module_hash: moduleHash })
    : parseManifestFile(
      await readCappedFile(manifestPath, {
        maxBytes: MAX_MANIFEST_BYTES,
        code: "bad-manifest",
        what: "manifest",
      }),
      { moduleHash },
    );
  // A manifest file alone must reproduce the manifest, for plasm verify --manifest.
  const ownName = manifestPath === undefined ? name : base.argv0;
  const manifest = createNamedManifest(args, {
    ...base,
    resources: { ...base.resources, ...resourcesOf(args) },
    argv0: args.string("argv0") ?? ownName,
    invoke: args.string("invoke") ?? base.invoke,
    ...profileOf(args, base),
  });
  return { module, moduleHash, manifest };
}

/** Fields of a manifest, and the option that sets each. */
const FIELD_OPTIONS: readonly [field: string, option: string][] = [
  ["resources.memory_mb", "memory-mb"],
  ["resources.timeout_seconds", "timeout"],
  ["resources.cpu_seconds", "cpu-seconds"],
  ["resources.fuel", "fuel"],
  ["epoch_ms", "epoch-ms"],
  ["argv0", "argv0"],
  ["invoke", "invoke"],
  ["env", "env"],
  ["inputs", "input"],
  ["outputs", "output"],
];

/**
 * Creates a manifest; its error names the option that was typed instead of the field.
 *
 * @throws {PlasmError} `bad-manifest`
 */
function createNamedManifest(
  args: ParsedArgs,
  fields: Parameters<typeof createManifest>[0],
): Manifest {
  try {
    return createManifest(fields);
  } catch (error) {
    if (!(error instanceof PlasmError)) throw error;
    const { message, hint, details } = error;
    const place = String(details["field"]);
    const [field, option] = FIELD_OPTIONS.find(([name, option]) =>
      args.flag(option) && place.startsWith(name)
    ) ?? [];
    if (field === undefined) throw error;
    const text = message.replace("Cannot accept manifest", "Cannot accept job")
      .replace(place, place.replace(field, `--${option}`).replace(/\[\d+\]$/, ""));
    throw new PlasmError(error.code, text, { hint, details, cause: error });
  }
}

/** Fields of the deterministic profile that the options set. */
function profileOf(
  args: ParsedArgs,
  base: Manifest,
): Pick<Manifest, "profile" | "seed" | "epoch_ms"> {
  const isDeterministic = args.flag("deterministic") || base.profile === "deterministic";
  const [lone] = ["seed", "epoch-ms"].filter((name) => args.flag(name));
  if (lone !== undefined && !isDeterministic) {
    throw new PlasmError("usage", `Cannot use --${lone} without --deterministic`);
  }
  const seed = args.string("seed");
  const epoch_ms = args.integer("epoch-ms");
  return {
    ...(args.flag("deterministic") ? { profile: "deterministic" } : {}),
    ...(seed === undefined ? {} : { seed }),
    ...(epoch_ms === undefined ? {} : { epoch_ms }),
  };
}

function resourcesOf(args: ParsedArgs): Partial<Resources> {
  const memory_mb = args.integer("memory-mb");
  const timeout_seconds = args.integer("timeout");
  const cpu_seconds = args.integer("cpu-seconds");
  const fuel = args.integer("fuel");
  return {
    ...(memory_mb === undefined ? {} : { memory_mb }),
    ...(timeout_seconds === undefined ? {} : { timeout_seconds }),
    ...(cpu_seconds === undefined ? {} : { cpu_seconds }),
    ...(fuel === undefined ? {} : { fuel }),
  };
}

/** Variables of `--env`. @throws {PlasmError} `usage` */
export function envOf(args: ParsedArgs, option: string = "env"): Record<string, string> {
  return Object.fromEntries(
    args.strings(option).map((pair) => {
      const at = pair.indexOf("=");
      if (at < 1) {
        throw new PlasmError("usage", `Cannot use --${option} ${escapeText(pair)}: it is not K=V`);
      }
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** File or directory of `--input`. */
export interface InputFile {
  /** Path on this machine. */
  host: string;
  /** Path in the job's file system. @default {the last name of the host path} */
  guest: string | undefined;
}

/** Parses `HOST[:GUEST]`. @throws {PlasmError} `usage` */
export function parseInput(spec: string): InputFile {
  const colon = spec.lastIndexOf(":");
  const host = colon < 0 ? spec : spec.slice(0, colon);
  const guest = colon < 0 ? undefined : spec.slice(colon + 1);
  if (host === "" || guest === "" || (guest === undefined && baseName(host) === "")) {
    throw new PlasmError(
      "usage",
      `Cannot use --input ${escapeText(spec)}: it is not HOST[:GUEST]`,
    );
  }
  return { host, guest };
}

/** What {@linkcode readHostInputs} reads. */
export interface HostFiles {
  /** Directories of `--dir`. */
  dirs: readonly SharedDirectory[];
  /** Files and directories of `--input`. */
  inputs: readonly InputFile[];
}

/**
 * Reads the files of `--input` and `--dir`, by guest path. A directory adds an entry that ends in "/", which
 * becomes a preopen, and one entry for each file and each empty directory below it. Times include those of directories
 * above files.
 *
 * @throws {PlasmError} `bad-input` if something cannot be read, or is neither file nor directory; `over-limit`
 */
export async function readHostInputs(files: HostFiles, maxBytes: number): Promise<HostInputs> {
  // Maps, because a file may be named __proto__.
  const found = new Map<string, Uint8Array>();
  const times = new Map<string, number>();
  const budget = { maxBytes, bytes: maxBytes, files: MAX_INPUT_FILES, directories: 0 };
  const addTime = (guest: string, { mtime }: Deno.FileInfo) => {
    if (mtime !== null) times.set(guest, Math.max(0, mtime.getTime()));
  };
  const add = (guest: string, data: Uint8Array, info: Deno.FileInfo) => {
    if (found.has(guest)) refuseInput("Cannot use two inputs with one guest path", guest);
    if (budget.files-- === 0) {
      throw overLimit(`Cannot use more than ${MAX_INPUT_FILES} input files`);
    }
    found.set(guest, data);
    addTime(guest, info);
  };
  for (const { host, guest } of files.dirs) {
    await copyInput(host, guest, { budget, add, addTime, mustBeDirectory: true });
  }
  for (const { host, guest = baseName(host) } of files.inputs) {
    await copyInput(host, guestPath(guest), { budget, add, addTime });
  }
  return { inputs: Object.fromEntries(found), times: Object.fromEntries(times) };
}

/** Inputs by guest path. */
export interface HostInputs {
  /** Content; empty for directories. */
  inputs: Record<string, Uint8Array>;
  /** Modification times, in milliseconds of Unix time. */
  times: Record<string, number>;
}

/** Paths of the root as the job's working directory, and as an absolute path. */
const ROOTS: readonly string[] = [".", "/"];

/** Normalizes the guest path of an option: without a slash at its end and a leading "./". */
function guestPath(text: string): string {
  const path = text.replace(/\/+$/, "").replace(/^(?:\.\/+)+/, "");
  return path === "" ? "/" : path;
}

/** Guest path of a file in a directory. */
function below(guest: string, name: string): string {
  return guest === "." ? name : guest === "/" ? `/${name}` : `${guest}/${name}`;
}

/** Guest path of a directory, which ends in a slash. */
function directoryPath(guest: string): string {
  return guest === "/" ? guest : `${guest}/`;
}

interface CopyContext {
  /** What is left of the limits. */
  budget: { bytes: number; maxBytes: number; files: number; directories: number };
  add: (guest: string, data: Uint8Array, info: Deno.FileInfo) => void;
  addTime: (guest: string, info: Deno.FileInfo) => void;
  /** Whether to refuse a file. @default {false} */
  mustBeDirectory?: boolean;
}

async function copyInput(host: string, guest: string, context: CopyContext): Promise<void> {
  const real = await orInputError(host, () => Deno.realPath(host));
  const info = await orInputError(host, () => Deno.stat(real));
  if (info.isDirectory) {
    context.add(directoryPath(guest), new Uint8Array(), info);
    await copyTree(real, guest, { ...context, within: [real] });
  } else if (context.mustBeDirectory) {
    refuseInput("Cannot share with the job: it is not a directory", host);
  } else if (ROOTS.includes(guest)) {
    refuseInput(`Cannot use input as ${guest}: it is not a directory`, host);
  } else await copyFile(real, guest, { ...context, info });
}

async function copyTree(
  host: string,
  guest: string,
  context: CopyContext & { within: readonly string[] },
): Promise<void> {
  const { budget, within } = context;
  if (++budget.directories > MAX_INPUT_DIRECTORIES) {
    throw overLimit(`Cannot use more than ${MAX_INPUT_DIRECTORIES} input directories`);
  }
  const entries = await orInputError(host, () => Array.fromAsync(Deno.readDir(host)));
  // The manifest's hash must not depend on the order of the file system.
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  for (const { name } of entries) {
    const path = `${host}/${name}`;
    const real = await orInputError(path, () => Deno.realPath(path));
    if (real !== path && !real.startsWith(`${within[0]}/`) && real !== within[0]) {
      refuseInput("Cannot use input directory: a link leads out of it", path);
    }
    if (within.includes(real)) {
      refuseInput("Cannot use input directory: a link leads back up", path);
    }
    const info = await orInputError(path, () => Deno.stat(real));
    if (info.isDirectory) {
      const files = budget.files;
      await copyTree(real, below(guest, name), { ...context, within: [...within, real] });
      const path = `${below(guest, name)}/`;
      // A manifest names a directory only if nothing in it implies it.
      if (budget.files < files) context.addTime(path, info);
      else context.add(path, new Uint8Array(), info);
    } else await copyFile(real, below(guest, name), { ...context, info });
  }
}

async function copyFile(
  host: string,
  guest: string,
  { budget, add, info }: CopyContext & { info: Deno.FileInfo },
): Promise<void> {
  if (!info.isFile) refuseInput("Cannot use input: it is neither a file nor a directory", host);
  const data = await readCappedFile(host, {
    maxBytes: budget.bytes,
    code: "bad-input",
    what: "input",
    tooLarge: () =>
      overLimit(
        `Cannot use inputs: they exceed the job's file system of ${budget.maxBytes} bytes: ${
          escapeText(host)
        }`,
      ),
  });
  budget.bytes -= data.length;
  add(guest, data, info);
}

function overLimit(message: string): PlasmError {
  return new PlasmError("over-limit", message, {
    hint: "Pass one large input on standard input, or split the job with plasm map",
  });
}

function refuseInput(message: string, path?: string): never {
  throw new PlasmError(
    "bad-input",
    path === undefined ? message : `${message}: ${escapeText(path)}`,
  );
}

async function orInputError<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const reason = fileErrorReason(cause);
    throw new PlasmError("bad-input", `Cannot read input: ${reason}: ${escapeText(path)}`, {
      cause,
    });
  }
}

function baseName(path: string): string {
  return path.replace(/\/+$/, "").split("/").at(-1) ?? "";
}
