/**
 * Inspects a component before it runs: links it, and lowers the maxima of its memories and tables to the job's limits.
 *
 * @module
 */
import { concat } from "../../util/mod.ts";
import { checkModuleSize, type InspectLimits, lowerMaxima, unshared } from "../inspect.ts";
import { badModule } from "../reader.ts";
import { unsignedLeb } from "../writer.ts";
import { BUILD_COMPONENT, decodeComponent } from "./decoder.ts";
import { linkComponent } from "./linker.ts";
import { type ExportedFunction, findInvocation, type Invocation } from "../invocation/mod.ts";
import type { ComponentPlan, LinkedComponent } from "./plan.ts";
import { refuseCommand, refuseTables } from "./refusals.ts";
import { DEFAULT_TABLE_ENTRIES } from "../inspect.ts";

/** Version of the binary format, which WASI 0.2 has. */
const VERSION = 13;

const LAYER_COMPONENT = 1;

/** A component that may be compiled. */
export interface InspectedComponent extends LinkedComponent {
  /** The function to call, if one was asked for. */
  invocation: Invocation | undefined;
  /** The component with lowered maxima; the input bytes if nothing had to change. */
  bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Inspects a component and lowers its limits. Memories share what their initial sizes leave of the limit in equal
 * parts, and so do tables; those of a module that is instantiated twice count twice.
 *
 * @throws {PlasmError} `bad-module` if it is not a command of WASI 0.2, `job-memory` and `over-limit` as
 * `inspectModule()`.
 */
export function inspectComponent(file: Uint8Array, limits: InspectLimits): InspectedComponent {
  checkModuleSize(file, limits);
  const bytes = unshared(file);
  const linked = link(bytes, limits);
  const functions = exportedFunctions(linked.plan);
  const { invoke } = limits;
  if (invoke === undefined && linked.plan.command === undefined) {
    throw refuseCommand(linked, functions);
  }
  const invocation = invoke && findInvocation(functions, invoke);
  return { ...linked, invocation, bytes: lowered(bytes, { linked, limits }) };
}

/** Functions that a call can name. */
function exportedFunctions({ functions }: ComponentPlan): ExportedFunction[] {
  return Object.entries(functions).map(([name, { type: { text, parameters, result } }]) => ({
    name,
    text,
    parameters: parameters.map((type) => type.text),
    results: result === undefined ? [] : [result.text],
  }));
}

/** Links a component that was inspected. */
export function linkInspected(bytes: Uint8Array): LinkedComponent {
  return link(bytes, { moduleBytes: Infinity, memoryBytes: Number.MAX_SAFE_INTEGER });
}

/** The core modules of an inspected component, in the order of its plan. */
export function coreModulesOf(
  bytes: Uint8Array<ArrayBuffer>,
  { modules }: Pick<LinkedComponent, "modules">,
): Uint8Array<ArrayBuffer>[] {
  return modules.map(({ start, end }) => bytes.subarray(start, end));
}

/**
 * Name section that names a core module by its number: V8 calls code after its module's name, so that a stack shows in
 * which of the core modules a call is. V8 reads the first name section only.
 */
export function numberSection(number: number): Uint8Array<ArrayBuffer> {
  const text = (content: string): Uint8Array => {
    const bytes = new TextEncoder().encode(content);
    return Uint8Array.of(bytes.length, ...bytes);
  };
  const name = text(String(number));
  const content = concat([text("name"), Uint8Array.of(MODULE_NAME, name.length), name]);
  return concat([Uint8Array.of(CUSTOM_SECTION, content.length), content]);
}

function link(bytes: Uint8Array, limits: InspectLimits): LinkedComponent {
  const version = new DataView(bytes.buffer, bytes.byteOffset).getUint16(4, true);
  if (version !== VERSION) {
    throw badModule(`it is a component of version ${version}, expected ${VERSION} (WASI 0.2)`, {
      hint: BUILD_COMPONENT,
      details: { version, layer: LAYER_COMPONENT },
    });
  }
  return linkComponent(bytes, decodeComponent(bytes), limits);
}

/** Sizes of the memories, or of the tables, of one module. */
interface SizesOf {
  initial: number;
  count: number;
}

function lowered(
  bytes: Uint8Array<ArrayBuffer>,
  { linked, limits }: {
    linked: LinkedComponent;
    limits: InspectLimits;
  },
): Uint8Array<ArrayBuffer> {
  const { memoryBytes, tableEntries = DEFAULT_TABLE_ENTRIES } = limits;
  const uses = linked.modules.map((_, module) =>
    linked.plan.instances.filter((instance) => instance.module === module).length
  );
  const share = (sizes: readonly SizesOf[], limit: number): number[] => {
    const taken = sizes.reduce((sum, { initial }, at) => sum + initial * uses[at]!, 0);
    const count = sizes.reduce((sum, one, at) => sum + one.count * uses[at]!, 0);
    if (taken > limit) throw refuseTables(taken, limit);
    const each = count === 0 ? 0 : Math.floor((limit - taken) / count);
    return sizes.map((one) => one.initial + one.count * each);
  };
  const memories = share(
    linked.sizes.map(({ memories }) => ({
      initial: memories.reduce((sum, { initialBytes }) => sum + initialBytes, 0),
      count: memories.length,
    })),
    memoryBytes,
  );
  const tables = share(
    linked.sizes.map(({ tables }) => ({
      initial: tables.reduce((sum, { initialEntries }) => sum + initialEntries, 0),
      count: tables.length,
    })),
    tableEntries,
  );
  const replaced = new Map<number, Uint8Array>();
  linked.modules.forEach(({ start, end }, module) => {
    const original = bytes.subarray(start, end);
    const patched = lowerMaxima(original, {
      ...limits,
      memoryBytes: memories[module]!,
      tableEntries: tables[module]!,
    });
    if (patched !== original) replaced.set(start, patched);
  });
  return replaced.size === 0 ? bytes : rewrite(bytes, { start: 0, end: bytes.length, replaced });
}

const HEADER_BYTES = 8;
const CUSTOM_SECTION = 0;

/** Subsection of a name section that names the module. */
const MODULE_NAME = 0;
const CORE_MODULE = 1;
const COMPONENT = 4;

/** Copies a component with other core modules, by the offsets where they start. */
function rewrite(
  bytes: Uint8Array,
  { start, end, replaced }: { start: number; end: number; replaced: Map<number, Uint8Array> },
): Uint8Array<ArrayBuffer> {
  const parts = [bytes.subarray(start, start + HEADER_BYTES)];
  for (let at = start + HEADER_BYTES; at < end;) {
    const id = bytes[at]!;
    let size = 0;
    let from = at + 1;
    for (let shift = 0;; shift += 7) {
      const byte = bytes[from++]!;
      size += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    const span = { start: from, end: from + size };
    const content = id === CORE_MODULE
      ? replaced.get(from)
      : id === COMPONENT
      ? rewrite(bytes, { ...span, replaced })
      : undefined;
    if (content === undefined) parts.push(bytes.subarray(at, span.end));
    else parts.push(Uint8Array.of(id, ...unsignedLeb(BigInt(content.length))), content);
    at = span.end;
  }
  return concat(parts);
}
