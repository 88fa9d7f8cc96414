/**
 * Instantiates a component by its plan and calls its functions.
 *
 * Functions are closures over the plan: no code is generated.
 *
 * @module
 */
import type {
  ComponentFunction,
  ComponentPlan,
  CoreItem,
  LiftedFunction,
  LinkedOptions,
} from "../plan.ts";
import type { FunctionType, ResourceType } from "../value_types.ts";
import {
  AbiError,
  type CallContext,
  type ComponentValue,
  type CoreValue,
  liftValues,
  lowerFlat,
  lowerValues,
  store,
} from "./canonical_abi.ts";
import { HandleTable } from "./handle_table.ts";

/** A function of the host. */
export type HostFunction = (...values: ComponentValue[]) => ComponentValue;

/** Host of a component. */
export interface ComponentHost {
  /** Returns the function of an interface, which is one that WASI 0.2 defines or that is denied. */
  func(interfaceName: string, name: string, type: FunctionType): HostFunction;
  /** Called when the component drops a resource of the host. */
  drop(resource: string, rep: unknown): void;
  /** Called before each call to the host, and each call between components; may end the guest by an exception. */
  beforeCall: (() => void) | undefined;
  /** Called with each core instance before the next is created; it may run its start function. */
  onInstance(instance: WebAssembly.Instance): void;
  /**
   * Ends the guest for an exception in a call: one of the host, which passes through, an {@linkcode AbiError}, or a
   * RangeError of the engine.
   */
  fail(error: unknown): never;
}

type CoreFunction = (...values: CoreValue[]) => CoreValue | undefined;

/** State of one component instance. */
interface InstanceState {
  readonly handles: HandleTable;
  /** Whether it may call others: not while it allocates or cleans up. */
  mayLeave: boolean;
  /** Whether a call of it is in progress. */
  isEntered: boolean;
}

/** An instance of a component. */
export class ComponentInstance {
  readonly #modules: readonly WebAssembly.Module[];
  readonly #plan: ComponentPlan;
  readonly #host: ComponentHost;
  readonly #cores: WebAssembly.Instance[] = [];
  readonly #states: InstanceState[];
  readonly #destructors = new Map<number, CoreItem>();

  /** Prepares an instance; nothing of the component runs. */
  constructor(
    modules: readonly WebAssembly.Module[],
    { plan, host }: { plan: ComponentPlan; host: ComponentHost },
  ) {
    this.#modules = modules;
    this.#plan = plan;
    this.#host = host;
    this.#states = Array.from({ length: plan.componentInstances }, (_, instance) => ({
      handles: new HandleTable(instance),
      mayLeave: true,
      isEntered: false,
    }));
    for (const { resource, core } of plan.destructors) this.#destructors.set(resource, core);
  }

  /**
   * Creates the core instances, whose start functions run.
   *
   * @throws {WebAssembly.LinkError} if a module does not take what the component gives it
   */
  instantiate(): void {
    for (const { module, imports } of this.#plan.instances) {
      const values = new Map<string, [string, WebAssembly.ImportValue][]>();
      for (const { module: from, name, item } of imports) {
        const list = values.get(from) ?? [];
        list.push([name, this.#value(item)]);
        values.set(from, list);
      }
      const instance = new WebAssembly.Instance(
        this.#modules[module]!,
        Object.fromEntries([...values].map(([from, list]) => [from, Object.fromEntries(list)])),
      );
      this.#cores.push(instance);
      this.#host.onInstance(instance);
    }
  }

  /** Total size of the memories that the core instances export, in bytes. */
  get memoryBytes(): number {
    const memories = new Set<WebAssembly.Memory>();
    for (const { exports } of this.#cores) {
      for (const value of Object.values(exports)) {
        if (value instanceof WebAssembly.Memory) memories.add(value);
      }
    }
    return [...memories].reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  }

  /** Calls an exported function. */
  call(name: string, values: readonly ComponentValue[]): ComponentValue {
    return this.#callLifted(this.#plan.functions[name]!, values, () => {});
  }

  #value(item: CoreItem): WebAssembly.ImportValue {
    if (item.kind === "export") return this.#cores[item.instance]!.exports[item.name]!;
    if (item.kind === "lower") return this.#lower(item);
    return this.#resourceFunction(item);
  }

  #function(item: CoreItem): CoreFunction {
    return this.#value(item) as CoreFunction;
  }

  /** Runs a call for a core function; exceptions end the guest by a trap, which it cannot catch. */
  #guarded<Result>(call: () => Result): Result {
    try {
      return call();
    } catch (error) {
      return this.#host.fail(error);
    }
  }

  #resourceFunction(
    { kind, resource, caller }: Extract<CoreItem, { resource: ResourceType }>,
  ): CoreFunction {
    const { handles } = this.#states[caller]!;
    if (kind === "resource.new") {
      return (rep) => this.#guarded(() => handles.add(resource, { rep: Number(rep) }));
    }
    if (kind === "resource.rep") {
      return (handle) =>
        this.#guarded(() => handles.lend(resource, Number(handle) >>> 0).rep as number);
    }
    return (handle) =>
      this.#guarded(() => {
        this.#checkLeave(caller);
        const dropped = handles.drop(resource, Number(handle) >>> 0);
        if (dropped === undefined) return undefined;
        if (resource.isHost) this.#host.drop(resource.text, dropped.rep);
        const destructor = this.#destructors.get(resource.id);
        if (destructor !== undefined) this.#function(destructor)(dropped.rep as number);
        return undefined;
      });
  }

  #checkLeave(caller: number): void {
    if (!this.#states[caller]!.mayLeave) {
      throw new AbiError("it calls another component while it allocates or cleans up");
    }
  }

  /** Memory, allocator and handles of one side of a call. */
  #context({ encoding, memory, realloc }: LinkedOptions, instance: number): CallContext {
    const state = this.#states[instance]!;
    let found: WebAssembly.Memory | undefined;
    let allocator: CoreFunction | undefined;
    return {
      encoding,
      handles: state.handles,
      memory: () => found ??= this.#value(memory!) as WebAssembly.Memory,
      realloc: (align, bytes) => {
        allocator ??= this.#function(realloc!);
        const before = state.mayLeave;
        state.mayLeave = false;
        const pointer = Number(allocator(0, 0, align, bytes)) >>> 0;
        state.mayLeave = before;
        return pointer;
      },
    };
  }

  /** Core function that calls a function of the host or of another component. */
  #lower({ func, options, caller }: Extract<CoreItem, { kind: "lower" }>): CoreFunction {
    const context = this.#context(options, caller);
    const { parameters, result } = func.type;
    const call = this.#callee(func);
    const returnsInMemory = (result?.flat.length ?? 0) > 1;
    return (...core) =>
      this.#guarded(() => {
        this.#checkLeave(caller);
        this.#host.beforeCall?.();
        const values = liftValues(context, parameters, { values: core });
        let lowered: CoreValue | undefined;
        call(values, (value) => {
          if (result === undefined) return;
          if (returnsInMemory) {
            store(context, result, { value, pointer: Number(core.at(-1)) >>> 0 });
          } else lowered = lowerFlat(context, result, value)[0];
        });
        return lowered;
      });
  }

  /** Returns how a function is called; the result must be used before the callee cleans up. */
  #callee(
    func: ComponentFunction,
  ): (values: ComponentValue[], use: (value: ComponentValue) => void) => void {
    if (func.kind === "lift") {
      return (values, use) => {
        this.#callLifted(func, values, use);
      };
    }
    const host = this.#host.func(func.interfaceName, func.name, func.type);
    return (values, use) => use(host(...values));
  }

  #callLifted(
    { core, options, type, callee }: LiftedFunction,
    values: readonly ComponentValue[],
    use: (value: ComponentValue) => void,
  ): ComponentValue {
    const state = this.#states[callee]!;
    if (state.isEntered) throw new AbiError("it calls a component that is in a call");
    state.isEntered = true;
    const context = this.#context(options, callee);
    const func = this.#function(core);
    const before = state.handles.borrowed;
    state.mayLeave = false;
    const lowered = lowerValues(context, type.parameters, values);
    state.mayLeave = true;
    const returned = func(...lowered);
    if (state.handles.borrowed !== before) {
      throw new AbiError("it returns without dropping what was lent to it");
    }
    const { result } = type;
    let value: ComponentValue;
    if (result !== undefined) {
      [value] = liftValues(context, [result], { values: [returned!], max: 1 });
    }
    use(value);
    if (options.postReturn !== undefined) {
      state.mayLeave = false;
      const cleanup = this.#function(options.postReturn);
      if (returned === undefined) cleanup();
      else cleanup(returned);
      state.mayLeave = true;
    }
    state.isEntered = false;
    return value;
  }
}
