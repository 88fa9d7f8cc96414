/**
 * Creates what a job runs on: its file system, clocks, random numbers and standard streams.
 *
 * @module
 */
import type { NondeterminismSource } from "../core/mod.ts";
import { ALL_FSTFLAGS, ERRNO, FSTFLAG } from "./abi.ts";
import { type Clocks, SystemClocks, type TimeSource } from "./clock.ts";
import { FileSystem, type FileSystemLimits } from "./fs/file_system.ts";
import { FileInode, type Inode, SymlinkInode, type Timestamp } from "./fs/inode.ts";
import { createInputs, type FileInput, type Preopen } from "./fs/inputs.ts";
import { SharedTree, type SharedTreePart } from "./fs/shared_tree.ts";
import { PathLookup } from "./fs/path_lookup.ts";
import { type RandomSource, SeededRandom, SYSTEM_RANDOM } from "./random.ts";
import { VirtualClocks } from "./virtual_clock.ts";
import { type HostException, type WasiHost, watchHost } from "./wasi_host.ts";
import { createWholeStdin } from "./whole_stdin.ts";

/** Limits of {@linkcode createWasi}. */
export interface WasiLimits extends FileSystemLimits {
  /** Most open descriptors, including streams and preopens. */
  openFds: number;
}

/** Options of {@linkcode createWasi}. */
export interface WasiOptions {
  /** Arguments, including argv[0]. */
  args: readonly string[];
  /** Environment variables. */
  env: Readonly<Record<string, string>>;
  /** Files and directories that exist when the job starts. */
  inputs: readonly FileInput[];
  /**
   * Whether to preopen the root "/" before the input directories.
   * @default {true}
   */
  preopenRoot?: boolean | undefined;
  /** Limits. */
  limits: WasiLimits;
  /** Host of the job. */
  host: WasiHost;
  /**
   * Makes everything that the guest can observe a function of module, arguments, environment, inputs, standard input
   * and these values.
   * @default {the default profile}
   */
  deterministic?: DeterministicOptions | undefined;
  /**
   * Source of time in the default profile.
   * @default {the system's clocks}
   */
  now?: TimeSource | undefined;
  /**
   * Called when the guest first uses a source of nondeterminism; never in the deterministic profile.
   * @default {none}
   */
  onNondeterminism?: ((source: NondeterminismSource) => void) | undefined;
  /**
   * Receives the memory in which the file tree is recorded for another thread. The content of the inputs must be in
   * shared memory.
   * @default {it is not recorded}
   */
  onSharedTree?: ((part: SharedTreePart) => void) | undefined;
}

/** What a deterministic job sees instead of the machine's time and random numbers. */
export interface DeterministicOptions {
  /** Seed of the random numbers, 32 bytes. */
  seed: Uint8Array;
  /** Unix time at the start of the job, in milliseconds. */
  epochMs: number;
}

/** What a job runs on. */
export interface JobSystem {
  /** File system. */
  readonly fs: FileSystem;
  /** Path resolver, reused for each path. */
  readonly lookup: PathLookup;
  /** Clocks. */
  readonly clocks: Clocks;
  /** Random bytes. */
  readonly random: RandomSource;
  /** Host of the job. */
  readonly host: WasiHost;
  /** Records that the guest used a source of nondeterminism; the deterministic profile has none. */
  readonly use: (source: NondeterminismSource) => void;
}

/** Result of {@linkcode createJobSystem}. */
export interface CreatedJobSystem {
  /** The system. */
  system: JobSystem;
  /** Directories that are open when the job starts. */
  preopens: Preopen[];
  /** The host's last exception. */
  raised: HostException;
  /** Content of the inputs, in bytes. */
  inputBytes: number;
}

/**
 * Creates the system of a job. The root "/" is preopened first, followed by each input directory.
 *
 * @throws {PlasmError} `bad-input` or `over-limit` if the inputs cannot be created.
 */
export function createJobSystem(options: WasiOptions): CreatedJobSystem {
  const { deterministic } = options;
  const clocks = deterministic === undefined
    ? new SystemClocks(options.now)
    : new VirtualClocks(deterministic.epochMs);
  const random = deterministic === undefined ? SYSTEM_RANDOM : new SeededRandom(deterministic.seed);
  const fs = new FileSystem(options.limits, () => clocks.now());
  const { host, raised } = watchHost(
    deterministic === undefined ? options.host : createWholeStdin(options.host),
  );
  const root: Preopen[] = options.preopenRoot === false ? [] : [{ name: "/", directory: fs.root }];
  const inputBytes = options.inputs.reduce((sum, { data }) => sum + (data?.length ?? 0), 0);
  const preopens = [...root, ...createInputs(fs, options.inputs)];
  fs.endInputs();
  const { onSharedTree, inputs } = options;
  if (onSharedTree !== undefined) fs.share(new SharedTree(onSharedTree, { inputs }));
  // The limit is the node's own, so that an errno would lead the guest to different results on different nodes.
  if (deterministic !== undefined) {
    fs.onFull = () => {
      const { fsBytes, fsInodes } = options.limits;
      host.exhausted(`file system full, limit ${fsBytes} bytes and ${fsInodes} inodes`);
    };
  }
  const use = deterministic === undefined ? onFirstUse(options.onNondeterminism) : () => {};
  const system = { fs, lookup: new PathLookup(), clocks, random, host, use };
  return { system, preopens, raised, inputBytes };
}

/** Reports each source once. */
function onFirstUse(
  report: WasiOptions["onNondeterminism"] = () => {},
): JobSystem["use"] {
  const used = new Set<NondeterminismSource>();
  return (source) => {
    if (used.has(source)) return;
    used.add(source);
    report(source);
  };
}

/** Converts a timestamp to what a guest reads; see {@linkcode Clocks.unixTime}. */
export function unixTimeOf(
  { clocks, use }: Pick<JobSystem, "clocks" | "use">,
  time: Timestamp,
): number | bigint {
  // A number is a time of the system's clock; inputs and guests set times as a BigInt.
  if (typeof time === "number") use("clock");
  return clocks.unixTime(time);
}

/** Times that a guest sets. */
export interface TimesRequest {
  /** Access time, in nanoseconds. */
  atim: bigint;
  /** Modification time, in nanoseconds. */
  mtim: bigint;
  /** `$fstflags` bits. */
  flags: number;
}

/** Sets the times of an inode; returns EINVAL if the flags select both a given time and the current time. */
export function setTimes(
  { clocks }: Pick<JobSystem, "clocks">,
  inode: Inode,
  request: TimesRequest,
): number {
  const errno = checkTimes(request.flags);
  if (errno !== 0) return errno;
  const { flags } = request;
  const now = clocks.now();
  if (flags & FSTFLAG.ATIM) inode.atim = BigInt.asUintN(64, request.atim);
  if (flags & FSTFLAG.ATIM_NOW) inode.atim = now;
  if (flags & FSTFLAG.MTIM) inode.mtim = BigInt.asUintN(64, request.mtim);
  if (flags & FSTFLAG.MTIM_NOW) inode.mtim = now;
  inode.ctim = now;
  return 0;
}

function checkTimes(flags: number): number {
  const both = (flag: number) => (flags & flag) === flag;
  if ((flags & ~ALL_FSTFLAGS) !== 0) return ERRNO.INVAL;
  if (both(FSTFLAG.ATIM | FSTFLAG.ATIM_NOW) || both(FSTFLAG.MTIM | FSTFLAG.MTIM_NOW)) {
    return ERRNO.INVAL;
  }
  return 0;
}

/** Size that a status reports: that of a file or of the target of a link. */
export function sizeOf(inode: Inode): number {
  if (inode instanceof FileInode) return inode.content.size;
  return inode instanceof SymlinkInode ? inode.targetBytes.length : 0;
}
