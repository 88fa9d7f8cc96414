/**
 * Generates the receipts of the published test vectors that must not verify.
 *
 * @module
 */
import { statementBytes } from "../lib/core/attestation.ts";
import { EMPTY_HASH, sha256 } from "../lib/core/hash.ts";
import { identityFromSecretKey } from "../lib/core/identity.ts";
import { canonicalJson } from "../lib/core/json.ts";
import { type ReceiptFields, signedBytes, signReceipt } from "../lib/core/receipt.ts";
import type { Signer } from "../lib/core/signature.ts";
import type { Claim, Receipt } from "../lib/core/types.gen.ts";
import { fromHex } from "../lib/util/bytes.ts";
import { craftedSignatures } from "./crafted_signatures.ts";
import { changed, type RefusedReceipt, sign, type SigningOptions, utf8 } from "./signed_vectors.ts";
import {
  addedFields,
  changedFields,
  droppedFields,
  retypedFields,
} from "../tests/fixtures/receipt_mutations.ts";

/** Receipts that must not verify, by what is wrong with them. */
export async function refusedReceipts(
  receipt: Receipt,
  { fields, node }: { fields: ReceiptFields; node: Signer },
): Promise<RefusedReceipt[]> {
  return [
    ...edited(receipt),
    ...await falseFields(fields, node),
    ...await falseClaims(fields, node),
    ...await unattested(receipt, node),
    ...await craftedSignatures(fields),
    ...malformed(receipt),
  ];
}

/** The receipt with one field changed, removed, retyped or added; the signatures are unchanged. */
function edited(receipt: Receipt): RefusedReceipt[] {
  return [
    ...changedFields(receipt),
    ...droppedFields(receipt),
    ...retypedFields(receipt, [true]),
    ...addedFields(receipt),
  ].map(({ name, field, receipt }) => ({ name, field, json: JSON.stringify(receipt) }));
}

/** Receipts that a dishonest node or a different node could sign. */
async function falseFields(fields: ReceiptFields, node: Signer): Promise<RefusedReceipt[]> {
  const other = await identityFromSecretKey(new Uint8Array(32).fill(7));
  const otherHash = await sha256(utf8("something else"));
  const falseField = async (
    field: string,
    changes: Record<string, unknown>,
    signer: Signer = node,
  ): Promise<RefusedReceipt> => ({
    name: `false field: ${field}`,
    field,
    json: JSON.stringify(await signReceipt(changed(fields, changes), signer)),
  });
  const peerId = "run.node.peer_id";
  return [
    await falseField("run.job_id", { "run.job_id": "job_" + "z".repeat(26) }),
    await falseField("run.nonce", { "run.nonce": "0".repeat(64) }),
    await falseField("claim.manifest_hash", { "claim.manifest_hash": otherHash }),
    await falseField("claim.module_hash", { "claim.module_hash": otherHash }),
    await falseField("claim.stdin_hash", { "claim.stdin_hash": otherHash }),
    await falseField("claim.stdout.hash", { "claim.stdout.hash": otherHash }),
    await falseField("claim.stdout.bytes", { "claim.stdout.bytes": 11 }),
    await falseField("claim.stderr.hash", { "claim.stderr.hash": otherHash }),
    await falseField("claim.stderr.bytes", { "claim.stderr.bytes": 1 }),
    await falseField('claim.outputs["10"].hash', { "claim.outputs.10.hash": otherHash }),
    await falseField('claim.outputs["9"].bytes', { "claim.outputs.9.bytes": 1 }),
    await falseField('claim.outputs["9"]', { "claim.outputs.9": undefined }),
    {
      ...await falseField('claim.outputs["out/more"]', {
        "claim.outputs.out/more": { hash: otherHash, bytes: 1 },
      }),
      name: "false field: a file that was not received",
    },
    {
      ...await falseField("claim.outputs.other", {
        "claim.outputs.other": { hash: otherHash, bytes: 1 },
      }),
      name: "false field: a file that the manifest does not name",
    },
    await falseField("claim.profile", {
      "claim.profile": "deterministic",
      "claim.nondeterminism": [],
    }),
    await falseField("claim.fuel", { "claim.fuel": 1_000_001 }),
    {
      ...await falseField("claim.fuel", { "claim.fuel": undefined }),
      name: "false field: no fuel, although the job exited",
    },
    await falseField("run.node.public_key", {}, other),
    {
      ...await falseField(peerId, {}, { ...node, peerId: other.peerId, sign: node.sign }),
      name: "false field: peer id of another key",
    },
    {
      ...await falseField(peerId, {}, other),
      name: "another node, identified only by its peer id",
      expected: { key: other.publicKey },
    },
    await resigned(
      "run.finished_at",
      changed(fields, { "run.finished_at": "2026-01-02T03:04:05.677Z" }),
      node,
    ),
    await resigned(
      "run.started_at",
      changed(fields, { "run.started_at": "2026-02-30T03:04:05.678Z" }),
      node,
    ),
    await resigned(
      "run.usage.wall_time_ms",
      changed(fields, { "run.usage.wall_time_ms": 60000 }),
      node,
    ),
  ];
}

/** Receipts whose claims contradict themselves; everything is signed. */
async function falseClaims(fields: ReceiptFields, node: Signer): Promise<RefusedReceipt[]> {
  const contradiction = async (
    name: string,
    field: string,
    changes: Record<string, unknown>,
  ): Promise<RefusedReceipt> => ({
    ...await resigned(field, changed(fields, changes), node),
    name: `contradiction: ${name}`,
  });
  const sources = "claim.nondeterminism";
  return [
    await contradiction("sources are not sorted", sources, { [sources]: ["random", "clock"] }),
    await contradiction("a source twice", sources, { [sources]: ["clock", "clock"] }),
    await contradiction("an unknown source", `${sources}[0]`, { [sources]: ["weather"] }),
    await contradiction("sources of a deterministic job", sources, {
      "claim.profile": "deterministic",
    }),
    await contradiction("no fuel with status fuel", "claim.fuel", {
      "claim.status": "fuel",
      "claim.exit_code": null,
      "claim.fuel": undefined,
    }),
    await contradiction("content of a directory", 'claim.outputs["out/"]', {
      "claim.outputs": { "out/": { hash: EMPTY_HASH, bytes: 1 } },
    }),
    await contradiction("a file with the name of a stream", "claim.outputs.stdout", {
      "claim.outputs": { stdout: { hash: EMPTY_HASH, bytes: 0 } },
    }),
    await contradiction("a path above the root", 'claim.outputs["out/../x"]', {
      "claim.outputs": { "out/../x": { hash: EMPTY_HASH, bytes: 0 } },
    }),
    await contradiction("an exit code of a trapped job", "claim.exit_code", {
      "claim.status": "trapped",
    }),
    await contradiction("no exit code", "claim.exit_code", { "claim.exit_code": null }),
  ];
}

async function resigned(
  field: string,
  fields: ReceiptFields,
  node: Signer,
): Promise<RefusedReceipt> {
  return {
    name: `false field: ${field}`,
    field,
    json: JSON.stringify(await sign(fields, node)),
  };
}

/** Receipts with a valid signature whose claim hash or attestation does not belong to the claim. */
async function unattested(receipt: Receipt, node: Signer): Promise<RefusedReceipt[]> {
  const { claim, run } = receipt;
  const { claim_hash: _h, node: _n, ...rest } = run;
  const fields = { claim, run: rest };
  const attestation = { sign: () => Promise.resolve(fromHex(receipt.attestation)) };
  const vectors: RefusedReceipt[] = [];
  const add = async (name: string, field: string, options: SigningOptions): Promise<void> => {
    const json = JSON.stringify(await sign(fields, node, options));
    vectors.push({ name: `attestation: ${name}`, field, json });
  };
  for (const { name, field, receipt: { claim } } of changedFields(receipt)) {
    if (!name.startsWith("claim.") || field !== "signature") continue;
    const changed = { ...fields, claim: claim as Claim };
    const stale = await sign(changed, node, { claimHash: run.claim_hash });
    vectors.push({
      name: `claim hash: ${name}`,
      field: "run.claim_hash",
      json: JSON.stringify(stale),
    });
    const unattested = await sign(changed, node, { attester: attestation });
    vectors.push({
      name: `attestation: ${name}`,
      field: "attestation",
      json: JSON.stringify(unattested),
    });
  }
  const other = await identityFromSecretKey(new Uint8Array(32).fill(7));
  const statement = statementBytes(claim);
  const type = "application/json";
  await add("by another key", "attestation", { attester: other });
  await add("over the statement alone", "attestation", { attested: statement });
  await add("over the claim", "attestation", { attested: utf8(canonicalJson(claim)) });
  await add("over another payload type", "attestation", {
    attested: new Uint8Array([
      ...utf8(`DSSEv1 ${type.length} ${type} ${statement.length} `),
      ...statement,
    ]),
  });
  await add("over the bytes of the receipt", "attestation", { attested: signedBytes(receipt) });
  const swapped = { signature: receipt.attestation, attestation: receipt.signature };
  vectors.push({
    name: "attestation: swapped with the signature",
    field: "signature",
    json: JSON.stringify({ ...receipt, ...swapped }),
  });
  return vectors;
}

/** Input that parsers and verifiers in other languages may treat differently. */
function malformed(receipt: Receipt): RefusedReceipt[] {
  const json = JSON.stringify(receipt);
  // y = 1, the neutral element: with R = y and S = 0 a lax verifier accepts any message.
  const neutral = "01" + "00".repeat(31);
  const small = {
    ...receipt,
    run: { ...receipt.run, node: { ...receipt.run.node, public_key: neutral } },
    signature: neutral + "00".repeat(32),
    attestation: neutral + "00".repeat(32),
  };
  const digits = (field: "signature" | "attestation", replacement: string): string =>
    json.replace(receipt[field], replacement);
  return [
    { name: "key of small order", field: "signature", json: JSON.stringify(small) },
    { name: "not an object", field: "", json: "[]" },
    { name: "null", field: "", json: "null" },
    { name: "truncated", field: "", json: json.slice(0, -1) },
    { name: "trailing data", field: "", json: `${json}{}` },
    { name: "trailing NUL", field: "", json: `${json}\0` },
    { name: "trailing comma", field: "", json: json.replace(/}$/, ",}") },
    { name: "comment", field: "", json: `${json}//` },
    { name: "single quotes", field: "", json: json.replaceAll('"', "'") },
    {
      name: "control character in a text",
      field: "",
      json: json.replace('"name":"plasm"', '"name":"pla\tsm"'),
    },
    {
      name: "nested too deep",
      field: "",
      json: json.replace('"outputs":', `"more":${"[".repeat(40)}${"]".repeat(40)},"outputs":`),
    },
    { name: "byte order mark", field: "", json: `\ufeff${json}` },
    {
      name: "duplicate key",
      field: "",
      json: json.replace('{"version"', '{"signature":"","version"'),
    },
    {
      name: "duplicate key, escaped",
      field: "",
      json: json.replace('"job_id"', '"job\\u005fid":"","job_id"'),
    },
    {
      name: "duplicate key in the claim",
      field: "",
      json: json.replace('"exit_code":0', '"exit_code":0,"exit_code":0'),
    },
    {
      name: "__proto__ with the fields of a claim",
      field: "claim.__proto__",
      json: json.replace('"exit_code":0', '"__proto__":{"exit_code":0}'),
    },
    {
      name: "lone surrogate",
      field: "",
      json: json.replace('"name":"plasm"', '"name":"\\ud800"'),
    },
    {
      name: "lone surrogate in a name",
      field: "",
      json: json.replace('"exit_code":0', '"exit_code":0,"\\udc00":0'),
    },
    ...(["signature", "attestation"] as const).flatMap((field) => [
      {
        name: `${field} in upper case`,
        field,
        json: digits(field, receipt[field].toUpperCase()),
      },
      { name: `line feed after the ${field}`, field, json: digits(field, `${receipt[field]}\\n`) },
      { name: `${field} is too short`, field, json: digits(field, receipt[field].slice(2)) },
      {
        name: `${field} in base64`,
        field,
        json: digits(field, fromHex(receipt[field]).toBase64()),
      },
    ]),
    {
      name: "number as text",
      field: "claim.exit_code",
      json: json.replace('code":0', 'code":"0"'),
    },
    {
      name: "number over 2^53",
      field: "claim.stdout.bytes",
      json: json.replace('bytes":12', 'bytes":9007199254740993'),
    },
    {
      name: "number with a fraction",
      field: "claim.stdout.bytes",
      json: json.replace('bytes":12', 'bytes":12.5'),
    },
    {
      name: "number with a leading zero",
      field: "",
      json: json.replace('bytes":12', 'bytes":012'),
    },
    {
      name: "not a number",
      field: "",
      json: json.replace('bytes":12', 'bytes":NaN'),
    },
    {
      name: "number over 2^64",
      field: "claim.stdout.bytes",
      json: json.replace('bytes":12', 'bytes":18446744073709551628'),
    },
  ];
}
