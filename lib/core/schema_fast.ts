/**
 * A quick yes to documents that follow their schema. The validator takes 0.4 ms for a receipt, most of it
 * for errors that are not there; who gets no yes here goes to it, and only it says what is wrong.
 * @module
 */

type Rules = Readonly<Record<string, unknown>>;

/** Tells that a value follows a schema; false means that it may not. */
export type Test = (value: unknown) => boolean;

/** What a rule says of values of all kinds, without effect. */
const NOTES: ReadonlySet<string> = new Set([
  "$schema",
  "$id",
  "$defs",
  "title",
  "description",
  "examples",
  "default",
]);

/** Rules whose meaning another one has taken up, beside which they stand. */
const TAKEN_UP: ReadonlySet<string> = new Set(["additionalProperties", "then", "else"]);

function isObject(value: unknown): value is Rules {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const IS_TYPE: Readonly<Record<string, Test>> = {
  array: Array.isArray,
  boolean: (value) => typeof value === "boolean",
  integer: Number.isInteger,
  null: (value) => value === null,
  number: (value) => typeof value === "number",
  object: isObject,
  string: (value) => typeof value === "string",
};

/** A part of the schema that this module does not know. */
class Unknown extends Error {}

function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Unknown();
  return value;
}

/**
 * Makes the test of a schema; `undefined` where the schema says something that is not known here. It
 * takes no more steps than the value has parts, whatever is in it.
 */
export function compileSchema(schema: Rules): Test | undefined {
  try {
    return compile(schema, schema);
  } catch (error) {
    if (error instanceof Unknown) return undefined;
    throw error;
  }
}

function compile(rules: unknown, root: Rules): Test {
  if (!isObject(rules)) throw new Unknown();
  const tests: Test[] = [];
  const inner = (rule: unknown): Test => compile(rule, root);
  const { additionalProperties } = rules;
  for (const [name, rule] of Object.entries(rules)) {
    if (NOTES.has(name) || TAKEN_UP.has(name)) continue;
    tests.push(compileRule(name, rule, { rules, root, inner }));
  }
  if (additionalProperties !== undefined && rules.properties === undefined) {
    tests.push(compileProperties({}, additionalProperties, inner));
  }
  // A loop rather than every(): this runs for each part of each document.
  return (value) => {
    for (const test of tests) if (!test(value)) return false;
    return true;
  };
}

function compileRule(
  name: string,
  rule: unknown,
  { rules, root, inner }: { rules: Rules; root: Rules; inner: (rule: unknown) => Test },
): Test {
  switch (name) {
    case "$ref":
      return inner(find(String(rule), root));
    case "const":
      return compileEnum([rule]);
    case "enum":
      return compileEnum(rule as unknown[]);
    case "type": {
      const types = [rule].flat().map((type) => known(IS_TYPE[String(type)]));
      return types.length === 1 ? types[0]! : (value) => types.some((test) => test(value));
    }
    case "pattern": {
      const pattern = new RegExp(String(rule), "u");
      return (value) => typeof value !== "string" || pattern.test(value);
    }
    case "minimum":
      return (value) => typeof value !== "number" || value >= Number(rule);
    case "maximum":
      return (value) => typeof value !== "number" || value <= Number(rule);
    case "maxLength":
      return (value) => typeof value !== "string" || !hasMore(value, Number(rule));
    case "minLength":
      return (value) => typeof value !== "string" || hasMore(value, Number(rule) - 1);
    case "required": {
      const names = rule as string[];
      return (value) => !isObject(value) || names.every((field) => Object.hasOwn(value, field));
    }
    case "properties":
      return compileProperties(rule as Rules, rules.additionalProperties, inner);
    case "maxProperties":
      return (value) => !isObject(value) || Object.keys(value).length <= Number(rule);
    case "propertyNames": {
      const test = inner(rule);
      return (value) => !isObject(value) || Object.keys(value).every(test);
    }
    case "maxItems":
      return (value) => !Array.isArray(value) || value.length <= Number(rule);
    case "items": {
      const test = inner(rule);
      return (value) => {
        if (!Array.isArray(value)) return true;
        for (const item of value) if (!test(item)) return false;
        return true;
      };
    }
    case "uniqueItems":
      if (rule !== true) throw new Unknown();
      return hasDistinctTexts;
    case "if": {
      const [test, then, otherwise] = [rule, rules.then, rules.else].map((part) =>
        part === undefined ? () => true : inner(part)
      );
      return (value) => test!(value) ? then!(value) : otherwise!(value);
    }
    default:
      throw new Unknown();
  }
}

/** Whether a text has more characters; each is one UTF-16 unit or two, so that few texts are counted. */
function hasMore(text: string, characters: number): boolean {
  if (text.length <= characters) return false;
  return text.length > 2 * characters || [...text].length > characters;
}

/** Texts are the same where `===` says so; whether other items are is for the validator. */
function hasDistinctTexts(value: unknown): boolean {
  if (!Array.isArray(value)) return true;
  return value.every((item) => typeof item === "string") && new Set(value).size === value.length;
}

function compileEnum(allowed: readonly unknown[]): Test {
  if (allowed.some((value) => typeof value === "object" && value !== null)) throw new Unknown();
  return (value) => allowed.includes(value);
}

function compileProperties(
  rules: Rules,
  additional: unknown,
  inner: (rule: unknown) => Test,
): Test {
  const tests = new Map(Object.entries(rules).map(([name, rule]) => [name, inner(rule)]));
  const others: Test = additional === undefined
    ? () => true
    : additional === false
    ? () => false
    : inner(additional);
  return (value) => {
    if (!isObject(value)) return true;
    for (const name of Object.keys(value)) {
      if (!(tests.get(name) ?? others)(value[name])) return false;
    }
    return true;
  };
}

function find(reference: string, root: Rules): unknown {
  const name = /^#\/\$defs\/(\w+)$/.exec(reference)?.[1];
  return known((root.$defs as Rules | undefined)?.[known(name)]);
}
