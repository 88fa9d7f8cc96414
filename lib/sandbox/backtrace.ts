/**
 * Describes where a job trapped.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { MAX_STACK_FRAMES, type StackFrame } from "../core/mod.ts";
import { isComponent } from "../wasm/mod.ts";
import type { CallLocation } from "./job_types.ts";

/**
 * Describes the innermost calls of a job that trapped, by the names and line tables of its module. Loads what it needs
 * on demand: most jobs do not trap.
 */
export async function describeTrace(
  file: Uint8Array,
  trace: readonly CallLocation[],
): Promise<StackFrame[]> {
  const cores = await coreSpans(file);
  return await describe(file, cores, {
    places: trace.map(({ module, offset }) => ({ core: cores[module], offset })),
    isInCode: true,
  });
}

/**
 * Describes calls as {@linkcode describeTrace} does.
 *
 * @param offsets Offset of each call's instruction in the file, the innermost first
 */
export async function describeStack(
  file: Uint8Array,
  offsets: readonly number[],
): Promise<StackFrame[]> {
  const cores = await coreSpans(file);
  return await describe(file, cores, {
    places: offsets.map((offset) => {
      const core = cores.find(({ start, end }) => start <= offset && offset < end);
      return { core, offset: offset - (core?.start ?? 0) };
    }),
    isInCode: false,
  });
}

/** Range of a core module in the file. */
interface CoreSpan {
  start: number;
  end: number;
  /** Number in a component. */
  number: number | undefined;
}

/** Core modules of a file; none if it is a component that cannot be linked. */
async function coreSpans(file: Uint8Array): Promise<CoreSpan[]> {
  if (!isComponent(file)) return [{ start: 0, end: file.length, number: undefined }];
  const { linkInspected } = await import("../wasm/component/mod.ts");
  try {
    return linkInspected(file).modules.map((span, number) => ({ ...span, number }));
  } catch (error) {
    if (error instanceof PlasmError) return [];
    throw error;
  }
}

/** Calls, and whether their offsets are in the content of the code section and not in the core module. */
interface Calls {
  places: readonly { core: CoreSpan | undefined; offset: number }[];
  isInCode: boolean;
}

async function describe(
  file: Uint8Array,
  cores: readonly CoreSpan[],
  { places, isInCode }: Calls,
): Promise<StackFrame[]> {
  if (places.length === 0) return [];
  const { describeFrames } = await import("../wasm/symbols/mod.ts");
  const shown = places.slice(0, MAX_STACK_FRAMES);
  const frames = new Map<number, StackFrame>();
  for (const core of [...cores, undefined]) {
    const at = [...shown.keys()].filter((place) => shown[place]!.core === core);
    if (at.length === 0) continue;
    const bytes = core === undefined ? new Uint8Array() : file.subarray(core.start, core.end);
    const described = describeFrames(bytes, at.map((place) => shown[place]!.offset), { isInCode });
    described.forEach((frame, index) =>
      frames.set(at[index]!, {
        ...frame,
        offset: frame.offset + (core?.start ?? 0),
        ...(core?.number === undefined ? {} : { module: core.number }),
      })
    );
  }
  return [...shown.keys()].map((place) => frames.get(place)!);
}

/** Location of a call as engines write it. */
export function codeLocation({ function: index, offset, module }: StackFrame): string {
  const within = module === undefined ? "" : ` of core module ${module}`;
  return `wasm-function[${index ?? "?"}]:0x${offset.toString(16)}${within}`;
}
