/**
 * Provides /dev and /tmp, which exist in every tree.
 *
 * They do not count against the job's limits, and the root does not list them, so that a program that processes all
 * files of its working directory sees the job's files only.
 *
 * @module
 */
import {
  DeviceInode,
  type DeviceName,
  DirectoryInode,
  type Inode,
  type Timestamp,
} from "./inode.ts";

/** Name of the directory of devices. */
export const DEV = "dev";

/** Name of the directory for temporary files. */
export const TMP = "tmp";

const DEVICES: readonly DeviceName[] = [
  "null",
  "zero",
  "full",
  "random",
  "urandom",
  "stdin",
  "stdout",
  "stderr",
];

/** Options of {@linkcode BuiltIns}. */
export interface BuiltInsOptions {
  /** Returns a free inode number. */
  nextIno: () => number;
  /** Time of the inodes. */
  now: Timestamp;
}

/** Directories and devices of one tree, created when a guest first uses them: most jobs do not. */
export class BuiltIns {
  #root: DirectoryInode;
  #options: BuiltInsOptions;
  #directories = new Map<string, DirectoryInode>();
  #devices = new Map<string, DeviceInode>();

  /** Adds the built-in directories to a root. An entry of the same name takes precedence. */
  constructor(root: DirectoryInode, options: BuiltInsOptions) {
    this.#root = root;
    this.#options = options;
    root.fallback = (name) => name === DEV || name === TMP ? this.#directory(name) : undefined;
  }

  /** Adds the devices to a job's own directory /dev; its entries take precedence. */
  provideDevices(directory: DirectoryInode): void {
    directory.fallback = (name) => this.#device(name);
  }

  #directory(name: string): DirectoryInode {
    const present = this.#directories.get(name);
    if (present !== undefined) return present;
    const { nextIno, now } = this.#options;
    const directory = new DirectoryInode(nextIno(), now, this.#root);
    directory.isBuiltIn = true;
    if (name === DEV) {
      for (const device of DEVICES) directory.set(device, this.#device(device)!);
      directory.isReadOnly = true;
    }
    this.#directories.set(name, directory);
    return directory;
  }

  #device(name: string): Inode | undefined {
    const present = this.#devices.get(name);
    if (present !== undefined) return present;
    const device = DEVICES.find((known) => known === name);
    if (device === undefined) return undefined;
    const { nextIno, now } = this.#options;
    const inode = new DeviceInode(nextIno(), now, device);
    this.#devices.set(name, inode);
    return inode;
  }
}
