/**
 * Lifts values out of a component's memory and core values, and lowers them into it.
 * Source: WebAssembly/component-model design/mvp/CanonicalABI.md.
 *
 * Values are: booleans, numbers and BigInts of 64 bits; a code point for a char; strings; arrays for records and
 * lists, but a Uint8Array for bytes; `{ tag, value }` for variants, options, results and enums; a number for flags; and
 * what a handle represents.
 *
 * @module
 */
import type { StringEncoding } from "../definitions.ts";
import { MAX_FLAT_PARAMETERS, type ResourceType, type ValueType } from "../value_types.ts";

/** A value of a component. */
export type ComponentValue =
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | ComponentValue[]
  | VariantValue
  | ResourceValue
  | undefined;

/** A value of a variant, option, result or enum. */
export interface VariantValue {
  /** Number of the case. */
  tag: number;
  /** Payload of the case. */
  value?: ComponentValue;
}

/** What a handle represents: an object of the host, or the number that a component has given it. */
export interface ResourceValue {
  /** The object or number. */
  rep: unknown;
}

/** A core value. */
export type CoreValue = number | bigint;

/** Thrown if a value breaks the rules; the component traps. */
export class AbiError extends Error {}

/** Handles of a component instance. */
export interface Handles {
  /** Takes the handle of a resource that is owned out of the table. */
  take(resource: ResourceType, handle: number): ResourceValue;
  /** Looks up a handle that is lent. */
  lend(resource: ResourceType, handle: number): ResourceValue;
  /** Adds a handle; returns its number. */
  add(resource: ResourceType, value: ResourceValue): number;
  /** Adds a handle that is lent for a call; returns its number, or that of the resource for its own component. */
  borrow(resource: ResourceType, value: ResourceValue): number;
}

/** Memory and handles of one side of a call. */
export interface CallContext {
  /** Encoding of strings. */
  encoding: StringEncoding;
  /** Returns the memory. */
  memory: () => WebAssembly.Memory;
  /** Allocates. */
  realloc: (align: number, bytes: number) => number;
  /** Handles. */
  handles: Handles;
}

/** Largest length of a string or list, in bytes. */
const MAX_BYTES = 2 ** 31 - 1;

/** Tag of a string in UTF-16, in its length, if the encoding is `latin1+utf16`. */
const UTF16_TAG = 2 ** 31;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const UTF16 = new TextDecoder("utf-16le", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Access to memory that follows its growth. */
function viewOf(context: CallContext): DataView {
  return new DataView(context.memory().buffer);
}

/** Bytes of a range of memory. */
function range(
  context: CallContext,
  { pointer, bytes, align }: { pointer: number; bytes: number; align: number },
): Uint8Array {
  const { buffer } = context.memory();
  if (pointer % align !== 0) throw new AbiError(`pointer ${pointer} is not a multiple of ${align}`);
  if (bytes > MAX_BYTES || pointer + bytes > buffer.byteLength) {
    throw new AbiError(
      `${bytes} bytes at ${pointer} are outside its memory of ${buffer.byteLength} bytes`,
    );
  }
  return new Uint8Array(buffer, pointer, bytes);
}

/** Reads a value from memory. */
export function load(context: CallContext, type: ValueType, pointer: number): ComponentValue {
  range(context, { pointer, bytes: type.size, align: type.align });
  return loadChecked(context, type, pointer);
}

function loadChecked(context: CallContext, type: ValueType, at: number): ComponentValue {
  const view = viewOf(context);
  switch (type.kind) {
    case "bool":
      return view.getUint8(at) !== 0;
    case "u8":
      return view.getUint8(at);
    case "s8":
      return view.getInt8(at);
    case "u16":
      return view.getUint16(at, true);
    case "s16":
      return view.getInt16(at, true);
    case "u32":
      return view.getUint32(at, true);
    case "s32":
      return view.getInt32(at, true);
    case "u64":
      return view.getBigUint64(at, true);
    case "s64":
      return view.getBigInt64(at, true);
    case "f32":
      return view.getFloat32(at, true);
    case "f64":
      return view.getFloat64(at, true);
    case "char":
      return charOf(view.getUint32(at, true));
    case "string":
      return loadString(context, view.getUint32(at, true), view.getUint32(at + 4, true));
    case "list":
      return loadList(context, type.element, {
        pointer: view.getUint32(at, true),
        length: view.getUint32(at + 4, true),
      });
    case "record":
      return type.fields.map((field, index) =>
        loadChecked(context, field, at + type.offsets[index]!)
      );
    case "variant": {
      const tag = getSized(view, at, type.discriminantBytes);
      const payload = caseOf(type, tag);
      if (payload === undefined) return { tag };
      return { tag, value: loadChecked(context, payload, at + type.payload) };
    }
    case "flags":
      return flagsOf(getSized(view, at, type.size), type.count);
    case "own":
      return context.handles.take(type.resource, view.getUint32(at, true));
    case "borrow":
      return context.handles.lend(type.resource, view.getUint32(at, true));
  }
}

function getSized(view: DataView, at: number, bytes: number): number {
  if (bytes === 1) return view.getUint8(at);
  return bytes === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
}

function charOf(code: number): number {
  if (code < 0x11_0000 && (code < 0xd800 || code > 0xdfff)) return code;
  throw new AbiError(`${code} is not a Unicode character`);
}

function flagsOf(bits: number, count: number): number {
  return count === 32 ? bits >>> 0 : bits & (2 ** count - 1);
}

function caseOf(
  { cases, text }: Extract<ValueType, { kind: "variant" }>,
  tag: number,
): ValueType | undefined {
  if (tag < cases.length) return cases[tag];
  throw new AbiError(`${tag} is not a case of ${text.slice(0, 60)}`);
}

function loadString(context: CallContext, pointer: number, length: number): string {
  const { encoding } = context;
  try {
    if (encoding === "utf8") {
      return UTF8.decode(range(context, { pointer, bytes: length, align: 1 }));
    }
    if (encoding === "utf16" || length >= UTF16_TAG) {
      const units = encoding === "utf16" ? length : length - UTF16_TAG;
      return UTF16.decode(range(context, { pointer, bytes: units * 2, align: 2 }));
    }
  } catch (error) {
    if (error instanceof TypeError) throw new AbiError("a string is not well-formed");
    throw error;
  }
  return latin1(range(context, { pointer, bytes: length, align: 2 }));
}

/** Number of characters that are converted at once. */
const LATIN1_PART = 8192;

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += LATIN1_PART) {
    text += String.fromCharCode(...bytes.subarray(at, at + LATIN1_PART));
  }
  return text;
}

/** Largest number of elements of a list that is not of bytes. */
const MAX_ELEMENTS = 2 ** 20;

function loadList(
  context: CallContext,
  element: ValueType,
  { pointer, length }: { pointer: number; length: number },
): ComponentValue {
  const bytes = range(context, { pointer, bytes: length * element.size, align: element.align });
  if (element.kind === "u8") return bytes;
  if (length > MAX_ELEMENTS) {
    throw new AbiError(`a list has ${length} elements, limit ${MAX_ELEMENTS}`);
  }
  return Array.from(
    { length },
    (_, index) => loadChecked(context, element, pointer + index * element.size),
  );
}

/** Writes a value to memory. */
export function store(
  context: CallContext,
  type: ValueType,
  { value, pointer }: { value: ComponentValue; pointer: number },
): void {
  range(context, { pointer, bytes: type.size, align: type.align });
  storeChecked(context, type, value, pointer);
}

function storeChecked(
  context: CallContext,
  type: ValueType,
  value: ComponentValue,
  at: number,
): void {
  switch (type.kind) {
    case "string": {
      const { pointer, length } = storeString(context, value as string);
      const view = viewOf(context);
      view.setUint32(at, pointer, true);
      view.setUint32(at + 4, length, true);
      return;
    }
    case "list": {
      const { pointer, length } = storeList(context, type.element, value as Uint8Array);
      const view = viewOf(context);
      view.setUint32(at, pointer, true);
      view.setUint32(at + 4, length, true);
      return;
    }
    case "record":
      type.fields.forEach((field, index) =>
        storeChecked(context, field, (value as ComponentValue[])[index], at + type.offsets[index]!)
      );
      return;
    case "variant": {
      const { tag, value: inner } = value as VariantValue;
      setSized(viewOf(context), { at, bytes: type.discriminantBytes, value: tag });
      const payload = type.cases[tag];
      if (payload !== undefined) storeChecked(context, payload, inner, at + type.payload);
      return;
    }
    case "flags":
      setSized(viewOf(context), { at, bytes: type.size, value: value as number });
      return;
    case "own":
      viewOf(context).setUint32(
        at,
        context.handles.add(type.resource, value as ResourceValue),
        true,
      );
      return;
    case "borrow": {
      const handle = context.handles.borrow(type.resource, value as ResourceValue);
      viewOf(context).setUint32(at, handle, true);
      return;
    }
  }
  storeNumber(viewOf(context), type, value, at);
}

function storeNumber(
  view: DataView,
  { kind }: Pick<ValueType, "kind">,
  value: ComponentValue,
  at: number,
): void {
  switch (kind) {
    case "bool":
    case "u8":
    case "s8":
      return view.setUint8(at, Number(value));
    case "u16":
    case "s16":
      return view.setUint16(at, value as number, true);
    case "u32":
    case "s32":
    case "char":
      return view.setUint32(at, value as number, true);
    case "u64":
    case "s64":
      return view.setBigUint64(at, value as bigint, true);
    case "f32":
      return Number.isNaN(value)
        ? view.setUint32(at, CANONICAL_NAN_32, true)
        : view.setFloat32(at, value as number, true);
    case "f64":
      return Number.isNaN(value)
        ? view.setBigUint64(at, CANONICAL_NAN_64, true)
        : view.setFloat64(at, value as number, true);
  }
}

const CANONICAL_NAN_32 = 0x7fc0_0000;
const CANONICAL_NAN_64 = 0x7ff8_0000_0000_0000n;

function setSized(
  view: DataView,
  { at, bytes, value }: { at: number; bytes: number; value: number },
): void {
  if (bytes === 1) view.setUint8(at, value);
  else if (bytes === 2) view.setUint16(at, value, true);
  else view.setUint32(at, value, true);
}

/** Allocates in the component's memory. */
function allocate(
  context: CallContext,
  { bytes, align }: { bytes: number; align: number },
): number {
  if (bytes > MAX_BYTES) throw new AbiError(`it cannot take ${bytes} bytes at once`);
  const pointer = context.realloc(align, bytes);
  range(context, { pointer, bytes, align });
  return pointer;
}

/** Where a string or list is. */
interface Extent {
  pointer: number;
  /** Length, in the unit of the type. */
  length: number;
}

function storeString(context: CallContext, text: string): Extent {
  const { encoding } = context;
  const isLatin1 = encoding === "latin1+utf16" && !/[^\0-\xff]/.test(text);
  const encoded = encoding === "utf8" ? encoder.encode(text) : unitsOf(text, isLatin1 ? 1 : 2);
  const align = encoding === "utf8" ? 1 : 2;
  const pointer = allocate(context, { bytes: encoded.length, align });
  range(context, { pointer, bytes: encoded.length, align }).set(encoded);
  if (encoding === "utf8" || isLatin1) return { pointer, length: encoded.length };
  return { pointer, length: text.length + (encoding === "utf16" ? 0 : UTF16_TAG) };
}

function unitsOf(text: string, unitBytes: 1 | 2): Uint8Array {
  const bytes = new Uint8Array(text.length * unitBytes);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unitBytes === 1) bytes[at] = unit;
    else view.setUint16(at * 2, unit, true);
  }
  return bytes;
}

function storeList(
  context: CallContext,
  element: ValueType,
  list: Uint8Array | ComponentValue[],
): Extent {
  const { length } = list;
  const { size, align } = element;
  const pointer = allocate(context, { bytes: length * size, align });
  if (list instanceof Uint8Array) {
    range(context, { pointer, bytes: length, align }).set(list);
  } else {
    list.forEach((value, index) => storeChecked(context, element, value, pointer + index * size));
  }
  return { pointer, length };
}

/** Core values that are read one after another. */
class FlatReader {
  #at = 0;
  readonly #values: readonly CoreValue[];

  constructor(values: readonly CoreValue[]) {
    this.#values = values;
  }

  next(): CoreValue {
    return this.#values[this.#at++]!;
  }

  /** Position of the next value. */
  get position(): number {
    return this.#at;
  }

  set position(at: number) {
    this.#at = at;
  }

  /** The values that are left. */
  rest(count: number): CoreValue[] {
    return this.#values.slice(this.#at, this.#at + count);
  }
}

/** Lifts values from core values, or from memory if there are too many. */
export function liftValues(
  context: CallContext,
  types: readonly ValueType[],
  { values, max = MAX_FLAT_PARAMETERS }: { values: readonly CoreValue[]; max?: number },
): ComponentValue[] {
  if (flatCount(types) <= max) {
    const reader = new FlatReader(values);
    return types.map((type) => liftFlat(context, type, reader));
  }
  const start = Number(values[0]) >>> 0;
  const { offsets, align, size } = layoutOf(types);
  range(context, { pointer: start, bytes: size, align });
  return types.map((type, index) => loadChecked(context, type, start + offsets[index]!));
}

function flatCount(types: readonly ValueType[]): number {
  return types.reduce((sum, { flat }) => sum + flat.length, 0);
}

/** Layout of values that are passed in memory, like the fields of a record. */
function layoutOf(
  types: readonly ValueType[],
): { offsets: number[]; align: number; size: number } {
  let end = 0;
  let align = 1;
  const offsets = types.map((type) => {
    const offset = Math.ceil(end / type.align) * type.align;
    end = offset + type.size;
    align = Math.max(align, type.align);
    return offset;
  });
  return { offsets, align, size: Math.ceil(end / align) * align };
}

function liftFlat(context: CallContext, type: ValueType, reader: FlatReader): ComponentValue {
  switch (type.kind) {
    case "record":
      return type.fields.map((field) => liftFlat(context, field, reader));
    case "variant": {
      const tag = Number(reader.next()) >>> 0;
      const payload = caseOf(type, tag);
      const end = reader.position + type.flat.length - 1;
      let value: ComponentValue;
      if (payload !== undefined) {
        const given = reader.rest(payload.flat.length).map((core, at) =>
          fromJoined(core, type.flat[at + 1]!, payload.flat[at]!)
        );
        value = liftFlat(context, payload, new FlatReader(given));
      }
      reader.position = end;
      return payload === undefined ? { tag } : { tag, value };
    }
    case "string": {
      const pointer = Number(reader.next()) >>> 0;
      return loadString(context, pointer, Number(reader.next()) >>> 0);
    }
    case "list": {
      const pointer = Number(reader.next()) >>> 0;
      return loadList(context, type.element, { pointer, length: Number(reader.next()) >>> 0 });
    }
  }
  return liftScalar(context, type, reader.next());
}

function liftScalar(context: CallContext, type: ValueType, core: CoreValue): ComponentValue {
  switch (type.kind) {
    case "u64":
      return BigInt.asUintN(64, core as bigint);
    case "s64":
      return BigInt.asIntN(64, core as bigint);
    case "f32":
    case "f64":
      return core as number;
  }
  const bits = Number(core);
  switch (type.kind) {
    case "bool":
      return bits !== 0;
    case "u8":
      return bits & 0xff;
    case "s8":
      return bits << 24 >> 24;
    case "u16":
      return bits & 0xffff;
    case "s16":
      return bits << 16 >> 16;
    case "s32":
      return bits | 0;
    case "char":
      return charOf(bits >>> 0);
    case "flags":
      return flagsOf(bits, type.count);
    case "own":
      return context.handles.take(type.resource, bits >>> 0);
    case "borrow":
      return context.handles.lend(type.resource, bits >>> 0);
  }
  return bits >>> 0;
}

const scratch = new DataView(new ArrayBuffer(8));

/** Reads a value of a case out of the type that the cases of a variant share. */
function fromJoined(core: CoreValue, joined: string, wanted: string): CoreValue {
  if (joined === wanted) return core;
  const bits = BigInt.asUintN(64, BigInt(core));
  scratch.setBigUint64(0, bits, true);
  if (wanted === "f64") return scratch.getFloat64(0, true);
  if (wanted === "f32") return scratch.getFloat32(0, true);
  return scratch.getInt32(0, true);
}

/** Writes a value of a case into the type that the cases of a variant share. */
function toJoined(core: CoreValue, joined: string, given: string): CoreValue {
  if (joined === given) return core;
  scratch.setBigUint64(0, 0n, true);
  if (given === "f64") storeNumber(scratch, { kind: "f64" }, core, 0);
  else if (given === "f32") storeNumber(scratch, { kind: "f32" }, core, 0);
  else scratch.setUint32(0, Number(core), true);
  return joined === "i64" ? scratch.getBigInt64(0, true) : scratch.getInt32(0, true);
}

/** Lowers values to core values, or to memory if there are too many. */
export function lowerValues(
  context: CallContext,
  types: readonly ValueType[],
  values: readonly ComponentValue[],
): CoreValue[] {
  if (flatCount(types) <= MAX_FLAT_PARAMETERS) {
    return types.flatMap((type, index) => lowerFlat(context, type, values[index]));
  }
  const { offsets, align, size } = layoutOf(types);
  const start = allocate(context, { bytes: size, align });
  types.forEach((type, index) =>
    storeChecked(context, type, values[index], start + offsets[index]!)
  );
  return [start];
}

/** Lowers one value to core values. */
export function lowerFlat(
  context: CallContext,
  type: ValueType,
  value: ComponentValue,
): CoreValue[] {
  switch (type.kind) {
    case "bool":
      return [Number(value)];
    case "string": {
      const { pointer, length } = storeString(context, value as string);
      return [pointer, length];
    }
    case "list": {
      const { pointer, length } = storeList(context, type.element, value as Uint8Array);
      return [pointer, length];
    }
    case "record":
      return type.fields.flatMap((field, index) =>
        lowerFlat(context, field, (value as ComponentValue[])[index])
      );
    case "variant": {
      const { tag, value: inner } = value as VariantValue;
      const payload = type.cases[tag];
      const lowered = payload === undefined ? [] : lowerFlat(context, payload, inner);
      const flat = type.flat.slice(1).map((joined, at) => {
        const core = lowered[at];
        if (core === undefined) return joined === "i64" ? 0n : 0;
        return toJoined(core, joined, payload!.flat[at]!);
      });
      return [tag, ...flat];
    }
    case "own":
      return [context.handles.add(type.resource, value as ResourceValue)];
    case "borrow":
      return [context.handles.borrow(type.resource, value as ResourceValue)];
  }
  return [value as CoreValue];
}
