/**
 * Resolves value and function types, with their layout in memory and as core values.
 * Source: WebAssembly/component-model design/mvp/CanonicalABI.md, alignment, size and flattening.
 *
 * @module
 */
import { badModule } from "../reader.ts";
import type { PrimitiveName, TypeNode, ValueReference } from "./definitions.ts";

/** Types of core values. */
export type CoreType = "i32" | "i64" | "f32" | "f64";

/** A resource type. */
export interface ResourceType {
  /** Number of the resource in its component. */
  id: number;
  /** Name: that of WASI, or one that no other resource has. */
  text: string;
  /** Whether the host implements it. */
  isHost: boolean;
  /** Component instance that defines it; undefined for the host's. */
  owner: number | undefined;
}

/** What each value type has. */
interface TypeLayout {
  /** The type as text: equal types have equal texts. */
  text: string;
  /** Size in memory, in bytes. */
  size: number;
  /** Alignment in memory, in bytes. */
  align: number;
  /** Core values that represent it; of more than {@linkcode MAX_FLAT_PARAMETERS} only the first. */
  flat: CoreType[];
}

/** A resolved value type. Tuples are records, and options, results and enums are variants. */
export type ValueType =
  & TypeLayout
  & (
    | { kind: PrimitiveName }
    | { kind: "list"; element: ValueType }
    | { kind: "record"; fields: ValueType[]; offsets: number[] }
    | {
      kind: "variant";
      cases: (ValueType | undefined)[];
      /** Size of the discriminant, in bytes. */
      discriminantBytes: number;
      /** Offset of the payload. */
      payload: number;
    }
    | { kind: "flags"; count: number }
    | { kind: "own" | "borrow"; resource: ResourceType }
  );

/** A resolved function type. */
export interface FunctionType {
  /** The type as text, without names of parameters. */
  text: string;
  /** Types of the parameters. */
  parameters: ValueType[];
  /** Type of the result. */
  result: ValueType | undefined;
}

/** Most parameters that are passed as core values; more are passed in memory. */
export const MAX_FLAT_PARAMETERS = 16;

/** Longest text of one type, in characters: the largest of WASI 0.2 has 1,600. Bounds depth and size of types. */
const MAX_TYPE_TEXT = 20_000;

/** Largest size of a value in memory apart from lists, in bytes. */
const MAX_VALUE_BYTES = 2 ** 20;

const LAYOUTS: Record<PrimitiveName, [bytes: number, flat: CoreType[]]> = {
  bool: [1, ["i32"]],
  s8: [1, ["i32"]],
  u8: [1, ["i32"]],
  s16: [2, ["i32"]],
  u16: [2, ["i32"]],
  s32: [4, ["i32"]],
  u32: [4, ["i32"]],
  s64: [8, ["i64"]],
  u64: [8, ["i64"]],
  f32: [4, ["f32"]],
  f64: [8, ["f64"]],
  char: [4, ["i32"]],
  string: [8, ["i32", "i32"]],
};

const PRIMITIVE_TYPES = new Map(
  Object.entries(LAYOUTS).map(([kind, [size, flat]]): [string, ValueType] => [
    kind,
    { kind: kind as PrimitiveName, text: kind, size, align: kind === "string" ? 4 : size, flat },
  ]),
);

/** Finds the definitions that a type refers to. */
export interface TypeScope {
  /** Value type of an index. */
  value(index: number): ValueType;
  /** Resource type of an index. */
  resource(index: number): ResourceType;
}

/** Limit for the texts of all types of a component, in characters. */
const MAX_TEXTS = 20_000_000;

/** Resolves the types of one component file. */
export class TypeResolver {
  #charactersLeft = MAX_TEXTS;

  /** Resolves a value type; undefined if the node is another type. */
  value(node: TypeNode, scope: TypeScope): ValueType | undefined {
    const of = (reference: ValueReference): ValueType =>
      typeof reference === "number" ? scope.value(reference) : PRIMITIVE_TYPES.get(reference)!;
    const optional = (reference: ValueReference | undefined): ValueType | undefined =>
      reference === undefined ? undefined : of(reference);
    switch (node.kind) {
      case "primitive":
        return PRIMITIVE_TYPES.get(node.name)!;
      case "list": {
        const element = of(node.element);
        const text = this.#text(() => `list<${element.text}>`, element.text.length);
        return { kind: "list", element, text, size: 8, align: 4, flat: ["i32", "i32"] };
      }
      case "record": {
        const fields = node.fields.map(({ type }) => of(type));
        const text = this.#text(
          () =>
            `record{${
              node.fields.map(({ label }, at) => `${label}: ${fields[at]!.text}`).join(", ")
            }}`,
          sumOfTexts(fields),
        );
        return recordOf(fields, text);
      }
      case "tuple": {
        const fields = node.items.map(of);
        const text = this.#text(() => `tuple<${joined(fields)}>`, sumOfTexts(fields));
        return recordOf(fields, text);
      }
      case "variant": {
        const cases = node.cases.map(({ type }) => optional(type));
        const text = this.#text(
          () =>
            `variant{${
              node.cases.map(({ label }, at) =>
                cases[at] === undefined ? label : `${label}(${cases[at].text})`
              ).join(", ")
            }}`,
          sumOfTexts(cases),
        );
        return variantOf(cases, text);
      }
      case "enum":
        return variantOf(
          node.labels.map(() => undefined),
          this.#text(() => `enum{${node.labels.join(", ")}}`, 0),
        );
      case "option": {
        const some = of(node.some);
        const text = this.#text(() => `option<${some.text}>`, some.text.length);
        return variantOf([undefined, some], text);
      }
      case "result": {
        const ok = optional(node.ok);
        const error = optional(node.error);
        const text = this.#text(() => resultText(ok, error), sumOfTexts([ok, error]));
        return variantOf([ok, error], text);
      }
      case "flags": {
        const count = node.labels.length;
        const size = count <= 8 ? 1 : count <= 16 ? 2 : 4;
        const text = this.#text(() => `flags{${node.labels.join(", ")}}`, 0);
        return { kind: "flags", count, text, size, align: size, flat: ["i32"] };
      }
      case "own":
      case "borrow": {
        const resource = scope.resource(node.resource);
        const text = this.#text(() => `${node.kind}<${resource.text}>`, 0);
        return { kind: node.kind, resource, text, size: 4, align: 4, flat: ["i32"] };
      }
    }
    return undefined;
  }

  /** Resolves a function type. */
  func(node: Extract<TypeNode, { kind: "func" }>, scope: TypeScope): FunctionType {
    const of = (reference: ValueReference): ValueType =>
      typeof reference === "number" ? scope.value(reference) : PRIMITIVE_TYPES.get(reference)!;
    const parameters = node.parameters.map(({ type }) => of(type));
    const result = node.result === undefined ? undefined : of(node.result);
    const text = this.#text(
      () => `(${joined(parameters)})${result === undefined ? "" : ` -> ${result.text}`}`,
      sumOfTexts([...parameters, result]),
    );
    return { text, parameters, result };
  }

  /** Makes the text of a type from texts of `characters` together, and checks its length first. */
  #text(make: () => string, characters: number): string {
    if (characters <= MAX_TYPE_TEXT) {
      const text = make();
      this.#charactersLeft -= text.length;
      if (text.length <= MAX_TYPE_TEXT && this.#charactersLeft >= 0) return text;
    }
    throw badModule(`it has types that are too large, limit ${MAX_TYPE_TEXT} characters each`, {
      hint: "Simplify the types of its interfaces",
      details: { allowed: MAX_TYPE_TEXT },
    });
  }
}

function joined(types: readonly ValueType[]): string {
  return types.map(({ text }) => text).join(", ");
}

function sumOfTexts(types: readonly (ValueType | undefined)[]): number {
  return types.reduce((sum, type) => sum + (type?.text.length ?? 0), 0);
}

function resultText(ok: ValueType | undefined, error: ValueType | undefined): string {
  if (error === undefined) return ok === undefined ? "result" : `result<${ok.text}>`;
  return `result<${ok?.text ?? "_"}, ${error.text}>`;
}

function alignTo(offset: number, align: number): number {
  return Math.ceil(offset / align) * align;
}

function checkSize(size: number): number {
  if (size <= MAX_VALUE_BYTES) return size;
  throw badModule(`it has a type of ${size} bytes, limit ${MAX_VALUE_BYTES}`, {
    details: { asked: size, allowed: MAX_VALUE_BYTES },
  });
}

function truncated(flat: CoreType[]): CoreType[] {
  return flat.length > MAX_FLAT_PARAMETERS ? flat.slice(0, MAX_FLAT_PARAMETERS + 1) : flat;
}

function recordOf(fields: ValueType[], text: string): ValueType {
  const offsets: number[] = [];
  let end = 0;
  let align = 1;
  const flat: CoreType[] = [];
  for (const field of fields) {
    const offset = alignTo(end, field.align);
    offsets.push(offset);
    end = offset + field.size;
    align = Math.max(align, field.align);
    if (flat.length <= MAX_FLAT_PARAMETERS) flat.push(...field.flat);
  }
  const size = checkSize(alignTo(end, align));
  return { kind: "record", fields, offsets, text, size, align, flat: truncated(flat) };
}

function variantOf(cases: (ValueType | undefined)[], text: string): ValueType {
  const discriminantBytes = cases.length <= 0x100 ? 1 : cases.length <= 0x10000 ? 2 : 4;
  let align = 1;
  let size = 0;
  const payloads: CoreType[] = [];
  for (const payload of cases) {
    if (payload === undefined) continue;
    align = Math.max(align, payload.align);
    size = Math.max(size, payload.size);
    payload.flat.forEach((type, at) => payloads[at] = joinTypes(payloads[at] ?? type, type));
  }
  const payload = alignTo(discriminantBytes, align);
  const total = Math.max(align, discriminantBytes);
  return {
    kind: "variant",
    cases,
    discriminantBytes,
    payload,
    text,
    size: checkSize(alignTo(payload + size, total)),
    align: total,
    flat: truncated(["i32", ...payloads]),
  };
}

/** Core type that can hold values of two core types. */
function joinTypes(a: CoreType, b: CoreType): CoreType {
  if (a === b) return a;
  return (a === "i32" && b === "f32") || (a === "f32" && b === "i32") ? "i32" : "i64";
}

/** Core signature of a function as core functions call it, or as it is called; formatted as `functionType()` does. */
export function coreSignature(
  { parameters, result }: FunctionType,
  direction: "lift" | "lower",
): string {
  const flat = parameters.flatMap((type) => type.flat);
  const taken = flat.length > MAX_FLAT_PARAMETERS ? ["i32"] : flat;
  const returned = result?.flat ?? [];
  if (returned.length <= 1) return [...taken, "->", ...returned].join(" ");
  return (direction === "lift" ? [...taken, "->", "i32"] : [...taken, "i32", "->"]).join(" ");
}
