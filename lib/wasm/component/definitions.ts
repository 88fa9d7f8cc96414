/**
 * Defines the syntax tree of a component: its definitions in file order, with indices as in the file.
 * Source: WebAssembly/component-model design/mvp/Binary.md.
 *
 * @module
 */

/** Sorts of core definitions. */
export type CoreSort =
  | "func"
  | "table"
  | "memory"
  | "global"
  | "tag"
  | "type"
  | "module"
  | "instance";

/** Sorts of definitions. */
export type Sort = "core module" | "func" | "type" | "component" | "instance";

/** Names of the primitive value types. */
export type PrimitiveName =
  | "bool"
  | "s8"
  | "u8"
  | "s16"
  | "u16"
  | "s32"
  | "u32"
  | "s64"
  | "u64"
  | "f32"
  | "f64"
  | "char"
  | "string";

/** A value type: primitive, or the index of its definition. */
export type ValueReference = PrimitiveName | number;

/** A name with an optional type: a field, case, or parameter. */
export interface Labelled<Type> {
  /** Label. */
  label: string;
  /** Type. */
  type: Type;
}

/** A type definition. */
export type TypeNode =
  | { kind: "primitive"; name: PrimitiveName }
  | { kind: "record"; fields: Labelled<ValueReference>[] }
  | { kind: "variant"; cases: Labelled<ValueReference | undefined>[] }
  | { kind: "list"; element: ValueReference }
  | { kind: "tuple"; items: ValueReference[] }
  | { kind: "flags"; labels: string[] }
  | { kind: "enum"; labels: string[] }
  | { kind: "option"; some: ValueReference }
  | { kind: "result"; ok: ValueReference | undefined; error: ValueReference | undefined }
  | { kind: "own" | "borrow"; resource: number }
  | {
    kind: "func";
    parameters: Labelled<ValueReference>[];
    result: ValueReference | undefined;
  }
  | { kind: "component" }
  | { kind: "instance"; declarations: Declaration[] }
  | { kind: "resource"; destructor: number | undefined };

/** Type of an import or export. */
export type ExternDescription =
  | { sort: "core module" | "func" | "component" | "instance"; type: number }
  | { sort: "type"; equals: number | undefined };

/** An alias. */
export type Alias =
  | { kind: "export alias"; sort: Sort; instance: number; name: string }
  | { kind: "core export alias"; sort: CoreSort; instance: number; name: string }
  | { kind: "outer alias"; sort: Sort | "core type"; levels: number; index: number };

/** A declaration in an instance type. */
export type Declaration =
  | { kind: "type"; type: TypeNode }
  | { kind: "core type" }
  | Alias
  | { kind: "export"; name: string; description: ExternDescription };

/** Encodings of strings. */
export type StringEncoding = "utf8" | "utf16" | "latin1+utf16";

/** Options of a lifted or lowered function. */
export interface CanonicalOptions {
  /** Encoding of strings. */
  encoding: StringEncoding;
  /** Index of the core memory. */
  memory: number | undefined;
  /** Index of the core function that allocates. */
  realloc: number | undefined;
  /** Index of the core function that is called after the results have been read. */
  postReturn: number | undefined;
}

/** A named reference to a definition. */
export interface NamedReference<AnySort> {
  /** Name. */
  name: string;
  /** Sort of the definition. */
  sort: AnySort;
  /** Its index. */
  index: number;
}

/** Built-in functions on the resources of a component. */
export type ResourceFunction = "resource.new" | "resource.drop" | "resource.rep";

/** A definition. */
export type Definition =
  | { kind: "core module"; start: number; end: number }
  | { kind: "core instance"; module: number; args: { name: string; instance: number }[] }
  | { kind: "core exports"; exports: NamedReference<CoreSort>[] }
  | { kind: "core type" }
  | { kind: "component"; component: Component }
  | { kind: "instance"; component: number; args: NamedReference<Sort>[] }
  | { kind: "exports"; exports: NamedReference<Sort>[] }
  | Alias
  | { kind: "type"; type: TypeNode }
  | { kind: "lift"; func: number; options: CanonicalOptions; type: number }
  | { kind: "lower"; func: number; options: CanonicalOptions }
  | { kind: ResourceFunction; type: number }
  | { kind: "import"; name: string; description: ExternDescription }
  | ({ kind: "export" } & NamedReference<Sort>);

/** A component. */
export interface Component {
  /** Definitions, in file order. */
  definitions: Definition[];
}
