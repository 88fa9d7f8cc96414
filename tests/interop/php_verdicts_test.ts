/**
 * Compares the verdicts of plasm and its PHP SDK on the same documents: both accept or both reject, and for the same
 * field.
 */
import { assert, assertEquals } from "@std/assert";
import vectors from "../vectors/receipt.json" with { type: "json" };
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { sha256 } from "../../lib/core/hash.ts";
import { manifestHash, MAX_MANIFEST_BYTES, parseManifest } from "../../lib/core/manifest.ts";
import { parseReceipt, signedBytes } from "../../lib/core/receipt.ts";
import type { Receipt } from "../../lib/core/types.gen.ts";
import { verifyReceipt } from "../../lib/core/verify_receipt.ts";
import { MANIFESTS } from "../fixtures/manifests.ts";
import { php, whyNoPhp } from "../fixtures/php.ts";
import {
  addedFields,
  changedFields,
  droppedFields,
  retypedFields,
} from "../fixtures/receipt_mutations.ts";

interface Document {
  kind: "manifest" | "receipt";
  json: string;
}

type Verdict = { hash: string } | { code: string; field: string | null };

const reason = await whyNoPhp();
if (reason !== undefined) console.warn(`SKIPPED: PHP verdicts: ${reason}`);

const VALUES: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1,
  4294967296,
  1.5,
  1e300,
  "",
  "0",
  "\n",
  "a\u0000b",
  "é\u{1f600}",
  "x".repeat(65),
  "€".repeat(32768),
  "€".repeat(32769),
  [],
  ["a", "a"],
  [""],
  [[1]],
  new Array(1025).fill(""),
  {},
  { a: 1 },
  { "1": "", "": "" },
];

const PATHS = [
  ...[
    "a",
    "/",
    "//",
    "a/",
    "./a",
    "../a",
    "a/..",
    "a/...",
    ".a",
    "/a/b/",
    "a//b",
    "a\u0000",
    "__proto__",
  ],
  ...[
    "é".repeat(255),
    "é".repeat(256),
    "a\n",
    "\u{1f600}".repeat(255),
    "a/".repeat(512),
    "a b",
    "~",
  ],
];

async function judge({ kind, json }: Document): Promise<Verdict> {
  try {
    if (kind === "manifest") return { hash: await manifestHash(parseManifest(json)) };
    return { hash: await sha256(signedBytes(await verifyReceipt(parseReceipt(json)))) };
  } catch (error) {
    assert(error instanceof PlasmError, String(error));
    return { code: error.code, field: (error.details.field as string | undefined) ?? null };
  }
}

async function assertSameVerdicts(documents: Document[]): Promise<Verdict[]> {
  const stdin = JSON.stringify(documents);
  const { stdout, stderr } = await php(["examples/php/tests/verdicts.php"], { stdin });
  assertEquals(stderr, "");
  const theirs = JSON.parse(stdout) as Verdict[];
  const ours = await Promise.all(documents.map(judge));
  documents.forEach(({ json }, index) => {
    assertEquals(theirs[index], ours[index], json.slice(0, 2000));
  });
  return ours;
}

/** Variants of the document with each field, at any depth, set to each value, removed, and with an added field. */
function edits(original: Record<string, unknown>): string[] {
  const document = structuredClone(original);
  const found: string[] = [];
  const visit = (owner: Record<string, unknown>): void => {
    for (const name of Object.keys(owner)) {
      const before = owner[name];
      for (const value of [...VALUES, undefined]) {
        owner[name] = value;
        found.push(JSON.stringify(document));
      }
      owner[name] = before;
      if (typeof before === "object" && before !== null) visit(before as Record<string, unknown>);
    }
    if (!Array.isArray(owner)) {
      owner["odd name"] = "x";
      found.push(JSON.stringify(document));
      delete owner["odd name"];
    }
  };
  visit(document);
  return found;
}

Deno.test({
  name: "PHP and plasm agree on manifests",
  ignore: reason !== undefined,
  async fn() {
    const full = MANIFESTS[1]!;
    const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const other = vectors.manifest_hash;
    const inputs = [
      ...PATHS.map((path) => ({ [path]: empty })),
      { "a/": other },
      { a: other, "a/b": other },
      { "a/": empty, "a/b": other },
      { "/a": other, "/a/b/c": other },
    ];
    const text = JSON.stringify(full);
    const verdicts = await assertSameVerdicts([
      ...MANIFESTS.flatMap(edits),
      ...inputs.map((inputs) => JSON.stringify({ ...full, inputs })),
      // Messages truncate long names, also in the middle of a surrogate pair.
      ...PATHS.filter((name) => name.length < 80)
        .map((name) => JSON.stringify({ ...full, env: { [name]: "x" } })),
      text.replace('{"version"', '{"\\u0076ersion":"0.1","version"'),
      text.replace(":2,", ":2.0,"),
      text.replace(":2,", ":2e0,"),
      text.replace(":2,", ":02,"),
      text.replace('"Größe"', '"\\ud800"'),
      `\ufeff${text}`,
      text + " ".repeat(MAX_MANIFEST_BYTES),
      "[".repeat(33) + "]".repeat(33),
      "null",
    ].map((json) => ({ kind: "manifest", json })));
    assert(verdicts.filter((verdict) => "hash" in verdict).length > 30);
    assert(verdicts.filter((verdict) => "code" in verdict).length > 500);
  },
});

Deno.test({
  name: "PHP and plasm agree on receipts",
  ignore: reason !== undefined,
  async fn() {
    const receipt = vectors.receipt as Receipt;
    const mutations = [
      ...changedFields(receipt),
      ...droppedFields(receipt),
      ...addedFields(receipt),
      ...retypedFields(receipt, VALUES),
    ].map(({ receipt }) => JSON.stringify(receipt));
    const verdicts = await assertSameVerdicts(
      [...mutations, ...vectors.refused, ...vectors.accepted].map((one) => ({
        kind: "receipt",
        json: typeof one === "string" ? one : one.json,
      })),
    );
    assert(verdicts.filter((verdict) => "hash" in verdict).length >= 4);
    assert(verdicts.filter((verdict) => "code" in verdict).length > 700);
  },
});

Deno.test({
  name: "PHP and plasm agree on a receipt with any byte changed",
  ignore: reason !== undefined,
  async fn() {
    const bytes = new TextEncoder().encode(JSON.stringify(vectors.receipt));
    const verdicts = await assertSameVerdicts(Array.from(bytes, (byte, at) => {
      const changed = bytes.slice();
      // Every bit is flipped except the highest, which would not leave valid UTF-8.
      changed[at] = byte ^ (1 << at % 7);
      return { kind: "receipt", json: new TextDecoder().decode(changed) };
    }));
    assertEquals(verdicts.filter((verdict) => "hash" in verdict), []);
  },
});
