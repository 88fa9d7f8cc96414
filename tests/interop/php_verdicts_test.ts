/**
 * Compares the verdicts of plasm and its PHP SDK on the same documents: both accept or both reject, and for the same
 * field.
 */
import { assert, assertEquals } from "@std/assert";
import vectors from "../vectors/receipt.json" with { type: "json" };
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { attestedBytes, statementBytes } from "../../lib/core/attestation.ts";
import { claimHash } from "../../lib/core/claim.ts";
import { sha256 } from "../../lib/core/hash.ts";
import { manifestHash, MAX_MANIFEST_BYTES, parseManifest } from "../../lib/core/manifest.ts";
import { parseReceipt, signedBytes } from "../../lib/core/receipt.ts";
import { signBytes } from "../../lib/core/signature.ts";
import type { Receipt } from "../../lib/core/types.gen.ts";
import { verifyReceipt } from "../../lib/core/verify_receipt.ts";
import { fromHex, toHex } from "../../lib/util/mod.ts";
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

/** Texts for any field. */
const TEXTS = [
  ...[
    "",
    "\n",
    "x86_64\n",
    "a\u0000b",
    "a\u007fb",
    "\u2028",
    "\uffff",
    "e\u0301",
    "\u202ea",
    "\u{1f600}",
  ],
  ...["\u{1f600}".repeat(32), "\u{1f600}".repeat(64), "\u{1f600}".repeat(65), "__proto__", "0"],
];

/** Times that a parser may round, normalize or refuse. */
const TIMES = [
  ...["2026-02-30T00:00:00.000Z", "2026-01-02T03:04:60.000Z", "2026-01-02T24:00:00.000Z"],
  ...["0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "2026-01-02t03:04:05.678z"],
  ...["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678+00:00", "2026-1-2T03:04:05.678Z"],
];

const NUMBERS = [-1, 0, 1, 255, 256, 2 ** 31, 2 ** 32, 2 ** 53 - 1];

/** Names of output files besides {@linkcode PATHS}. */
const ODD_PATHS = [
  "",
  "0",
  "-0",
  "00",
  "1e1",
  "constructor",
  "e\u0301",
  "\ufeffa",
  "a\u007f",
  "stdout ",
];

/** Receipts with unusual values, signed by the node that they name. */
async function signedOddities(original: Receipt): Promise<Document[]> {
  const secret = fromHex(vectors.secret_key);
  const found: Document[] = [];
  const add = async (
    change: (receipt: Receipt) => void,
    spell = (json: string) => json,
  ): Promise<void> => {
    const receipt = structuredClone(original);
    change(receipt);
    receipt.run.claim_hash = await claimHash(receipt.claim);
    receipt.signature = toHex(await signBytes(signedBytes(receipt), secret));
    const statement = attestedBytes(statementBytes(receipt.claim));
    receipt.attestation = toHex(await signBytes(statement, secret));
    found.push({ kind: "receipt", json: spell(JSON.stringify(receipt)) });
  };
  const fields = (["claim", "run"] as const).flatMap((part) =>
    Object.entries(original[part]).map(([name, value]) => ({ part, name, value }))
  );
  for (const { part, name, value } of fields) {
    const values = name.endsWith("_at")
      ? [...TIMES, ...TEXTS]
      : typeof value === "string"
      ? TEXTS
      : typeof value === "number"
      ? NUMBERS
      : [];
    for (const odd of values) await add((receipt) => Object.assign(receipt[part], { [name]: odd }));
  }
  for (const odd of TEXTS) {
    for (const name of Object.keys(original.run.runtime)) {
      await add(({ run }) => Object.assign(run.runtime, { [name]: odd }));
    }
  }
  for (const odd of NUMBERS) {
    await add(({ claim }) => Object.assign(claim.stdout, { bytes: odd }));
    await add(({ run }) => Object.assign(run.usage, { memory_peak_bytes: odd }));
  }
  const file = original.claim.outputs["10"];
  for (const path of [...PATHS, ...ODD_PATHS]) {
    await add(({ claim }) => {
      claim.outputs = JSON.parse(`{${JSON.stringify(path)}:${JSON.stringify(file)}}`);
    });
  }
  // Canonical JSON sorts names by UTF-16 code units, which is neither the order of UTF-8 nor that of numbers.
  const names = ["\u{1f600}", "\uff61", "10", "9", "1", "a", "B", "ö", "a b", "a!"];
  await add(({ claim }) => {
    claim.outputs = Object.fromEntries(names.map((name) => [name, file!]));
  });
  const spellings = [
    "12.0",
    "1.2e1",
    "1200e-2",
    "0.12E+2",
    "12.0000000000000000001",
    "012",
    "+12",
    "12.",
  ];
  for (const spelling of [...spellings, "1e400", "0x0c", "12e", "1_2", "-12e0"]) {
    await add(
      ({ run }) => run.usage.cpu_time_ms = 12,
      (json) => json.replace('"cpu_time_ms":12', `"cpu_time_ms":${spelling}`),
    );
  }
  for (const zero of ["-0", "-0.0", "0e5", "0e-400", "1e-400", "00", "0.0"]) {
    await add(
      ({ run }) => run.usage.cpu_time_ms = 0,
      (json) => json.replace('"cpu_time_ms":0', `"cpu_time_ms":${zero}`),
    );
  }
  for (
    const [from, to] of [['"run"', '"\\u0072un"'], ['"x86_64"', '"x86\\u005f64"'], [
      "{",
      "\t{\r\n ",
    ]]
  ) {
    await add(() => {}, (json) => json.replace(from!, to!));
  }
  for (
    const [from, to] of [["{", "\f{"], ["{", "\u00a0{"], ["}", "}\u0000"], ['"run"', '"\\x72un"']]
  ) {
    await add(() => {}, (json) => json.replace(from!, to!));
  }
  return found;
}

Deno.test({
  name: "PHP and plasm agree on receipts that a node has signed over unusual values",
  ignore: reason !== undefined,
  async fn() {
    const verdicts = await assertSameVerdicts(await signedOddities(vectors.receipt as Receipt));
    assert(verdicts.filter((verdict) => "hash" in verdict).length > 40);
    assert(verdicts.filter((verdict) => "code" in verdict).length > 200);
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
