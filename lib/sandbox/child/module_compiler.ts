/**
 * Compiles a job's module: reorders its functions, rewrites them for the profile or for fuel, and links components.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { concat } from "../../util/mod.ts";
import type { InstrumentedModule } from "../../wasm/instrument/mod.ts";
import { isComponent } from "../../wasm/mod.ts";
import type { ReorderedModule } from "../../wasm/reorder/mod.ts";
import { compileErrorMessage, type GuestCode, type RefusedReport } from "../ipc/mod.ts";
import type { CallLocation } from "../job_types.ts";

/** A compiled module. */
export interface CompiledModule<Code extends GuestCode = GuestCode> {
  /** What the worker instantiates. */
  module: Code;
  /** Returns what maps places in the compiled module to offsets in the code section of the module as received. */
  locate: () => Promise<(location: CallLocation) => number | undefined>;
  /** Whether an instruction of the compiled module traps because the system refuses memory. */
  isRefusedGrowth: (location: CallLocation) => boolean;
}

/** Size up to which a module is compiled synchronously, in bytes: V8 then compiles functions on first call. */
const SYNC_COMPILE_BYTES = 64 * 1024;

/** Loads the reordering on demand: a child that receives a reordered module does not need it. */
export async function loadReorder(): Promise<typeof import("../../wasm/reorder/mod.ts")> {
  return await import("../../wasm/reorder/mod.ts");
}

/** Loads the instrumentation on demand: most jobs do not need it. */
export async function loadInstrument(): Promise<typeof import("../../wasm/instrument/mod.ts")> {
  return await import("../../wasm/instrument/mod.ts");
}

/** Loads the linker of components on demand. */
export async function loadComponent(): Promise<typeof import("../../wasm/component/mod.ts")> {
  return await import("../../wasm/component/mod.ts");
}

/** Options of {@linkcode compileModule}. */
export interface CompileModuleOptions {
  /** The result of `reorderFunctions()` on the same bytes. @default {computed} */
  reordered?: Uint8Array<ArrayBuffer> | undefined;
  /**
   * Whether to refuse instructions whose results differ between machines, and to make NaNs canonical.
   * @default {false}
   */
  isDeterministic?: boolean | undefined;
  /** Instructions that the module may execute. @default {not counted} */
  fuel?: number | undefined;
  /** A custom section to precede all others. @default {none} */
  firstSection?: Uint8Array | undefined;
}

/** Compiles a module or component, or reports why the profile or V8 rejects it. */
export async function compileCode(
  bytes: Uint8Array<ArrayBuffer>,
  options: CompileModuleOptions = {},
): Promise<CompiledModule | Omit<RefusedReport, "reusable">> {
  if (!isComponent(bytes)) return await compileModule(bytes, options);
  const { coreModulesOf, linkInspected, numberSection } = await loadComponent();
  const linked = linkInspected(bytes);
  const cores: CompiledModule<WebAssembly.Module>[] = [];
  for (const [number, core] of coreModulesOf(bytes, linked).entries()) {
    const firstSection = numberSection(number);
    const compiled = await compileModule(core, { ...options, firstSection });
    if (!("module" in compiled)) return compiled;
    const within = ({ module, offset }: CallLocation): CallLocation => ({
      module,
      offset: offset - firstSection.length,
    });
    cores.push({
      module: compiled.module,
      locate: async () => {
        const place = await compiled.locate();
        return (location) => place(within(location));
      },
      isRefusedGrowth: (location) => compiled.isRefusedGrowth(within(location)),
    });
  }
  return {
    module: { modules: cores.map(({ module }) => module), plan: linked.plan },
    locate: async () => {
      const places = await Promise.all(cores.map(({ locate }) => locate()));
      return (location) => places[location.module]!(location);
    },
    isRefusedGrowth: (location) => cores[location.module]!.isRefusedGrowth(location),
  };
}

/** Reorders, rewrites and compiles a module, or reports why the profile or V8 rejects it. */
export async function compileModule(
  bytes: Uint8Array<ArrayBuffer>,
  options: CompileModuleOptions = {},
): Promise<CompiledModule<WebAssembly.Module> | Omit<RefusedReport, "reusable">> {
  const reorder = async () => (await loadReorder()).reorderFunctions(bytes);
  let reordered: ReorderedModule | undefined;
  let source = options.reordered;
  let instrumented: InstrumentedModule | undefined;
  try {
    if (source === undefined) {
      reordered = await reorder();
      source = reordered.bytes;
    }
    if (options.isDeterministic || options.fuel !== undefined) {
      instrumented = await rewriteBodies(bytes, {
        ...options,
        source: reordered ?? { bytes: source },
      });
      source = instrumented.bytes;
    }
  } catch (error) {
    if (!(error instanceof PlasmError)) throw error;
    if (WebAssembly.validate(bytes)) return { code: error.code, message: error.message };
    // Compile the module as submitted, so that V8 reports what is wrong with it, as without the rewriting.
    source = bytes;
  }
  const locate = async () => {
    const start = (await loadReorder()).codeStart(bytes);
    const map = (reordered ?? await reorder()).frames;
    return ({ offset }: CallLocation) => {
      const at = instrumented?.original(offset) ?? offset;
      const original = map === undefined ? at : map.original(at)?.offset;
      return original === undefined ? undefined : original - start;
    };
  };
  const { firstSection } = options;
  try {
    const compiled = withFirstSection(source, firstSection);
    const module = compiled.length <= SYNC_COMPILE_BYTES
      ? new WebAssembly.Module(compiled)
      : await WebAssembly.compile(compiled);
    const isRefusedGrowth = ({ offset }: CallLocation): boolean =>
      instrumented?.isRefusedGrowth(offset) ?? false;
    return { module, locate, isRefusedGrowth };
  } catch {
    // Compile the module as submitted, so that V8's message has its function indices.
  }
  try {
    const module = await WebAssembly.compile(withFirstSection(bytes, firstSection));
    if (instrumented === undefined) {
      const start = (await loadReorder()).codeStart(bytes);
      return {
        module,
        locate: () => Promise.resolve(({ offset }) => offset - start),
        isRefusedGrowth: () => false,
      };
    }
    return {
      code: "bad-module",
      message: "Cannot compile module: V8 rejects it with canonical NaNs or counted instructions",
    };
  } catch (error) {
    return { code: "bad-module", message: compileErrorMessage(error) };
  }
}

/** Length of a module's header, in bytes. */
const HEADER_BYTES = 8;

function withFirstSection(
  module: Uint8Array<ArrayBuffer>,
  section: Uint8Array | undefined,
): Uint8Array<ArrayBuffer> {
  if (section === undefined) return module;
  return concat([module.subarray(0, HEADER_BYTES), section, module.subarray(HEADER_BYTES)]);
}

/** Instruments a reordered module; errors name instructions of the module as submitted. */
async function rewriteBodies(
  bytes: Uint8Array<ArrayBuffer>,
  { isDeterministic, fuel, source }: CompileModuleOptions & {
    source: Pick<ReorderedModule, "bytes"> & Partial<ReorderedModule>;
  },
): Promise<InstrumentedModule> {
  const { arithmetic, grows } = source;
  const { instrument } = await loadInstrument();
  try {
    return instrument(source.bytes, { canonicalizeNaN: isDeterministic, fuel, arithmetic, grows });
  } catch (error) {
    if (isDeterministic) (await loadReorder()).checkDeterministicCode(bytes);
    throw error;
  }
}
