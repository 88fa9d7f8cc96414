/**
 * Demangles Rust symbols: the v0 scheme (RFC 2603) and the legacy scheme, which resembles C++ names with a hash.
 *
 * @module
 */

/** Greatest nesting of a symbol. */
const MAX_DEPTH = 100;

/** Longest result, in characters: back references repeat parts, so a short symbol could have an endless name. */
const MAX_CHARS = 4000;

/** Returns the path without its hash; undefined if the symbol is not a Rust one. */
export function demangleRust(symbol: string): string | undefined {
  const legacy = /^_{0,2}ZN((?:\d+.*)?17h[0-9a-f]{16})E(?:\.|$)/.exec(symbol);
  if (legacy !== null) return demangleLegacy(legacy[1]!);
  const v0 = /^_?R([A-Z][0-9A-Za-z_]*)(?:[.$]|$)/.exec(symbol);
  if (v0 === null) return undefined;
  try {
    const parser = new V0Parser(v0[1]!);
    parser.path(true);
    return parser.output;
  } catch (error) {
    if (error instanceof InvalidSymbol) return undefined;
    throw error;
  }
}

/** Characters of legacy identifiers by their escape. */
const LEGACY_ESCAPES: Readonly<Record<string, string>> = {
  SP: "@",
  BP: "*",
  RF: "&",
  LT: "<",
  GT: ">",
  LP: "(",
  RP: ")",
  C: ",",
};

function demangleLegacy(path: string): string | undefined {
  const names: string[] = [];
  for (let at = 0; at < path.length;) {
    const digits = /^\d+/.exec(path.slice(at, at + 6))?.[0];
    if (digits === undefined) return undefined;
    const start = at + digits.length;
    at = start + Number(digits);
    if (at > path.length) return undefined;
    names.push(path.slice(start, at));
  }
  // The last one is the hash.
  return names.slice(0, -1).map((name) =>
    name
      .replace(/^_(?=\$)/, "")
      .replaceAll("..", "::")
      .replace(/\$(?:u([0-9a-f]{1,6})|([A-Z]{1,2}))\$/g, (escape, code, word) => {
        const point = parseInt(code ?? "", 16);
        if (point >= 0x20 && point <= 0x10ffff) return String.fromCodePoint(point);
        return LEGACY_ESCAPES[word ?? ""] ?? escape;
      })
  ).join("::");
}

/** Thrown for a symbol that the grammar does not cover. */
class InvalidSymbol extends Error {}

/** Basic types by their letter. */
const BASIC_TYPES: Readonly<Record<string, string>> = {
  a: "i8",
  b: "bool",
  c: "char",
  d: "f64",
  e: "str",
  f: "f32",
  h: "u8",
  i: "isize",
  j: "usize",
  l: "i32",
  m: "u32",
  n: "i128",
  o: "u128",
  p: "_",
  s: "i16",
  t: "u16",
  u: "()",
  v: "...",
  x: "i64",
  y: "u64",
  z: "!",
};

/** Recursive-descent parser of v0 symbols. */
class V0Parser {
  /** The name so far. */
  output = "";
  readonly #text: string;
  #at = 0;
  #depth = 0;
  /** Lifetimes bound by the enclosing `for<…>`. */
  #lifetimes = 0;
  /** Whether output is discarded, in parts that a name does not show. */
  #isSilent = false;

  /** @param text The symbol after its prefix `_R`. */
  constructor(text: string) {
    this.#text = text;
  }

  #fail(): never {
    throw new InvalidSymbol();
  }

  #print(text: string): void {
    if (this.#isSilent) return;
    this.output += text;
    if (this.output.length > MAX_CHARS) this.#fail();
  }

  #next(): string {
    return this.#text[this.#at++] ?? this.#fail();
  }

  #eat(letter: string): boolean {
    if (this.#text[this.#at] !== letter) return false;
    this.#at++;
    return true;
  }

  /** Base-62 number that ends in `_`. */
  #number(): number {
    if (this.#eat("_")) return 0;
    let value = 0;
    while (!this.#eat("_")) {
      const letter = this.#next();
      const digit = /[0-9]/.test(letter)
        ? Number(letter)
        : /[a-z]/.test(letter)
        ? letter.charCodeAt(0) - 87
        : /[A-Z]/.test(letter)
        ? letter.charCodeAt(0) - 29
        : this.#fail();
      // Disambiguators of crates have 64 bits; they are not shown, and need not be exact.
      value = value * 62 + digit;
    }
    return value + 1;
  }

  /** Number after a tag; 0 without the tag. */
  #optionalNumber(tag: string): number {
    return this.#eat(tag) ? this.#number() + 1 : 0;
  }

  #identifier(): { name: string; disambiguator: number } {
    const disambiguator = this.#optionalNumber("s");
    const isPunycode = this.#eat("u");
    const digits = /^(?:0|[1-9]\d*)/.exec(this.#text.slice(this.#at, this.#at + 6))?.[0];
    if (digits === undefined) this.#fail();
    this.#at += digits.length;
    this.#eat("_");
    const end = this.#at + Number(digits);
    if (end > this.#text.length) this.#fail();
    const name = this.#text.slice(this.#at, end);
    this.#at = end;
    return { name: isPunycode ? decodePunycode(name) ?? this.#fail() : name, disambiguator };
  }

  #nested<T>(parse: () => T): T {
    if (++this.#depth > MAX_DEPTH) this.#fail();
    const result = parse();
    this.#depth--;
    return result;
  }

  /** Parses again at an earlier position. */
  #backReference(parse: () => void): void {
    const start = this.#at - 1;
    const target = this.#number();
    if (target >= start) this.#fail();
    if (this.#isSilent) return;
    const after = this.#at;
    this.#at = target;
    this.#nested(parse);
    this.#at = after;
  }

  #silently(parse: () => void): void {
    const wasSilent = this.#isSilent;
    this.#isSilent = true;
    parse();
    this.#isSilent = wasSilent;
  }

  /** Parses a path; generic arguments of values have `::` before them. */
  path(isValue: boolean): void {
    this.#nested(() => this.#path(isValue));
  }

  #path(isValue: boolean): void {
    const tag = this.#next();
    switch (tag) {
      case "C":
        return this.#print(this.#identifier().name);
      case "M":
      case "X":
      case "Y": {
        if (tag !== "Y") {
          this.#optionalNumber("s");
          this.#silently(() => this.path(false));
        }
        this.#print("<");
        this.#type();
        if (tag !== "M") {
          this.#print(" as ");
          this.path(false);
        }
        return this.#print(">");
      }
      case "N": {
        const namespace = this.#next();
        this.path(isValue);
        const { name, disambiguator } = this.#identifier();
        if (/[A-Z]/.test(namespace)) {
          const kind = { C: "closure", S: "shim" }[namespace] ?? namespace;
          return this.#print(`::{${kind}${name === "" ? "" : `:${name}`}#${disambiguator}}`);
        }
        return this.#print(name === "" ? "" : `::${name}`);
      }
      case "I":
        this.path(isValue);
        this.#print(isValue ? "::<" : "<");
        this.#list(() => this.#genericArgument());
        return this.#print(">");
      case "B":
        return this.#backReference(() => this.#path(isValue));
      default:
        this.#fail();
    }
  }

  /** Items up to `E`, separated by commas; returns their number. */
  #list(parse: () => void, separator = ", "): number {
    let count = 0;
    while (!this.#eat("E")) {
      if (count++ > 0) this.#print(separator);
      parse();
    }
    return count;
  }

  #genericArgument(): void {
    if (this.#eat("L")) this.#lifetime(this.#number());
    else if (this.#eat("K")) this.#constant();
    else this.#type();
  }

  #lifetime(index: number): void {
    if (index === 0) return this.#print("'_");
    const depth = this.#lifetimes - index;
    if (depth < 0) this.#fail();
    this.#print(depth < 26 ? `'${String.fromCharCode(97 + depth)}` : `'_${depth}`);
  }

  #binder(parse: () => void): void {
    const count = this.#optionalNumber("G");
    if (count > 100) this.#fail();
    if (count > 0) {
      this.#print("for<");
      for (let at = 0; at < count; at++) {
        if (at > 0) this.#print(", ");
        this.#lifetimes++;
        this.#lifetime(1);
      }
      this.#print("> ");
    }
    parse();
    this.#lifetimes -= count;
  }

  #type(): void {
    this.#nested(() => this.#typeOf(this.#next()));
  }

  #typeOf(tag: string): void {
    const basic = BASIC_TYPES[tag];
    if (basic !== undefined) return this.#print(basic);
    switch (tag) {
      case "R":
      case "Q": {
        this.#print("&");
        if (this.#eat("L")) {
          const index = this.#number();
          if (index > 0) {
            this.#lifetime(index);
            this.#print(" ");
          }
        }
        if (tag === "Q") this.#print("mut ");
        return this.#type();
      }
      case "P":
      case "O":
        this.#print(tag === "P" ? "*const " : "*mut ");
        return this.#type();
      case "A":
      case "S":
        this.#print("[");
        this.#type();
        if (tag === "A") {
          this.#print("; ");
          this.#constant();
        }
        return this.#print("]");
      case "T": {
        this.#print("(");
        const count = this.#list(() => this.#type());
        return this.#print(count === 1 ? ",)" : ")");
      }
      case "F":
        return this.#binder(() => this.#functionType());
      case "D":
        this.#print("dyn ");
        this.#binder(() => this.#list(() => this.#dynTrait(), " + "));
        if (!this.#eat("L")) this.#fail();
        {
          const index = this.#number();
          if (index > 0) {
            this.#print(" + ");
            this.#lifetime(index);
          }
        }
        return;
      case "B":
        return this.#backReference(() => this.#typeOf(this.#next()));
      default:
        this.#at--;
        return this.path(false);
    }
  }

  #functionType(): void {
    if (this.#eat("U")) this.#print("unsafe ");
    if (this.#eat("K")) {
      const abi = this.#eat("C") ? "C" : this.#identifier().name.replaceAll("_", "-");
      this.#print(`extern "${abi}" `);
    }
    this.#print("fn(");
    this.#list(() => this.#type());
    this.#print(")");
    if (this.#eat("u")) return;
    this.#print(" -> ");
    this.#type();
  }

  #dynTrait(): void {
    const start = this.output.length;
    this.path(false);
    let isOpen = this.output.length > start && this.output.endsWith(">") &&
      this.output.slice(start).includes("<");
    if (this.#text[this.#at] === "p" && isOpen && !this.#isSilent) {
      this.output = this.output.slice(0, -1);
    } else isOpen = false;
    let hasBindings = false;
    while (this.#eat("p")) {
      this.#print(hasBindings || isOpen ? ", " : "<");
      hasBindings = true;
      this.#print(`${this.#identifier().name} = `);
      this.#type();
    }
    if (hasBindings || isOpen) this.#print(">");
  }

  #constant(): void {
    this.#nested(() => this.#constantOf(this.#next()));
  }

  #constantOf(tag: string): void {
    if (tag === "B") return this.#backReference(() => this.#constantOf(this.#next()));
    if (tag === "p") return this.#print("_");
    const isNegative = this.#eat("n");
    const digits = /^[0-9a-f]*_/.exec(this.#text.slice(this.#at, this.#at + 40))?.[0];
    if (digits === undefined) this.#fail();
    this.#at += digits.length;
    const value = BigInt(`0x0${digits.slice(0, -1)}`);
    if (tag === "b") return this.#print(value === 0n ? "false" : "true");
    if (tag === "c") {
      const text = value <= 0x10ffffn ? String.fromCodePoint(Number(value)) : this.#fail();
      return this.#print(`'${text}'`);
    }
    if (!/[ahijlmnostxy]/.test(tag)) this.#fail();
    this.#print(`${isNegative ? "-" : ""}${value}`);
  }
}

/** Decodes Rust's form of Punycode (RFC 3492), which has `_` as its delimiter. */
function decodePunycode(text: string): string | undefined {
  const at = text.lastIndexOf("_");
  const output = at > 0 ? [...text.slice(0, at)].map((char) => char.charCodeAt(0)) : [];
  const input = text.slice(at + 1);
  let [n, i, bias] = [128, 0, 72];
  for (let position = 0; position < input.length;) {
    const before = i;
    let weight = 1;
    for (let k = 36;; k += 36) {
      const code = input.charCodeAt(position++);
      const digit = code >= 97 && code <= 122
        ? code - 97
        : code >= 48 && code <= 57
        ? code - 22
        : -1;
      if (digit < 0) return undefined;
      i += digit * weight;
      const threshold = Math.min(26, Math.max(1, k - bias));
      if (digit < threshold) break;
      weight *= 36 - threshold;
      if (i > 2 ** 31 || weight > 2 ** 31) return undefined;
    }
    const length = output.length + 1;
    let delta = Math.floor((i - before) / (before === 0 ? 700 : 2));
    delta += Math.floor(delta / length);
    let k = 0;
    for (; delta > 455; k += 36) delta = Math.floor(delta / 35);
    bias = k + Math.floor(36 * delta / (delta + 38));
    n += Math.floor(i / length);
    i %= length;
    if (n > 0x10ffff) return undefined;
    output.splice(i++, 0, n);
  }
  return String.fromCodePoint(...output);
}
