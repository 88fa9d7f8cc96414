/**
 * Parses `--output GUEST[:HOST]` and `--dir HOST[:GUEST]`, and checks the places on this machine before the job runs.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { ParsedArgs } from "../command.ts";
import { fileErrorReason } from "../host_files.ts";

/** Where an output of the job is written. */
export interface OutputTarget {
  /** Guest path as in the manifest; that of a directory ends in a slash. */
  guest: string;
  /** Path on this machine without a slash at its end; `-` is standard output. */
  host: string;
  /** Whether existing files may be replaced. */
  force: boolean;
  /** Whether the directory is an input too: what the job did not change is not written. */
  isShared: boolean;
  /** All outputs of a manifest, which are written below one directory by their paths. @default {guest only} */
  all?: readonly string[] | undefined;
}

/** Returns the outputs that a target receives. */
export function outputsOf({ guest, all }: OutputTarget): readonly string[] {
  return all ?? [guest];
}

/** A target that receives all outputs of a manifest. */
export function directoryTarget(
  host: string,
  { outputs, force }: { outputs: readonly string[]; force: boolean },
): OutputTarget {
  const path = host.replace(/\/+$/, "") || "/";
  return { guest: "./", host: path, force, isShared: false, all: outputs };
}

/** Parses the options, and adds outputs that only the manifest names under their base names. */
export function outputTargets(
  args: ParsedArgs,
  named: readonly string[] = [],
): OutputTarget[] {
  const force = args.flag("force");
  const json = args.flag("json");
  const targets = args.strings("output").map((spec): OutputTarget => {
    const colon = spec.indexOf(":");
    return colon < 0
      ? outputTarget(spec, { force, json })
      : outputTarget(spec.slice(0, colon), { host: spec.slice(colon + 1), force, json });
  });
  for (const { host, guest } of args.strings("dir").map(parseDir)) {
    targets.push({ guest: directoryOutput(guest), host, force, isShared: true });
  }
  for (const guest of named) {
    if (targets.some((target) => target.guest === guest)) continue;
    const spec = `${guest} of the manifest`;
    targets.push({
      guest,
      host: hostPath(guest, { host: undefined, spec }),
      force,
      isShared: false,
    });
  }
  return targets;
}

/** Options of {@linkcode outputTarget}. */
export interface OutputTargetOptions {
  /** Path on this machine; a directory ends in a slash. @default {the last name of the guest path} */
  host?: string | undefined;
  /** Whether existing files may be replaced. */
  force: boolean;
  /** Whether standard output has JSON. @default {false} */
  json?: boolean | undefined;
}

/**
 * Completes an output of the guest path that a user has typed.
 *
 * @throws {PlasmError} `usage`
 */
export function outputTarget(
  text: string,
  { host, force, json }: OutputTargetOptions,
): OutputTarget {
  const spec = host === undefined ? text : `${text}:${host}`;
  const guest = guestOutput(text, spec);
  return { guest, host: hostPath(guest, { host, spec, json }), force, isShared: false };
}

/** A directory of `--dir`. */
export interface SharedDirectory {
  /** Path on this machine. */
  host: string;
  /** Guest path without a slash at its end. */
  guest: string;
}

/**
 * Parses `HOST[:GUEST]`. The guest path is the host path as typed, as users of other runtimes expect.
 *
 * @throws {PlasmError} `usage`
 */
export function parseDir(spec: string): SharedDirectory {
  const colon = spec.lastIndexOf(":");
  // Other runtimes separate them by two colons.
  const host = colon < 0 ? spec : spec.slice(0, colon).replace(/:$/, "");
  const guest = normalize(colon < 0 ? spec : spec.slice(colon + 1));
  if (host === "" || (colon >= 0 && spec.endsWith(":"))) {
    throw usage(`Cannot use --dir ${escapeText(spec)}: it is not HOST[:GUEST]`);
  }
  if (guest.split("/").includes("..")) {
    throw usage(
      `Cannot use --dir ${escapeText(spec)}: the job cannot see a path with ".."`,
      "Name the path that the job sees: --dir HOST:GUEST",
    );
  }
  return { host: host.length > 1 ? host.replace(/\/+$/, "") || "/" : host, guest };
}

/** Removes slashes at the end and a leading "./". */
function normalize(text: string): string {
  const path = text.replace(/\/+$/, "").replace(/^(?:\.\/+)+/, "");
  return path === "" ? (text.startsWith(".") ? "." : "/") : path;
}

function directoryOutput(guest: string): string {
  return guest === "/" ? guest : `${guest}/`;
}

function guestOutput(text: string, spec: string): string {
  if (text === "") throw usage(`Cannot use --output ${escapeText(spec)}: it is not GUEST[:HOST]`);
  const path = normalize(text);
  return text.endsWith("/") || path === "." ? directoryOutput(path) : path;
}

function hostPath(
  guest: string,
  { host, spec, json = false }: {
    host: string | undefined;
    spec: string;
    json?: boolean | undefined;
  },
): string {
  const isDirectory = guest.endsWith("/");
  const base = guest.replace(/\/$/, "").split("/").at(-1)!;
  if (host === undefined) {
    if (base === "" || base === ".") {
      throw usage(
        `Cannot use output ${escapeText(spec)}: the root has no name`,
        `Name a directory: --output ${guest}:HOST`,
      );
    }
    return base;
  }
  if (host === "") throw usage(`Cannot use --output ${escapeText(spec)}: it is not GUEST[:HOST]`);
  if (host === "-" && isDirectory) {
    throw usage(`Cannot write directory ${escapeText(guest)} to standard output`);
  }
  if (host === "-" && json) {
    throw usage(
      `Cannot write output ${escapeText(guest)} to standard output with --json`,
      "Write it to a file: --output GUEST:HOST",
    );
  }
  if (!host.endsWith("/")) return host;
  const parent = host.replace(/\/+$/, "");
  return isDirectory ? parent || "/" : `${parent}/${base}`;
}

/**
 * Checks that the outputs can be written, before a job that may run for hours.
 *
 * @throws {PlasmError} `usage` if a parent is missing, a target exists and `--force` is not given, or two targets are
 * the same
 */
export async function checkOutputTargets(targets: readonly OutputTarget[]): Promise<void> {
  const hosts = new Set<string>();
  for (const target of targets) {
    const { guest, host } = target;
    if (host === "-") continue;
    if (hosts.has(host)) throw usage(`Cannot write two outputs to ${escapeText(host)}`);
    hosts.add(host);
    try {
      await checkOutputTarget(target);
    } catch (error) {
      if (error instanceof PlasmError) throw error;
      throw usage(
        `Cannot write output ${escapeText(guest)}: ${fileErrorReason(error)}: ${escapeText(host)}`,
      );
    }
  }
}

async function checkOutputTarget({ guest, host, force, isShared }: OutputTarget): Promise<void> {
  const fail = (why: string, hint?: string): never => {
    throw usage(
      `Cannot write output ${escapeText(guest)}: ${why}: ${escapeText(host)}`,
      hint,
    );
  };
  const slash = host.lastIndexOf("/");
  const parent = slash < 0 ? "." : host.slice(0, slash) || "/";
  const above = await infoOf(parent, Deno.stat);
  if (above === undefined) {
    fail("the directory that it belongs to does not exist", `Create it: mkdir -p ${parent}`);
  }
  if (!above!.isDirectory) fail("its parent is not a directory");
  const isDirectory = guest.endsWith("/");
  // The last name of a file is replaced, also if it is a link; a directory is used where it is.
  const info = await infoOf(host, isDirectory ? Deno.stat : Deno.lstat);
  if (info === undefined && isDirectory && await infoOf(host, Deno.lstat) !== undefined) {
    fail("it is a symbolic link to nothing");
  }
  if (info === undefined) return;
  if (isDirectory) {
    if (!info.isDirectory) fail("it exists and is not a directory");
    if (force || isShared) return;
    for await (const _ of Deno.readDir(host)) {
      fail("the directory exists and is not empty", "Add --force to replace files in it");
    }
  } else {
    if (info.isDirectory) fail("it is a directory", `Use ${host}/ to write into it`);
    if (!info.isFile && !info.isSymlink) fail("it is neither a file nor a directory");
    if (!force) fail("the file exists", "Add --force to replace it");
  }
}

async function infoOf(
  path: string,
  read: (path: string) => Promise<Deno.FileInfo>,
): Promise<Deno.FileInfo | undefined> {
  try {
    return await read(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function usage(message: string, hint?: string): PlasmError {
  return new PlasmError("usage", message, hint === undefined ? {} : { hint });
}
