import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { createEnvelope, MAX_ENVELOPE_BYTES, parseEnvelope, verifyEnvelope } from "./envelope.ts";
import { PlasmError } from "./errors/mod.ts";
import { identityFromSecretKey } from "./identity.ts";
import { signReceipt } from "./receipt.ts";
import type { Claim, Envelope, Receipt } from "./types.gen.ts";

const RECEIPT = vectors.receipt as Receipt;

/** A receipt with the claim of the vector, changed, by another node for each number. */
async function receiptOf(node: number, changes: Partial<Claim> = {}): Promise<Receipt> {
  const signer = await identityFromSecretKey(new Uint8Array(32).fill(node));
  return await signReceipt({ claim: { ...RECEIPT.claim, ...changes }, run: RECEIPT.run }, signer);
}

/** Reads an envelope from its text. */
async function read(text: string): Promise<unknown> {
  return await verifyEnvelope(parseEnvelope(text));
}

async function refuse(value: unknown, message: string): Promise<void> {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const error = await assertRejects(() => read(text), PlasmError, message);
  assertEquals(error.code, "bad-receipt");
}

const ENVELOPE = await createEnvelope([RECEIPT]);
const [SIGNATURE] = ENVELOPE.signatures;

Deno.test("createEnvelope() combines the attestations of nodes with one claim, ordered by key", async () => {
  const receipts = [await receiptOf(3), RECEIPT, await receiptOf(1), await receiptOf(2)];
  const envelope = await createEnvelope(receipts);
  const keys = envelope.signatures.map(({ keyid }) => keyid);
  assertEquals(keys, receipts.map(({ run }) => run.node.public_key).sort());
  const { claim, signers } = await verifyEnvelope(parseEnvelope(JSON.stringify(envelope)));
  assertEquals(claim, RECEIPT.claim);
  const peers = new Map(receipts.map(({ run: { node } }) => [node.public_key, node.peer_id]));
  assertEquals(signers, keys.map((publicKey) => ({ publicKey, peerId: peers.get(publicKey)! })));
});

Deno.test("createEnvelope() returns the same envelope for every order and number of the same receipts", async () => {
  const [a, b] = [await receiptOf(1), await receiptOf(2)];
  assertEquals(await createEnvelope([a, b, a]), await createEnvelope([b, a]));
});

Deno.test("createEnvelope() refuses claims that differ and names the first difference", async () => {
  const other = await receiptOf(1, { stdout: { ...RECEIPT.claim.stdout, bytes: 99 } });
  const error = await assertRejects(
    () => createEnvelope([RECEIPT, RECEIPT, other]),
    PlasmError,
    `stdout.bytes is ${RECEIPT.claim.stdout.bytes} in receipt 1, 99 in receipt 3`,
  );
  assertEquals([error.exitCode, error.details.field], [76, "stdout.bytes"]);
});

Deno.test("createEnvelope() refuses a receipt that is not valid, and no receipts", async () => {
  const forged = { ...RECEIPT, claim: { ...RECEIPT.claim, exit_code: 99 } };
  await assertRejects(() => createEnvelope([forged]), PlasmError, "signature is not by");
  await assertRejects(() => createEnvelope([]), PlasmError, "no receipt");
});

Deno.test("verifyEnvelope() requires the expected signers by key or peer id", async () => {
  const { public_key, peer_id } = RECEIPT.run.node;
  await verifyEnvelope(ENVELOPE, { signers: [public_key, peer_id] });
  const { run: { node } } = await receiptOf(1);
  for (const signer of [node.public_key, node.peer_id, "", "x"]) {
    const error = await assertRejects(
      () => verifyEnvelope(ENVELOPE, { signers: [signer] }),
      PlasmError,
      "signatures has none by",
    );
    assertEquals(error.exitCode, 76);
  }
});

Deno.test("verifyEnvelope() refuses a changed byte anywhere in the payload", async () => {
  const payload = Uint8Array.fromBase64(ENVELOPE.payload);
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: payload.length - 1 }),
      fc.integer({ min: 1, max: 255 }),
      async (at, change) => {
        const changed = payload.slice();
        changed[at]! ^= change;
        await refuse({ ...ENVELOPE, payload: changed.toBase64() }, "signatures[0].sig is not a");
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("verifyEnvelope() refuses signatures that are missing, repeated, of another key or changed", async () => {
  const other = (await createEnvelope([await receiptOf(1, { exit_code: 5 })])).signatures[0]!;
  const { keyid, sig } = SIGNATURE!;
  const flipped = `${sig[0] === "A" ? "B" : "A"}${sig.slice(1)}`;
  const cases: [unknown[], string][] = [
    [[], "signatures must have at least 1 entries"],
    [[SIGNATURE, SIGNATURE], "signatures[1].keyid is"],
    [[SIGNATURE, { keyid, sig: flipped }], "signatures[1].keyid is"],
    [[{ keyid, sig: flipped }], "signatures[0].sig is not a signature by"],
    [[{ keyid: other.keyid, sig }], "signatures[0].sig is not a signature by"],
    [[SIGNATURE, other], "signatures[1].sig is not a signature by"],
    [[{ sig }], "signatures[0].keyid is missing"],
    [[{ keyid: "", sig }], "signatures[0].keyid must be 64 lowercase hex digits"],
    [[{ keyid: keyid.toUpperCase(), sig }], "signatures[0].keyid must be"],
    [[{ keyid: `01${"00".repeat(31)}`, sig }], "signatures[0].sig is not a signature by"],
    [[{ ...SIGNATURE, cert: "x" }], "signatures[0].cert is not a known field"],
    [Array(257).fill(SIGNATURE), "signatures must have at most 256 entries"],
  ];
  for (const [signatures, message] of cases) await refuse({ ...ENVELOPE, signatures }, message);
});

Deno.test("verifyEnvelope() refuses every other base64 form of payload and signature", async () => {
  const { payload } = ENVELOPE;
  const { keyid, sig } = SIGNATURE!;
  const hasPadding = payload.endsWith("=");
  const forms = [
    `${payload}\n`,
    ` ${payload}`,
    `${payload.slice(0, 4)} ${payload.slice(4)}`,
    `${payload}====`,
    hasPadding ? payload.replace(/=+$/, "") : `${payload}=`,
    payload.replace(/^./, "-"),
    "",
  ];
  for (const form of forms) await refuse({ ...ENVELOPE, payload: form }, "Cannot trust envelope");
  // The last digit before the padding has four unused bits.
  const last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unused = `${sig.slice(0, 85)}${last[last.indexOf(sig[85]!) + 1]}==`;
  for (const form of [unused, sig.replace(/=+$/, ""), `${sig}\n`, "", `-${sig.slice(1)}`]) {
    await refuse({ ...ENVELOPE, signatures: [{ keyid, sig: form }] }, "signatures[0].sig");
  }
});

Deno.test("parseEnvelope() refuses what other parsers read differently", async () => {
  const text = JSON.stringify(ENVELOPE);
  const cases: [string, string][] = [
    [text.replace("{", '{"payload":"",'), 'field "payload" occurs twice'],
    [text.replace('"keyid"', '"keyid":"","keyid"'), 'field "keyid" occurs twice'],
    [text.replace("{", '{"__proto__":{},'), "__proto__ is not a known field"],
    [text.replace("{", '{"constructor":1,'), "constructor is not a known field"],
    [`\ufeff${text}`, "it is not JSON"],
    [`${text}x`, "it is not JSON"],
    [`${text}${text}`, "it is not JSON"],
    [text.replace("{", '{"\\ud800":1,'), "well-formed Unicode"],
    [text.replace("in-toto+json", "in-toto"), "payloadType must be"],
    [text.replace('"payloadType"', '"payload_type"'), "payload_type is not a known field"],
    [text.replace(/"signatures":.*/, '"signatures":{}}'), "signatures must be a list in []"],
    ["[]", "the document must be an object in {}"],
    ["null", "the document must be an object in {}"],
    ["", "it is not JSON"],
    [" ".repeat(MAX_ENVELOPE_BYTES + 1), `at most ${MAX_ENVELOPE_BYTES} bytes are allowed`],
  ];
  for (const [json, message] of cases) await refuse(json, message);
  assertThrows(() => parseEnvelope(new Uint8Array([0xff])), PlasmError, "it is not UTF-8");
});

/** Signs any payload as a node does. */
async function signed(payload: string): Promise<Envelope> {
  const node = await identityFromSecretKey(new Uint8Array(32).fill(9));
  const bytes = new TextEncoder().encode(payload);
  const type = "application/vnd.in-toto+json";
  const header = new TextEncoder().encode(`DSSEv1 ${type.length} ${type} ${bytes.length} `);
  const sig = await node.sign(new Uint8Array([...header, ...bytes]));
  return {
    payload: bytes.toBase64(),
    payloadType: type,
    signatures: [{ keyid: node.publicKey, sig: sig.toBase64() }],
  };
}

Deno.test("verifyEnvelope() refuses signed payloads that are not the statement of their claim", async () => {
  const statement = new TextDecoder().decode(Uint8Array.fromBase64(ENVELOPE.payload));
  await verifyEnvelope(await signed(statement));
  const { predicate, ...rest } = JSON.parse(statement);
  const text = (changes: object): string => JSON.stringify({ ...rest, predicate, ...changes });
  const cases: [string, string][] = [
    [`${statement}\n`, "is not the canonical statement of its claim"],
    [statement.replace("{", "{ "), "is not the canonical statement of its claim"],
    [statement.replace('"subject":', '"more":1,"subject":'), "is not the canonical statement"],
    [statement.replace("Statement/v1", "Statement/v0.1"), "is not the canonical statement"],
    [statement.replace("urn:plasm:execution:v0.2", "urn:other"), "is not the canonical statement"],
    [text({ subject: [] }), "is not the canonical statement"],
    [text({ predicate: { ...predicate, more: 1 } }), "more is not a known field"],
    [
      text({ predicate: { version: "0.3", proof: {} }, predicateType: "urn:plasm:execution:v0.3" }),
      'version must be "0.2", found "0.3"',
    ],
    [text({ predicate: { ...predicate, exit_code: 1.5 } }), "exit_code"],
    [text({ predicate: null }), "must be an object in {}"],
    [JSON.stringify(rest), "is not a statement with a predicate"],
    ["[]", "is not a statement with a predicate"],
    ["x", "it is not JSON"],
    [`\ufeff${statement}`, "it is not JSON"],
  ];
  for (const [payload, message] of cases) await refuse(await signed(payload), message);
});
