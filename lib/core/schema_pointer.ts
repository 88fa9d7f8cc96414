/**
 * JSON pointers as the validator writes them, into documents and schemas.
 * @module
 */

/** A place in a document. */
export type Path = (string | number)[];

/** A schema, or a part of one. */
export type Rules = Readonly<Record<string, unknown>>;

function tokensOf(pointer: string): string[] {
  return pointer.split("/").slice(1).map((token) =>
    decodeURIComponent(token).replaceAll("~1", "/").replaceAll("~0", "~")
  );
}

/** The path of an instance pointer; indices of arrays become numbers. */
export function pathOf(value: unknown, pointer: string): Path {
  const path: Path = [];
  for (const token of tokensOf(pointer)) {
    path.push(Array.isArray(valueAt(value, path)) ? Number(token) : token);
  }
  return path;
}

/** What is at a path; `undefined` where nothing is. */
export function valueAt(value: unknown, path: Path): unknown {
  let current = value;
  for (const part of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, part)) {
      return undefined;
    }
    current = (current as Rules)[part];
  }
  return current;
}

/** The rule at a keyword's location, and the subschema it stands in. */
export function ruleAt(schema: Rules, pointer: string): { rules: Rules; rule: unknown } {
  let rules: unknown = schema;
  let rule: unknown = schema;
  for (const token of tokensOf(pointer)) {
    rules = rule;
    rule = (rules as Rules)[token];
    if (token === "$ref" && typeof rule === "string") {
      rule = valueAt(schema, tokensOf(rule.slice(rule.indexOf("#"))));
    }
  }
  return { rules: rules as Rules, rule };
}
