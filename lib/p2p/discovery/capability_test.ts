import { assert, assertArrayIncludes, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { PlasmError } from "../../core/errors/errors.ts";
import { ephemeralIdentity, identityFromSecretKey } from "../../core/identity.ts";
import {
  type Capability,
  MAX_CLOCK_SKEW_MS,
  MAX_VALIDITY_MS,
  probeWasmFeatures,
  signCapability,
  verifyCapability,
} from "./capability.ts";
import { FIELDS } from "../../../tests/fixtures/p2p/identities.ts";

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5);

async function signed(
  changes: Partial<{ seq: number; issuedAt: number; validityMs: number }> = {},
) {
  const signer = await identityFromSecretKey(new Uint8Array(32).fill(1));
  return await signCapability(FIELDS, {
    signer,
    seq: 5,
    addresses: ["/ip4/192.0.2.1/tcp/4001"],
    issuedAt: NOW,
    validityMs: 60_000,
    ...changes,
  });
}

async function rejectedField(document: unknown, options: Parameters<typeof verifyCapability>[1]) {
  const error = await assertRejects(() => verifyCapability(document, options), PlasmError);
  assertEquals(error.code, "protocol");
  return error.details.field;
}

Deno.test("verifyCapability() accepts a document of signCapability()", async () => {
  const document = await signed();
  const peerId = document.node.peer_id;
  assertEquals(await verifyCapability(document, { peerId, now: NOW, lastSeq: 5 }), document);
});

Deno.test("verifyCapability() rejects any changed field", async () => {
  const document = await signed();
  const options = { peerId: document.node.peer_id, now: NOW };
  const changed: Partial<Capability>[] = [
    { seq: 6 },
    { cpu_cores: 64 },
    { features: [] },
    { addresses: ["/ip4/192.0.2.2/tcp/4001"] },
    { load: { running: 0, queued: 0, slots: 3 } },
    { expires_at: new Date(NOW + 70_000).toISOString() },
    { signature: "0".repeat(128) },
  ];
  for (const change of changed) {
    assertEquals(await rejectedField({ ...document, ...change }, options), "signature");
  }
});

Deno.test("verifyCapability() rejects an unsigned document and unknown fields", async () => {
  const { signature: _, ...unsigned } = await signed();
  const options = { peerId: unsigned.node.peer_id, now: NOW };
  assertEquals(await rejectedField(unsigned, options), "signature");
  assertEquals(await rejectedField({ ...await signed(), price: 1 }, options), "price");
});

Deno.test("verifyCapability() rejects the document or the key of another node", async () => {
  const document = await signed();
  const other = await ephemeralIdentity();
  assertEquals(await rejectedField(document, { peerId: other.peerId, now: NOW }), "node.peer_id");
  const node = { peer_id: document.node.peer_id, public_key: other.publicKey };
  const options = { peerId: document.node.peer_id, now: NOW };
  assertEquals(await rejectedField({ ...document, node }, options), "node.peer_id");
});

Deno.test("verifyCapability() rejects an expired document, a future one and one of too long validity", async () => {
  const options = { peerId: (await signed()).node.peer_id, now: NOW };
  assertEquals(
    await rejectedField(await signed({ issuedAt: NOW - 60_000 }), options),
    "expires_at",
  );
  const future = await signed({ issuedAt: NOW + MAX_CLOCK_SKEW_MS + 1 });
  assertEquals(await rejectedField(future, options), "issued_at");
  const long = await signed({ validityMs: MAX_VALIDITY_MS + 1 });
  assertEquals(await rejectedField(long, options), "expires_at");
  const noDay = { ...await signed(), issued_at: "2026-02-30T00:00:00.000Z" };
  assertEquals(await rejectedField(noDay, options), "signature");
});

Deno.test("verifyCapability() rejects a lower sequence number", async () => {
  const document = await signed({ seq: 5 });
  const options = { peerId: document.node.peer_id, now: NOW, lastSeq: 6 };
  assertEquals(await rejectedField(document, options), "seq");
});

Deno.test("verifyCapability() throws a PlasmError for any invalid value", async () => {
  const document = await signed();
  const options = { peerId: document.node.peer_id, now: NOW };
  const fields = Object.keys(document) as (keyof Capability)[];
  const near = fc.tuple(fc.constantFrom(...fields), fc.anything())
    .map(([field, value]) => ({ ...document, [field]: value }))
    .filter((changed) => JSON.stringify(changed) !== JSON.stringify(document));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.anything(), near), async (value) => {
      await assertRejects(() => verifyCapability(value, options), PlasmError);
    }),
    { seed: 20260102, numRuns: 1000 },
  );
});

Deno.test("probeWasmFeatures() finds the proposals that V8 has shipped for years", () => {
  const features = probeWasmFeatures();
  assertArrayIncludes(features, [
    "bulk-memory",
    "extended-const",
    "gc",
    "multi-value",
    "reference-types",
    "relaxed-simd",
    "sat-float-to-int",
    "sign-extension",
    "simd",
    "tail-call",
    "threads",
  ]);
  assertEquals(features, features.toSorted());
});

Deno.test("probeWasmFeatures() validates the probes on each call", () => {
  const validate = WebAssembly.validate;
  const validated: number[] = [];
  WebAssembly.validate = (bytes) => {
    validated.push(bytes.byteLength);
    return false;
  };
  try {
    assertEquals(probeWasmFeatures(), []);
    assert(validated.length > 10);
  } finally {
    WebAssembly.validate = validate;
  }
});
