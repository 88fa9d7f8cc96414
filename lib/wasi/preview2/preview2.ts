/**
 * Implements WASI 0.2 for one job, over the same system as preview1.
 *
 * @module
 */
import { type FunctionType, isDenied } from "../../wasm/component/mod.ts";
import type { HostFunction } from "../../wasm/component/runtime/mod.ts";
import {
  type CollectedOutputs,
  collectOutputs,
  type CollectOutputsOptions,
} from "../fs/outputs.ts";
import { createJobSystem, type WasiOptions } from "../job_system.ts";
import { commandFunctions } from "./command_functions.ts";
import { denied } from "./denied.ts";
import { createFilesystem } from "./filesystem.ts";
import { ioFunctions, type WasiInput, type WasiOutput } from "./streams.ts";

/** Host of a job of WASI 0.2. */
export interface Preview2Host {
  /** Ends the guest. */
  exit: (code: number) => never;
}

/** WASI 0.2 of a job. */
export interface Preview2 {
  /** Returns a function. */
  func(interfaceName: string, name: string, type: FunctionType): HostFunction;
  /** Releases what a resource uses. */
  drop(resource: string, rep: unknown): void;
  /** Peak use of the file system in addition to the content of the inputs, in bytes. */
  readonly fsPeakBytes: number;
  /** Writes the job's output files as an archive, after the guest has ended. */
  collectOutputs(options: CollectOutputsOptions): CollectedOutputs;
}

/**
 * Creates WASI 0.2 for a job. The root "/" is preopened first, followed by each input directory.
 *
 * @throws {PlasmError} `bad-input` or `over-limit` if the inputs cannot be created.
 */
export function createPreview2(options: WasiOptions & Preview2Host): Preview2 {
  const { system, preopens, inputBytes } = createJobSystem(options);
  const { fs } = system;
  const { openFds } = options.limits;
  const filesystem = createFilesystem(system, { preopens, openFds });
  const functions: Record<string, HostFunction> = {
    ...commandFunctions(system, options),
    ...ioFunctions(system),
    ...filesystem.functions,
  };
  return {
    func(interfaceName, name, type) {
      const found = functions[`${interfaceName}#${name}`];
      if (found !== undefined) return found;
      if (isDenied(interfaceName)) return denied(name, type);
      throw new Error(`No function ${name} of ${interfaceName}`); // the linker has refused it
    },
    drop(resource, rep) {
      if (resource === "descriptor") filesystem.dropDescriptor(rep);
      else if (resource === "input-stream") (rep as WasiInput).close?.();
      else if (resource === "output-stream") (rep as WasiOutput).close?.();
    },
    get fsPeakBytes() {
      return fs.peakBytes - inputBytes;
    },
    collectOutputs: (collecting) => collectOutputs(fs, collecting),
  };
}
