/**
 * Makes the published test vectors in tests/vectors: everything in them follows from fixed keys and
 * bytes, so any language can check its receipts and canonical JSON against them. A test compares
 * what is committed with what this makes.
 *
 * Run: `deno task vectors`
 * @module
 */
import { identityFromSecretKey } from "../lib/core/identity.ts";
import { canonicalJson } from "../lib/core/json.ts";
import { EMPTY_HASH, sha256 } from "../lib/core/hash.ts";
import { toHex } from "../lib/util/hex.ts";
import { createManifest, manifestHash } from "../lib/core/manifest.ts";
import { type ReceiptFields, signedBytes, signReceipt } from "../lib/core/receipt.ts";
import type { Signer } from "../lib/core/signature.ts";
import type { Manifest, Receipt } from "../lib/core/types.gen.ts";
import {
  addedFields,
  changedFields,
  droppedFields,
  retypedFields,
} from "../tests/fixtures/receipt_mutations.ts";

const README =
  "Receipts of plasm, format 0.1. `receipt` must verify against `expected` (bytes in hex); so must " +
  "each of `accepted`. Each of `refused` is JSON text that must not, against `expected` with the " +
  "entry's own `expected` over it; a verifier that names fields names `field`. Made by " +
  "scripts/vectors.ts; the key is public, never use it.";

const CANONICAL_README =
  "Canonical JSON of plasm: RFC 8785, safe integers only. Each `json` of `accepted` has the form " +
  "`canonical`, whose UTF-8 is `hex`; each of `refused` has none. Made by scripts/vectors.ts.";

/** What a verifier is given; bytes in hex. */
export interface VectorExpectations {
  key?: string;
  peer_id?: string;
  job_id?: string;
  nonce?: string;
  manifest?: Manifest;
  module?: string;
  stdin?: string;
  stdout?: string;
  stderr?: string;
}

/** The content of tests/vectors/receipt.json. */
export interface ReceiptVectors {
  readme: string;
  secret_key: string;
  public_key: string;
  peer_id: string;
  expected: VectorExpectations;
  manifest_canonical: string;
  manifest_hash: string;
  receipt: Receipt;
  canonical: string;
  signed_bytes: string;
  signature: string;
  accepted: { name: string; json: string; expected: VectorExpectations }[];
  refused: { name: string; field: string; json: string; expected?: VectorExpectations }[];
}

/** The content of tests/vectors/canonical.json. */
export interface CanonicalVectors {
  readme: string;
  accepted: { name: string; json: string; canonical: string; hex: string }[];
  refused: { name: string; json: string }[];
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Makes the vectors for receipts. */
export async function receiptVectors(): Promise<ReceiptVectors> {
  const secretKey = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
  const node = await identityFromSecretKey(secretKey);
  const module = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
  const stdin = utf8("Hello, World");
  const stdout = utf8("dlroW ,olleH");
  const manifest = createManifest({
    module_hash: await sha256(module),
    args: ["größer", "\u20ac \ud83d\ude00", 'quote " and \\ and \n'],
    env: { LANG: "C.UTF-8" },
    stdin_hash: await sha256(stdin),
    inputs: { "data/": EMPTY_HASH },
  });
  const fields: ReceiptFields = {
    job_id: "job_abcdefghijklmnopqrstuvwxyz",
    nonce: "0123456789abcdef".repeat(4),
    manifest_hash: await manifestHash(manifest),
    module_hash: manifest.module_hash,
    stdin_hash: await sha256(stdin),
    stdout_hash: await sha256(stdout),
    stdout_bytes: stdout.length,
    stderr_hash: EMPTY_HASH,
    stderr_bytes: 0,
    status: "exited",
    exit_code: 0,
    usage: { wall_time_ms: 1500, cpu_time_ms: 1200, memory_peak_bytes: 131072 },
    started_at: "2026-01-02T03:04:05.678Z",
    finished_at: "2026-01-02T03:04:07.178Z",
    runtime: { name: "plasm", version: "0.1.0", engine: "V8 14.0.365.4", arch: "x86_64" },
  };
  const receipt = await signReceipt(fields, node);
  const expected: VectorExpectations = {
    key: node.publicKey,
    peer_id: node.peerId,
    job_id: fields.job_id,
    nonce: fields.nonce,
    manifest,
    module: toHex(module),
    stdin: toHex(stdin),
    stdout: toHex(stdout),
    stderr: "",
  };
  const { signature: _, ...unsigned } = receipt;
  return {
    readme: README,
    secret_key: toHex(secretKey),
    public_key: node.publicKey,
    peer_id: node.peerId,
    expected,
    manifest_canonical: canonicalJson(manifest),
    manifest_hash: fields.manifest_hash,
    receipt,
    canonical: canonicalJson(unsigned),
    signed_bytes: toHex(signedBytes(receipt)),
    signature: receipt.signature,
    accepted: await accepted(fields, node, expected),
    refused: [...edited(receipt), ...await lies(fields, node), ...surprises(receipt)],
  };
}

/** Other receipts that are in order. */
async function accepted(
  fields: ReceiptFields,
  node: Signer,
  expected: VectorExpectations,
): Promise<ReceiptVectors["accepted"]> {
  const sign = async (change: Partial<ReceiptFields>): Promise<string> =>
    JSON.stringify(await signReceipt({ ...fields, ...change }, node));
  return [
    { name: "largest exit code", json: await sign({ exit_code: 4294967295 }), expected },
    { name: "stopped", json: await sign({ status: "timeout", exit_code: null }), expected },
    {
      name: "nothing else known",
      json: await sign({ status: "memory", exit_code: null }),
      expected: {},
    },
    { name: "indented", json: JSON.stringify(JSON.parse(await sign({})), null, 2), expected },
  ];
}

/** The receipt with a field changed, dropped, of another type or added; the signature stays. */
function edited(receipt: Receipt): ReceiptVectors["refused"] {
  return [
    ...changedFields(receipt),
    ...droppedFields(receipt),
    ...retypedFields(receipt, [true]),
    ...addedFields(receipt),
  ].map(({ name, field, receipt }) => ({ name, field, json: JSON.stringify(receipt) }));
}

/** What a lying node could sign, and what another node could. */
async function lies(fields: ReceiptFields, node: Signer): Promise<ReceiptVectors["refused"]> {
  const other = await identityFromSecretKey(new Uint8Array(32).fill(7));
  const otherHash = await sha256(utf8("something else"));
  const lie = async (
    field: string,
    change: Partial<ReceiptFields>,
    signer: Signer = node,
  ): Promise<ReceiptVectors["refused"][number]> => ({
    name: `signed lie: ${field}`,
    field,
    json: JSON.stringify(await signReceipt({ ...fields, ...change }, signer)),
  });
  const usage = { ...fields.usage, wall_time_ms: 60000 };
  return [
    await lie("job_id", { job_id: "job_" + "z".repeat(26) }),
    await lie("nonce", { nonce: "0".repeat(64) }),
    await lie("manifest_hash", { manifest_hash: otherHash }),
    await lie("module_hash", { module_hash: otherHash }),
    await lie("stdin_hash", { stdin_hash: otherHash }),
    await lie("stdout_hash", { stdout_hash: otherHash }),
    await lie("stdout_bytes", { stdout_bytes: 11 }),
    await lie("stderr_hash", { stderr_hash: otherHash }),
    await lie("stderr_bytes", { stderr_bytes: 1 }),
    await lie("node.public_key", {}, other),
    {
      ...await lie("node.peer_id", {}, { ...node, peerId: other.peerId, sign: node.sign }),
      name: "signed lie: the peer id of another key",
    },
    {
      ...await lie("node.peer_id", {}, other),
      name: "another node, known by its peer id only",
      expected: { key: other.publicKey },
    },
    await resigned("finished_at", { ...fields, finished_at: "2026-01-02T03:04:05.677Z" }, node),
    await resigned("started_at", { ...fields, started_at: "2026-02-30T03:04:05.678Z" }, node),
    await resigned("usage.wall_time_ms", { ...fields, usage }, node),
  ];
}

/** Signs what `signReceipt` refuses to sign. */
async function resigned(
  field: string,
  fields: ReceiptFields,
  node: Signer,
): Promise<ReceiptVectors["refused"][number]> {
  const unsigned = {
    version: "0.1" as const,
    ...fields,
    node: { peer_id: node.peerId, public_key: node.publicKey },
  };
  const signature = toHex(await node.sign(signedBytes(unsigned)));
  return { name: `signed lie: ${field}`, field, json: JSON.stringify({ ...unsigned, signature }) };
}

/** What parsers and verifiers of other languages may stumble over. */
function surprises(receipt: Receipt): ReceiptVectors["refused"] {
  const json = JSON.stringify(receipt);
  // y = 1, the neutral element: with R = y and S = 0 a lax verifier accepts any message.
  const neutral = "01" + "00".repeat(31);
  const small = {
    ...receipt,
    node: { ...receipt.node, public_key: neutral },
    signature: neutral + "00".repeat(32),
  };
  return [
    { name: "key of small order", field: "signature", json: JSON.stringify(small) },
    { name: "not an object", field: "", json: "[]" },
    { name: "null", field: "", json: "null" },
    { name: "cut off", field: "", json: json.slice(0, -1) },
    { name: "something after the end", field: "", json: `${json}{}` },
    { name: "a key twice", field: "", json: json.replace('{"version"', '{"nonce":"","version"') },
    {
      name: "hex in capitals",
      field: "signature",
      json: json.replace(receipt.signature, receipt.signature.toUpperCase()),
    },
    {
      name: "line feed after the signature",
      field: "signature",
      json: json.replace(receipt.signature, `${receipt.signature}\\n`),
    },
    { name: "number as text", field: "exit_code", json: json.replace('code":0', 'code":"0"') },
    {
      name: "number over 2^53",
      field: "stdout_bytes",
      json: json.replace('stdout_bytes":12', 'stdout_bytes":9007199254740993'),
    },
    { name: "too large", field: "", json: json + " ".repeat(65536) },
  ];
}

/** Makes the vectors for canonical JSON. */
export function canonicalVectors(): CanonicalVectors {
  const accepted = [
    {
      name: "RFC 8785, 3.2.2: literals and string escapes",
      json: String.raw`{"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",` +
        `"literals":[null, true, false]}`,
    },
    {
      name: "RFC 8785, 3.2.3: names sort by UTF-16 code units",
      json:
        String.raw`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet ` +
        String
          .raw`With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control",` +
        String.raw`"\u00f6":"Latin Small Letter O With Diaeresis"}`,
    },
    { name: "RFC 8785, appendix B: zero and minus zero", json: "[0, -0]" },
    { name: "largest integers", json: "[9007199254740991, -9007199254740991]" },
    { name: "integers written as floats", json: "[1.0, 1e2]" },
    { name: "empty and nested", json: '{ "b": [ {}, [] , "" ], "a": { "z": 1, "y": 2 } }' },
    {
      name: "names that other collations order differently",
      json: '{"a.b":1,"a":2,"a-b":3,"A":4}',
    },
    { name: "all short escapes", json: String.raw`"\b\t\n\f\r\"\\\/\u0000\u001f\u007f\u2028"` },
    { name: "no normalization", json: String.raw`["\u00e9", "e\u0301"]` },
  ].map(({ name, json }) => {
    const canonical = canonicalJson(JSON.parse(json));
    return { name, json, canonical, hex: toHex(utf8(canonical)) };
  });
  return {
    readme: CANONICAL_README,
    accepted,
    refused: [
      { name: "RFC 8785, 3.2.2: float", json: "[333333333.33333329]" },
      { name: "RFC 8785, 3.2.2: large number", json: "[1E30]" },
      { name: "float", json: '{"a":[4.50]}' },
      { name: "one over the largest integer", json: "9007199254740992" },
      { name: "lone surrogate in a value", json: String.raw`{"a":"\ud800"}` },
      { name: "lone surrogate in a name", json: String.raw`{"\udc00":1}` },
    ],
  };
}

/** The vectors as the files hold them. */
export async function vectorFiles(): Promise<Record<string, string>> {
  const text = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  return {
    "tests/vectors/receipt.json": text(await receiptVectors()),
    "tests/vectors/canonical.json": text(canonicalVectors()),
  };
}

if (import.meta.main) {
  for (const [file, text] of Object.entries(await vectorFiles())) {
    await Deno.writeTextFile(new URL(`../${file}`, import.meta.url), text);
  }
}
