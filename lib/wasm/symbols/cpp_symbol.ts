/**
 * Demangles C++ symbols of the Itanium ABI (https://itanium-cxx-abi.github.io/cxx-abi/abi.html#mangling).
 *
 * Covers names, types, templates and literals. Expressions that depend on template parameters are not covered: such a
 * symbol is shown as it is.
 *
 * @module
 */

import {
  CPP_LITERAL_SUFFIXES,
  CPP_OPERATORS,
  CPP_SPECIAL_NAMES,
  CPP_STANDARD_CLASSES,
  CPP_STANDARD_NAMES,
  CPP_TYPES,
} from "./cpp_abi_tables.ts";
import {
  type CppType,
  mapPack,
  pointerTo,
  referenceTo,
  spaceAfter,
  withSuffix,
  writtenPack,
  writtenType,
} from "./cpp_type_text.ts";

/** Greatest nesting of a symbol. */
const MAX_DEPTH = 100;

/** Longest part of a result, in characters: substitutions repeat parts, so that lengths could grow exponentially. */
const MAX_CHARS = 4000;

/** Most entries of a parameter pack. */
const MAX_PACK = 200;

/** Returns the name in source form; undefined if the symbol is not of this ABI or not covered. */
export function demangleCpp(symbol: string): string | undefined {
  const match = /^_{0,3}Z(.+)$/s.exec(symbol);
  if (match === null || !symbol.startsWith("_")) return undefined;
  try {
    return new CppParser(match[1]!).symbol();
  } catch (error) {
    if (error instanceof InvalidSymbol) return undefined;
    throw error;
  }
}

/** Thrown for a symbol that is not covered. */
class InvalidSymbol extends Error {}

/** A parsed name. */
interface Name {
  text: string;
  /** Whether it ends in template arguments, so that its type begins with the return type. */
  isTemplate: boolean;
  /** Whether it has no return type: a constructor, destructor or conversion. */
  hasNoReturn: boolean;
  /** Qualifiers of a member function, such as ` const`. */
  qualifiers: string;
}

/** Recursive-descent parser of one symbol. */
class CppParser {
  readonly #text: string;
  #at = 0;
  #depth = 0;
  readonly #substitutions: CppType[] = [];
  /** Arguments of the innermost template whose name has been read. */
  #arguments: CppType[] = [];
  /** Element of each pack while a pack expansion is parsed; undefined while its length is searched. */
  #element: number | undefined;
  /** Length of the pack that an expansion refers to. */
  #packLength: number | undefined;
  #isExpanding = false;

  /** @param text The symbol after its prefix `_Z`. */
  constructor(text: string) {
    this.#text = text;
  }

  /** Parses the whole symbol. */
  symbol(): string {
    const text = this.#encoding();
    const rest = this.#text.slice(this.#at);
    if (rest === "") return text;
    // Compilers append suffixes to clones of functions: .isra.0, .llvm.123
    return /^\.[\w.]+$/.test(rest) ? `${text} [clone ${rest}]` : this.#fail();
  }

  #fail(): never {
    throw new InvalidSymbol();
  }

  #cap(text: string): string {
    return text.length > MAX_CHARS ? this.#fail() : text;
  }

  #peek(text: string): boolean {
    return this.#text.startsWith(text, this.#at);
  }

  #eat(text: string): boolean {
    if (!this.#peek(text)) return false;
    this.#at += text.length;
    return true;
  }

  #nested<T>(parse: () => T): T {
    if (++this.#depth > MAX_DEPTH) this.#fail();
    const result = parse();
    this.#depth--;
    return result;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #remember(text: CppType): CppType {
    this.#cap(text.left + text.right);
    this.#substitutions.push(text);
    return text;
  }

  #encoding(): string {
    return this.#nested(() => {
      const special = this.#specialName();
      if (special !== undefined) return special;
      const name = this.#name();
      if (this.#at >= this.#text.length || this.#peek("E") || this.#peek(".")) return name.text;
      const result = name.isTemplate && !name.hasNoReturn ? this.#type() : undefined;
      const parameters = this.#parameters();
      return this.#cap(
        `${result === undefined ? "" : `${result.left}${spaceAfter(result.left)}`}${name.text}` +
          `(${parameters})${name.qualifiers}${result?.right ?? ""}`,
      );
    });
  }

  #specialName(): string | undefined {
    const two = this.#text.slice(this.#at, this.#at + 2);
    const prefix = CPP_SPECIAL_NAMES[two];
    if (prefix !== undefined) {
      this.#at += 2;
      return prefix + writtenType(this.#type());
    }
    if (two === "GV") {
      this.#at += 2;
      return `guard variable for ${this.#name().text}`;
    }
    if (two === "TW" || two === "TH") {
      this.#at += 2;
      return `TLS ${two === "TW" ? "wrapper" : "init"} function for ${this.#name().text}`;
    }
    if (two === "GR") {
      this.#at += 2;
      const name = this.#name().text;
      this.#match(/[0-9A-Z]*_/y);
      return `reference temporary for ${name}`;
    }
    if (this.#match(/Thn?\d+_/y) !== undefined) return `non-virtual thunk to ${this.#encoding()}`;
    if (this.#match(/Tvn?\d+_n?\d+_/y) !== undefined) return `virtual thunk to ${this.#encoding()}`;
    if (this.#match(/Tc(?:hn?\d+_|vn?\d+_n?\d+_){2}/y) !== undefined) {
      return `covariant return thunk to ${this.#encoding()}`;
    }
    return undefined;
  }

  /** Types up to the end of the encoding, as a list of parameters. */
  #parameters(): string {
    const types: string[] = [];
    while (this.#at < this.#text.length && !/[E.]/.test(this.#text[this.#at]!)) {
      const at = this.#at;
      if ((this.#peek("R") || this.#peek("O")) && this.#text[at + 1] === "E") break;
      types.push(...writtenPack(this.#type()));
    }
    if (types.length === 0) this.#fail();
    return types.length === 1 && types[0] === "void" ? "" : this.#cap(types.join(", "));
  }

  #name(): Name {
    return this.#nested(() => {
      if (this.#eat("N")) return this.#nestedName();
      if (this.#eat("Z")) return this.#localName();
      const isSubstitution = this.#peek("S") && !this.#peek("St");
      if (isSubstitution) {
        const found = this.#substitution();
        if (!this.#peek("I")) this.#fail();
        return plainName(found.left + this.#templateArguments(), { isTemplate: true });
      }
      const inStd = this.#eat("St");
      const unqualified = this.#unqualifiedName("");
      const text = inStd ? `std::${unqualified.text}` : unqualified.text;
      if (!this.#peek("I")) return { ...unqualified, text };
      this.#remember({ left: text, right: "" });
      return {
        ...unqualified,
        text: this.#cap(text + this.#templateArguments()),
        isTemplate: true,
      };
    });
  }

  #nestedName(): Name {
    const cv = this.#match(/[rVK]+/y) ?? "";
    const reference = this.#match(/[RO]/y) ?? "";
    const qualifiers =
      [...cv].reverse().map((letter) => ({ K: " const", V: " volatile", r: " restrict" })[letter])
        .join("") + ({ R: " &", O: " &&" }[reference] ?? "");
    let text = "";
    /** Last component, without template arguments: the name of a constructor. */
    let last = "";
    let isTemplate = false;
    let hasNoReturn = false;
    let pushed = false;
    while (!this.#eat("E")) {
      pushed = true;
      if (this.#peek("S") && text === "") {
        const found = this.#eat("St") ? { left: "std", right: "" } : this.#substitution();
        text = found.left + found.right;
        last = CPP_STANDARD_CLASSES[text] ?? baseName(text);
        pushed = false;
        isTemplate = text.endsWith(">");
        continue;
      }
      if (this.#peek("I")) {
        if (text === "") this.#fail();
        text = this.#cap(text + this.#templateArguments());
        isTemplate = true;
      } else if (this.#peek("T") && text === "") {
        text = writtenType(this.#templateParameter());
        last = baseName(text);
        this.#substitutions.push({ left: text, right: "" });
        continue;
      } else if (this.#peek("Dt") || this.#peek("DT")) {
        this.#fail();
      } else {
        const component = this.#unqualifiedName(last);
        text = this.#cap(text === "" ? component.text : `${text}::${component.text}`);
        last = component.base;
        hasNoReturn = component.hasNoReturn;
        isTemplate = false;
      }
      if (this.#eat("M")) continue; // a data member with a lambda
      this.#remember({ left: text, right: "" });
    }
    if (text === "") this.#fail();
    // The whole name is no prefix; it becomes a substitution where it is a type.
    if (pushed) this.#substitutions.pop();
    return { text, isTemplate, hasNoReturn, qualifiers };
  }

  #localName(): Name {
    const saved = this.#arguments;
    const scope = this.#encoding();
    if (!this.#eat("E")) this.#fail();
    if (this.#eat("s")) {
      this.#discriminator();
      return plainName(`${scope}::string literal`);
    }
    if (this.#match(/d\d*_/y) !== undefined) this.#arguments = saved;
    const name = this.#name();
    this.#discriminator();
    return { ...name, text: this.#cap(`${scope}::${name.text}`) };
  }

  #discriminator(): void {
    this.#match(/__\d+_|_\d/y);
  }

  /** A component of a name; `scope` is the class that contains it. */
  #unqualifiedName(scope: string): Name & { base: string } {
    const named = this.#bareName(scope);
    let { text } = named;
    while (this.#eat("B")) text += `[abi:${this.#sourceName()}]`;
    return { ...named, text };
  }

  #bareName(scope: string): Name & { base: string } {
    this.#eat("L"); // internal linkage
    if (/\d/.test(this.#text[this.#at] ?? "")) {
      const text = this.#sourceName();
      return { ...plainName(text), base: text };
    }
    const structor = this.#match(/C[123]|CI[12]|D[0124](?!\d)/y);
    if (structor !== undefined) {
      if (scope === "") this.#fail();
      if (structor.startsWith("CI")) this.#type();
      const text = structor.startsWith("C") ? scope : `~${scope}`;
      return { ...plainName(text, { hasNoReturn: true }), base: scope };
    }
    if (this.#eat("Ul")) {
      const parameters: string[] = [];
      while (!this.#eat("E")) parameters.push(...writtenPack(this.#type()));
      const list = parameters.length === 1 && parameters[0] === "void" ? "" : parameters.join(", ");
      const text = this.#cap(`{lambda(${list})#${this.#ordinal()}}`);
      return { ...plainName(text), base: text };
    }
    if (this.#eat("Ut")) {
      const text = `{unnamed type#${this.#ordinal()}}`;
      return { ...plainName(text), base: text };
    }
    if (this.#eat("cv")) {
      const text = `operator ${writtenType(this.#type())}`;
      return { ...plainName(text, { hasNoReturn: true }), base: text };
    }
    if (this.#eat("li")) {
      const text = `operator"" ${this.#sourceName()}`;
      return { ...plainName(text), base: text };
    }
    const symbol = CPP_OPERATORS[this.#text.slice(this.#at, this.#at + 2)];
    if (symbol === undefined) this.#fail();
    this.#at += 2;
    const text = `operator${symbol}`;
    return { ...plainName(text), base: text };
  }

  /** Number of an unnamed type or lambda, from 1. */
  #ordinal(): number {
    const found = this.#match(/\d*_/y);
    if (found === undefined) this.#fail();
    return found === "_" ? 1 : Number(found.slice(0, -1)) + 2;
  }

  #sourceName(): string {
    const digits = this.#match(/[1-9]\d{0,4}/y);
    if (digits === undefined) this.#fail();
    const end = this.#at + Number(digits);
    if (end > this.#text.length) this.#fail();
    const name = this.#text.slice(this.#at, end);
    this.#at = end;
    return name.startsWith("_GLOBAL__N") ? "(anonymous namespace)" : name;
  }

  #substitution(): CppType {
    const standard = CPP_STANDARD_NAMES[this.#text.slice(this.#at, this.#at + 2)];
    if (standard !== undefined && !this.#peek("St")) {
      this.#at += 2;
      return { left: standard, right: "" };
    }
    const found = this.#match(/S[0-9A-Z]*_/y);
    if (found === undefined) this.#fail();
    const digits = found.slice(1, -1);
    return this.#substitutions[digits === "" ? 0 : parseInt(digits, 36) + 1] ?? this.#fail();
  }

  #templateArguments(): string {
    if (!this.#eat("I")) this.#fail();
    return this.#nested(() => {
      const args: CppType[] = [];
      while (!this.#eat("E")) args.push(this.#templateArgument());
      if (!this.#isExpanding) this.#arguments = args;
      const list = args.flatMap(writtenPack).join(", ");
      return this.#cap(`<${list}>`);
    });
  }

  #templateArgument(): CppType {
    return this.#nested(() => {
      if (this.#eat("L")) return { left: this.#literal(), right: "" };
      if (this.#peek("X")) this.#fail();
      if (this.#eat("J")) {
        const pack: CppType[] = [];
        while (!this.#eat("E")) {
          if (pack.push(this.#templateArgument()) > MAX_PACK) this.#fail();
        }
        return { left: "", right: "", pack };
      }
      return this.#type();
    });
  }

  /** A literal after its `L`. */
  #literal(): string {
    if (this.#eat("_Z") || this.#eat("Z")) {
      const text = this.#encoding();
      return this.#eat("E") ? `&${text}` : this.#fail();
    }
    const letter = this.#text[this.#at]!;
    const type = writtenType(this.#type());
    const value = (this.#match(/n?[0-9a-f]*/y) ?? "").replace(/^n/, "-");
    if (!this.#eat("E")) this.#fail();
    if (type === "bool") return value === "0" ? "false" : "true";
    if (value === "" || type === "std::nullptr_t") {
      return type === "std::nullptr_t" ? "nullptr" : type;
    }
    const suffix = CPP_LITERAL_SUFFIXES[letter];
    return suffix === undefined ? `(${type})${value}` : `${value}${suffix}`;
  }

  #templateParameter(): CppType {
    const found = this.#match(/T[0-9]*_/y);
    if (found === undefined) this.#fail();
    const digits = found.slice(1, -1);
    const argument = this.#arguments[digits === "" ? 0 : Number(digits) + 1];
    // The conversion operator of a template precedes its arguments.
    if (argument === undefined) this.#fail();
    if (argument.pack === undefined || !this.#isExpanding) return argument;
    this.#packLength = argument.pack.length;
    if (this.#element === undefined) return { left: "", right: "", pack: [] };
    return argument.pack[this.#element] ?? this.#fail();
  }

  /** Parses the pattern of a pack expansion once for each element. */
  #expansion(): CppType {
    if (this.#isExpanding) this.#fail();
    this.#isExpanding = true;
    this.#packLength = undefined;
    const start = this.#at;
    const before = this.#substitutions.length;
    this.#element = undefined;
    const pattern = this.#type();
    const pack: CppType[] = [];
    const length: number | undefined = this.#packLength;
    const end = this.#at;
    const kept = this.#substitutions.slice();
    for (this.#element = 0; this.#element < (length ?? 0); this.#element++) {
      this.#at = start;
      this.#substitutions.length = before;
      pack.push(this.#type());
    }
    if (length === 0) this.#substitutions.splice(0, Infinity, ...kept);
    this.#at = end;
    this.#isExpanding = false;
    this.#element = undefined;
    return length === undefined
      ? { left: `${pattern.left}...`, right: pattern.right }
      : { left: "", right: "", pack };
  }

  #type(): CppType {
    return this.#nested(() => this.#typeAt());
  }

  #typeAt(): CppType {
    const two = this.#text.slice(this.#at, this.#at + 2);
    const qualifiers = this.#match(/[rVK]+/y);
    if (qualifiers !== undefined) {
      const type = this.#type();
      const suffix = [...qualifiers].reverse().map((letter) =>
        ({ K: " const", V: " volatile", r: " restrict" })[letter]
      ).join("");
      return this.#remember(
        type.isFunction ? { ...type, right: type.right + suffix } : mapPack(type, (one) => ({
          ...one,
          left: one.left + suffix,
        })),
      );
    }
    const letters = two.startsWith("D") ? two : two.slice(0, 1);
    const builtin = CPP_TYPES[letters];
    if (builtin !== undefined) {
      this.#at += letters.length;
      return { left: builtin, right: "" };
    }
    switch (two[0]) {
      case "P":
        this.#at++;
        return this.#remember(mapPack(this.#type(), (type) => pointerTo(type, "*")));
      case "R":
        this.#at++;
        return this.#remember(mapPack(this.#type(), (type) => referenceTo(type, "&")));
      case "O":
        this.#at++;
        return this.#remember(mapPack(this.#type(), (type) => referenceTo(type, "&&")));
      case "C":
      case "G":
        this.#at++;
        return this.#remember(
          withSuffix(this.#type(), two[0] === "C" ? " _Complex" : " _Imaginary"),
        );
      case "F":
        return this.#remember(this.#functionType());
      case "A": {
        const size = this.#match(/A\d*_/y);
        if (size === undefined) this.#fail();
        const element = this.#type();
        return this.#remember({
          left: element.left,
          right: `${element.isArray ? "" : " "}[${size.slice(1, -1)}]${element.right.trimStart()}`,
          isArray: true,
        });
      }
      case "M": {
        this.#at++;
        const scope = writtenType(this.#type());
        return this.#remember(pointerTo(this.#type(), `${scope}::*`));
      }
      case "T": {
        if (/T[sue]/y.test(two)) {
          this.#at += 2;
          return this.#remember({ left: this.#name().text, right: "" });
        }
        const parameter = this.#remember(this.#templateParameter());
        if (!this.#peek("I")) return parameter;
        return this.#remember({ left: parameter.left + this.#templateArguments(), right: "" });
      }
      case "S": {
        if (two === "St") break;
        const found = this.#substitution();
        if (!this.#peek("I")) return found;
        return this.#remember({ left: found.left + this.#templateArguments(), right: "" });
      }
      case "u":
        this.#at++;
        return this.#remember({ left: this.#sourceName(), right: "" });
      case "U": {
        this.#at++;
        const qualifier = this.#sourceName();
        return this.#remember(withSuffix(this.#type(), ` ${qualifier}`));
      }
      case "D":
        return this.#extendedType(two);
    }
    const saved = this.#arguments;
    const name = this.#name();
    // Arguments of a type's own name are not those of the function.
    this.#arguments = saved;
    return this.#remember({ left: name.text, right: "" });
  }

  #extendedType(two: string): CppType {
    if (two === "Dp") {
      this.#at += 2;
      return this.#remember(this.#expansion());
    }
    if (two === "Do") {
      this.#at += 2;
      const type = this.#functionType();
      return this.#remember({ ...type, right: `${type.right} noexcept` });
    }
    const size = this.#match(/Dv\d+_/y);
    if (size === undefined) this.#fail();
    return this.#remember(withSuffix(this.#type(), ` __vector(${size.slice(2, -1)})`));
  }

  #functionType(): CppType {
    if (!this.#eat("F")) this.#fail();
    this.#eat("Y");
    const result = this.#type();
    const parameters = this.#parameters();
    const reference = this.#match(/[RO](?=E)/y);
    if (!this.#eat("E")) this.#fail();
    const suffix = reference === undefined ? "" : reference === "R" ? " &" : " &&";
    return {
      left: `${result.left}${spaceAfter(result.left)}`,
      right: this.#cap(`(${parameters})${suffix}${result.right}`),
      isFunction: true,
    };
  }
}

function plainName(text: string, { isTemplate = false, hasNoReturn = false } = {}): Name {
  return { text, isTemplate, hasNoReturn, qualifiers: "" };
}

/** Last component of a name, without its template arguments. */
function baseName(text: string): string {
  let depth = 0;
  let end = text.length;
  for (let at = text.length - 1; at >= 0; at--) {
    if (text[at] === ">") depth++;
    if (text[at] === "<" && --depth === 0) end = at;
    if (depth === 0 && text[at] === ":") return text.slice(at + 1, end);
  }
  return text.slice(0, end);
}
