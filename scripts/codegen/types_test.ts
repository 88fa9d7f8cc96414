import { assertStringIncludes, assertThrows } from "@std/assert";
import { generateTypes } from "./types.ts";

Deno.test("generateTypes() supports the subset used in schemas/", () => {
  const text = generateTypes([{
    title: "A",
    additionalProperties: false,
    required: ["list"],
    properties: {
      list: { type: "array", items: { enum: ["x", 1] }, description: "Some. */ Not its end." },
      map: { type: "object", additionalProperties: { type: ["integer", "null"] } },
      flag: { type: "boolean", default: true },
      other: { $ref: "#/$defs/b" },
    },
    $defs: { b: { title: "B", type: "number", minimum: 1, maximum: 2 } },
  }]);
  assertStringIncludes(
    text,
    `export interface A {
  /** Some. * / Not its end. */
  list: ("x" | 1)[];
  map?: { [name: string]: number | null };
  /** @default {true} */
  flag?: boolean;
  /** From 1 to 2. */
  other?: B;
}

/** From 1 to 2. */
export type B = number;
`,
  );
});

Deno.test("generateTypes() throws on unsupported schemas", () => {
  const bad = [
    { title: "A", properties: {} },
    { title: "A", additionalProperties: false, properties: { a: {} } },
    { title: "A", additionalProperties: false, properties: { a: { $ref: "other.json" } } },
    { title: "A", additionalProperties: false, properties: { a: { $ref: "#/$defs/none" } } },
  ];
  for (const schema of bad) assertThrows(() => generateTypes([schema]), Error);
  const two = [{ title: "A", type: "string" }, { title: "A", type: "integer" }];
  assertThrows(() => generateTypes(two), Error, "Two different schemas have the title A");
});
