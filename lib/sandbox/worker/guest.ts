/**
 * Runs the two kinds of guests: modules of WASI preview1, and components of WASI 0.2.
 *
 * @module
 */
import {
  type CollectedOutputs,
  type CollectOutputsOptions,
  createPreview2,
  createWasi,
  type Preview2,
  type Wasi,
  type WasiOptions,
} from "../../wasi/mod.ts";
import { formatResults, type Invocation } from "../../wasm/invocation/mod.ts";
import { ComponentInstance, type VariantValue } from "../../wasm/component/runtime/mod.ts";
import type { GuestComponent } from "../ipc/mod.ts";
import type { FuelGauge } from "./fuel_gauge.ts";

/** What a guest runs with. */
export interface GuestOptions extends WasiOptions {
  /** Ends the guest with an exit code. */
  exit: (code: number) => never;
  /** Ends the guest for an exception in a call of a component. */
  fail: (error: unknown) => never;
  /** Counts instructions. */
  fuel: FuelGauge | undefined;
  /** Function to call instead of the command. */
  call: GuestCall | undefined;
}

/** A call of an exported function. */
export interface GuestCall extends Invocation {
  /** Arguments. */
  values: (number | bigint)[];
}

/** Writes the results of a call to standard output. */
function writeResults({ host }: GuestOptions, call: GuestCall, results: unknown): void {
  const list = call.results.length === 1 ? [results] : results ?? [];
  const text = formatResults(call, list as (number | bigint)[]);
  if (text !== "") host.write("stdout", new TextEncoder().encode(text));
}

/** A guest. */
export interface Guest {
  /** Runs it; returns its exit code. Exceptions are traps, and those of the options. */
  run(): number;
  /** Peak of memories and file system, in bytes. */
  readonly memoryPeakBytes: number;
  /** Writes the job's output files as an archive, after the guest has ended. */
  collectOutputs(options: CollectOutputsOptions): CollectedOutputs;
}

/** A command of WASI preview1. */
export class CommandGuest implements Guest {
  readonly #module: WebAssembly.Module;
  readonly #options: GuestOptions;
  readonly #wasi: Wasi;
  #memory: WebAssembly.Memory | undefined;

  /** @throws {PlasmError} as `createWasi()` */
  constructor(module: WebAssembly.Module, options: GuestOptions) {
    this.#module = module;
    this.#options = options;
    this.#wasi = createWasi(options);
  }

  get memoryPeakBytes(): number {
    return (this.#memory?.buffer.byteLength ?? 0) + this.#wasi.fsPeakBytes;
  }

  run(): number {
    const { exit: proc_exit, fuel, call } = this.#options;
    const instance = new WebAssembly.Instance(this.#module, {
      wasi_snapshot_preview1: { ...this.#wasi.imports, proc_exit },
    });
    const { memory, _start, _initialize } = instance.exports;
    if (memory instanceof WebAssembly.Memory) {
      this.#memory = memory;
      this.#wasi.attach(memory);
    }
    fuel?.add(instance);
    if (call === undefined) {
      (_start as () => void)();
      return 0;
    }
    if (typeof _initialize === "function") _initialize();
    const func = instance.exports[call.name] as (...values: (number | bigint)[]) => unknown;
    writeResults(this.#options, call, func(...call.values));
    return 0;
  }

  collectOutputs(options: CollectOutputsOptions): CollectedOutputs {
    return this.#wasi.collectOutputs(options);
  }
}

/** A command of WASI 0.2. */
export class ComponentGuest implements Guest {
  readonly #code: GuestComponent;
  readonly #options: GuestOptions;
  readonly #wasi: Preview2;
  #instance: ComponentInstance | undefined;

  /** @throws {PlasmError} as `createPreview2()` */
  constructor(code: GuestComponent, options: GuestOptions) {
    this.#code = code;
    this.#options = options;
    this.#wasi = createPreview2(options);
  }

  get memoryPeakBytes(): number {
    return (this.#instance?.memoryBytes ?? 0) + this.#wasi.fsPeakBytes;
  }

  run(): number {
    const { modules, plan } = this.#code;
    const { call, fail, fuel, host } = this.#options;
    const instance = new ComponentInstance(modules, {
      plan,
      host: {
        func: (...reference) => this.#wasi.func(...reference),
        drop: (resource, rep) => this.#wasi.drop(resource, rep),
        beforeCall: host.beforeCall,
        onInstance: (core) => fuel?.add(core),
        fail,
      },
    });
    this.#instance = instance;
    instance.instantiate();
    if (call !== undefined) {
      writeResults(this.#options, call, instance.call(call.name, call.values));
      return 0;
    }
    // The inspection has found the command.
    const { tag } = instance.call(plan.command!, []) as VariantValue;
    return tag;
  }

  collectOutputs(options: CollectOutputsOptions): CollectedOutputs {
    return this.#wasi.collectOutputs(options);
  }
}
