import { type Schema, Validator } from "@cfworker/json-schema";
import { assertEquals } from "@std/assert";
import manifestSchema from "../../schemas/manifest.json" with { type: "json" };
import receiptSchema from "../../schemas/receipt.json" with { type: "json" };
import { EMPTY_HASH } from "./hash.ts";
import { createJobId, createNonce } from "./ids.ts";
import { compileSchema } from "./schema_fast.ts";

const LABEL = {
  $defs: { label: { type: "string", minLength: 2, maxLength: 3 } },
  $ref: "#/$defs/label",
};

const RECEIPT = {
  version: "0.1",
  job_id: createJobId(),
  nonce: createNonce(),
  manifest_hash: EMPTY_HASH,
  module_hash: EMPTY_HASH,
  stdin_hash: EMPTY_HASH,
  stdout_bytes: 0,
  stdout_hash: EMPTY_HASH,
  stderr_bytes: 0,
  stderr_hash: EMPTY_HASH,
  status: "exited",
  exit_code: 0,
  usage: { wall_time_ms: 1, cpu_time_ms: 2, memory_peak_bytes: 3 },
  started_at: "2026-01-01T00:00:00.000Z",
  finished_at: "2026-01-01T00:00:00.001Z",
  runtime: { name: "plasm", version: "1.2.3", engine: "v8 15.0", arch: "x86_64" },
  node: {
    peer_id: "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
    public_key: "0".repeat(64),
  },
  signature: "0".repeat(128),
};

const MANIFEST = {
  version: "0.1",
  module_hash: EMPTY_HASH,
  resources: { cpu_cores: 1, memory_mb: 256, timeout_seconds: 60, output_bytes: 1 },
  args: ["a", "a"],
  env: { HOME: "/", _x1: "" },
  stdin_hash: EMPTY_HASH,
  inputs: { "a/b": EMPTY_HASH, "/c/": EMPTY_HASH },
  capabilities: ["wasi", "simd"],
  priority: "low",
  idempotent: true,
};

const VALUES = [null, true, -1, 0, 1.5, 2 ** 53, "", "x", "exited", "trapped", [], {}, RECEIPT];

/** A document with each of its parts taken away, put in the place of another, or added to. */
function* variants(document: Record<string, unknown>): Generator<unknown> {
  yield document;
  for (const [name, part] of Object.entries(document)) {
    const { [name]: _, ...rest } = document;
    yield rest;
    for (const value of VALUES) yield { ...document, [name]: value };
    if (typeof part === "string") yield { ...document, [name]: `${part}\n` };
    if (typeof part !== "object") continue;
    for (const inner of variants(part as Record<string, unknown>)) {
      yield { ...document, [name]: inner };
    }
  }
  yield { ...document, other: 1 };
  yield { ...document, ["__proto__"]: 1 };
}

Deno.test("compileSchema() agrees with the validator on receipts of every kind", () => {
  const test = compileSchema(receiptSchema)!;
  const validator = new Validator(structuredClone(receiptSchema) as Schema, "2020-12");
  const counts = { right: 0, wrong: 0 };
  for (const first of variants(RECEIPT)) {
    for (const status of [undefined, "trapped", 7]) {
      const value = status === undefined ? first : { ...first as object, status };
      const { valid } = validator.validate(value);
      assertEquals(test(value), valid, JSON.stringify(value));
      counts[valid ? "right" : "wrong"]++;
    }
  }
  assertEquals([counts.right > 10, counts.wrong > 500], [true, true]);
});

Deno.test("compileSchema() agrees with the validator on manifests of every kind", () => {
  const test = compileSchema(manifestSchema)!;
  const validator = new Validator(structuredClone(manifestSchema) as Schema, "2020-12");
  const counts = { right: 0, wrong: 0 };
  const documents: Record<string, unknown>[] = [
    MANIFEST,
    { ...MANIFEST, args: Array(1025).fill("x") },
    { ...MANIFEST, env: Object.fromEntries(Array.from({ length: 257 }, (_, n) => [`V${n}`, ""])) },
    { ...MANIFEST, env: { "1x": "" } },
    { ...MANIFEST, env: { A: "a\0" } },
    { ...MANIFEST, inputs: { "../x": EMPTY_HASH } },
    { ...MANIFEST, inputs: { "x\0": EMPTY_HASH } },
    { ...MANIFEST, capabilities: ["a", "b", "a"] },
    { ...MANIFEST, capabilities: [{}, {}] },
    { ...MANIFEST, capabilities: ["A"] },
  ];
  for (const value of [...variants(MANIFEST), ...documents]) {
    const { valid } = validator.validate(value);
    assertEquals(test(value), valid, JSON.stringify(value));
    counts[valid ? "right" : "wrong"]++;
  }
  assertEquals([counts.right > 10, counts.wrong > 200], [true, true]);
});

Deno.test("compileSchema() counts characters, not UTF-16 units", () => {
  const test = compileSchema(LABEL)!;
  const smile = "\u{1f600}";
  const texts = [
    "",
    "a",
    "ab",
    "abc",
    "abcd",
    smile,
    smile.repeat(2),
    smile.repeat(3),
    smile + "abc",
  ];
  assertEquals(texts.map(test), [false, false, true, true, false, false, true, true, false]);
});

Deno.test("compileSchema() leaves schemas alone that say more than it knows", () => {
  for (
    const schema of [{ minItems: 1 }, { properties: { a: { anyOf: [] } } }, { enum: [{}] }]
  ) {
    assertEquals(compileSchema(schema), undefined);
  }
});
