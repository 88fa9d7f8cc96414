import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { getPublicKeyAsync, hashes, Point, signAsync } from "@noble/ed25519";
import speccheck from "../../tests/vectors/ed25519/speccheck.json" with { type: "json" };
import wycheproof from "../../tests/vectors/ed25519/wycheproof.json" with { type: "json" };
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { fromHex, toHex } from "../util/mod.ts";
import { loadNativeHash } from "./hash.ts";
import {
  isSmallOrderPoint,
  isValidSignature,
  publicKeyOf,
  type RawSignature,
  type SignatureEngine,
  signBytes,
  verifyBytes,
} from "./signature.ts";

const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
/** A point of order 8. */
const T8 = Point.fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");

interface Odd {
  bytes: Uint8Array;
  signature: Uint8Array;
  key: Uint8Array;
}

/**
 * Crafts a signature: key and R may have a component of small order, S may have orders of the group added. Varies the
 * message until the equation without the cofactor holds or fails, as `holds` says.
 */
async function odd(
  { keyTorsion = 0, rTorsion = 0, orders = 0n, holds, secret = 12345n }: {
    keyTorsion?: number;
    rTorsion?: number;
    orders?: bigint;
    holds: boolean;
    secret?: bigint;
  },
): Promise<Odd> {
  const torsion = (n: number): Point => n === 0 ? Point.ZERO : T8.multiply(BigInt(n), false);
  const main = secret === 0n ? Point.ZERO : Point.BASE.multiply(secret);
  const [a, r] = [main.add(torsion(keyTorsion)), Point.BASE.multiply(777n).add(torsion(rTorsion))];
  for (let n = 0; n < 256; n++) {
    const bytes = new Uint8Array([n, 1, 2, 3]);
    const hash = await hashes.sha512Async!(
      new Uint8Array([...r.toBytes(), ...a.toBytes(), ...bytes]),
    );
    const k = little(hash) % ORDER;
    const s = (777n + k * secret) % ORDER;
    const part = torsion(rTorsion).add(torsion(Number(k * BigInt(keyTorsion) % 8n)));
    if (part.is0() !== holds) continue;
    const signature = new Uint8Array([...r.toBytes(), ...littleBytes(s + orders * ORDER)]);
    return { bytes, signature, key: a.toBytes() };
  }
  throw new Error("No such message");
}

function little(bytes: Uint8Array): bigint {
  return BigInt(`0x${bytes.toReversed().toHex()}`);
}

function littleBytes(value: bigint): Uint8Array {
  return Uint8Array.fromHex(value.toString(16).padStart(64, "0")).reverse();
}

const ENGINES: readonly SignatureEngine[] = ["node", "web", "noble"];

/** Checks that each engine and {@linkcode isValidSignature} give one verdict. */
async function assertVerdict(
  signed: RawSignature,
  { what, valid }: { what: string; valid: boolean },
): Promise<void> {
  await loadNativeHash();
  for (const engine of ENGINES) {
    assertEquals(await verifyBytes(signed, engine), valid, `${what}, ${engine}`);
  }
  const { bytes, signature, key } = signed;
  const hex = { bytes, signature: toHex(signature), publicKey: toHex(key) };
  assertEquals(await isValidSignature(hex), valid, what);
}

Deno.test("isValidSignature() applies one rule to crafted signatures on every engine", async () => {
  const cases: { what: string; valid: boolean; signed: Odd }[] = [
    { what: "usual", valid: true, signed: await odd({ holds: true }) },
    { what: "S + order", valid: false, signed: await odd({ holds: true, orders: 1n }) },
    { what: "S + 8 orders", valid: false, signed: await odd({ holds: true, orders: 8n }) },
    {
      what: "mixed key, both equations",
      valid: true,
      signed: await odd({ keyTorsion: 1, holds: true }),
    },
    {
      what: "mixed key, cofactored only",
      valid: false,
      signed: await odd({ keyTorsion: 1, holds: false }),
    },
    {
      what: "mixed R, cofactored only",
      valid: false,
      signed: await odd({ rTorsion: 1, holds: false }),
    },
    {
      what: "mixed key and R",
      valid: true,
      signed: await odd({ keyTorsion: 3, rTorsion: 5, holds: true }),
    },
  ];
  for (let n = 0; n < 8; n++) {
    const weak = await odd({ secret: 0n, keyTorsion: n, holds: true });
    cases.push({ what: `key of small order ${n}`, valid: false, signed: weak });
    if (n % 4 !== 0) continue;
    // x is 0: with its sign set it is the same point in another form.
    const key = weak.key.slice();
    key[31]! ^= 0x80;
    cases.push({ what: `-0 in key ${n}`, valid: false, signed: { ...weak, key } });
  }
  const usual = cases[0]!.signed;
  const [changed, cut] = [usual.signature.slice(), usual.signature.subarray(1)];
  changed[3]! ^= 1;
  cases.push({ what: "changed R", valid: false, signed: { ...usual, signature: changed } });
  cases.push({ what: "63 bytes", valid: false, signed: { ...usual, signature: cut } });
  // R is the neutral point, y = 1: as bytes also p + 1.
  for (const first of [1, 0xee]) {
    const r = new Uint8Array(32).fill(first === 1 ? 0 : 0xff);
    [r[0], r[31]] = [first, first === 1 ? 0 : 0x7f];
    const hash = await hashes.sha512Async!(new Uint8Array([...r, ...usual.key, ...usual.bytes]));
    const s = little(hash) % ORDER * 12345n % ORDER;
    const signature = new Uint8Array([...r, ...littleBytes(s)]);
    const signed = { ...usual, signature };
    cases.push({ what: `R of first byte ${first}`, valid: false, signed });
  }
  for (const { signed, ...verdict } of cases) await assertVerdict(signed, verdict);
});

Deno.test("isValidSignature() agrees with Project Wycheproof's vectors", async () => {
  let tests = 0;
  for (const { publicKey, tests: group } of wycheproof.testGroups) {
    for (const { tcId, msg, sig, result, comment } of group) {
      const [bytes, signature, key] = [msg, sig, publicKey.pk].map((hex) =>
        Uint8Array.fromHex(hex)
      );
      await assertVerdict({ bytes: bytes!, signature: signature!, key: key! }, {
        what: `${tcId}: ${comment}`,
        valid: result === "valid",
      });
      tests++;
    }
  }
  assertEquals(tests, wycheproof.numberOfTests);
});

Deno.test("isValidSignature() accepts of speccheck's vectors what libsodium accepts", async () => {
  const accepted: number[] = [];
  for (const [n, { message, pub_key, signature }] of speccheck.entries()) {
    const signed = {
      bytes: Uint8Array.fromHex(message),
      signature: Uint8Array.fromHex(signature),
      key: Uint8Array.fromHex(pub_key),
    };
    const valid = await verifyBytes(signed);
    await assertVerdict(signed, { what: `vector ${n}`, valid });
    if (valid) accepted.push(n);
  }
  // Vector 3: R and key have components of small order, and the equation holds without the cofactor.
  assertEquals(accepted, [3]);
});

Deno.test("isSmallOrderPoint() returns true for all eight points of small order, in all forms", () => {
  let point = Point.ZERO;
  const found = new Set<string>();
  for (let n = 0; n < 8; n++, point = point.add(T8)) {
    assertEquals(isSmallOrderPoint(point.toBytes()), true);
    assertEquals(point.isSmallOrder(), true);
    found.add(point.toHex());
    const negative = point.toBytes();
    negative[31]! ^= 0x80; // with x = 0 this is a form that is not canonical
    assertEquals(isSmallOrderPoint(negative), true);
  }
  assertEquals(found.size, 8);
});

Deno.test("isSmallOrderPoint() returns true when y is at or above the modulus", () => {
  for (let low = 0xe0; low <= 0xff; low++) {
    for (const top of [0x7f, 0xff]) {
      const key = new Uint8Array(32).fill(0xff);
      [key[0], key[31]] = [low, top];
      assertEquals(isSmallOrderPoint(key), low >= 0xec); // 0xec is -1, of order 2
      key[17] = 0xfe;
      assertEquals(isSmallOrderPoint(key), false);
    }
  }
});

Deno.test("isSmallOrderPoint() returns false for other keys and does not change them", () => {
  let point = Point.BASE;
  for (let n = 0; n < 50; n++, point = point.double().add(T8)) {
    const key = point.toBytes();
    assertEquals(isSmallOrderPoint(key), false);
    assertEquals(key, point.toBytes());
  }
});

Deno.test("signBytes() and publicKeyOf() return the same as @noble/ed25519", async () => {
  for (let i = 0; i < 20; i++) {
    const secretKey = new Uint8Array(32).fill(i * 13);
    const bytes = new Uint8Array(i * 50).fill(i);
    assertEquals(await publicKeyOf(secretKey), toHex(await getPublicKeyAsync(secretKey)));
    assertEquals(await signBytes(bytes, secretKey), await signAsync(bytes, secretKey));
  }
});

Deno.test("signBytes() returns the same when node:crypto is loaded", async () => {
  const secretKey = crypto.getRandomValues(new Uint8Array(32));
  const bytes = crypto.getRandomValues(new Uint8Array(900));
  await loadNativeHash();
  for (let change = 0; change < 3; change++) {
    assertEquals(await signBytes(bytes, secretKey), await signAsync(bytes, secretKey));
    secretKey[0]! ^= 1; // another key in the same array
  }
});

Deno.test("signBytes() and publicKeyOf() throw when the secret key has another length", async () => {
  for (const length of [0, 31, 33, 64]) {
    const secretKey = new Uint8Array(length);
    await assertRejects(() => publicKeyOf(secretKey), RangeError);
    await assertRejects(() => signBytes(secretKey, secretKey), RangeError);
  }
});

Deno.test("isValidSignature() rejects malformed input and other forms of a valid signature", async () => {
  const bytes = fromHex(vectors.signed_bytes);
  const { signature, public_key: publicKey } = vectors;
  assertEquals(await isValidSignature({ bytes, signature, publicKey }), true);
  // S plus the group's order: the equation still holds, RFC 8032, section 5.1.7 refuses it.
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const little = signature.slice(64).match(/../g)!;
  const s = BigInt(`0x${[...little].reverse().join("")}`) + order;
  const malleable = signature.slice(0, 64) +
    s.toString(16).padStart(64, "0").match(/../g)!.reverse().join("");
  assertNotEquals(malleable, signature);
  for (const other of [malleable, "", signature.slice(2), "zz", signature.toUpperCase()]) {
    assertEquals(await isValidSignature({ bytes, signature: other, publicKey }), false);
  }
  for (const key of ["", "00", "f".repeat(64), publicKey.toUpperCase()]) {
    assertEquals(await isValidSignature({ bytes, signature, publicKey: key }), false);
  }
});
