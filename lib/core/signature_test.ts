import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import * as nodeCrypto from "node:crypto";
import { getPublicKeyAsync, hashes, Point, signAsync, verifyAsync } from "@noble/ed25519";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { fromHex, toHex } from "../util/mod.ts";
import { loadNativeHash } from "./hash.ts";
import {
  isSmallOrderKey,
  isValidNatively,
  isValidSignature,
  publicKeyOf,
  signBytes,
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
 * A signature made by hand: a key and R that each may have a part of small order, in these bytes, and
 * S with as many orders added. Tries messages until the equation without the cofactor holds, or does not.
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

Deno.test("isValidNatively() accepts only what @noble/ed25519 accepts, and isValidSignature() exactly that", async () => {
  const cases: [what: string, valid: boolean, signed: Odd][] = [
    ["usual", true, await odd({ holds: true })],
    ["S + order", false, await odd({ holds: true, orders: 1n })],
    ["S + 8 orders", false, await odd({ holds: true, orders: 8n })],
    ["mixed key, both equations", true, await odd({ keyTorsion: 1, holds: true })],
    ["mixed key, cofactored only", true, await odd({ keyTorsion: 1, holds: false })],
    ["mixed R, cofactored only", true, await odd({ rTorsion: 1, holds: false })],
    ["mixed key and R", true, await odd({ keyTorsion: 3, rTorsion: 5, holds: true })],
  ];
  for (let n = 0; n < 8; n++) {
    const weak = await odd({ secret: 0n, keyTorsion: n, holds: true });
    cases.push([`key of small order ${n}`, false, weak]);
    if (n % 4 !== 0) continue;
    // x is 0: with its sign set it is the same point in another form
    const key = weak.key.slice();
    key[31]! ^= 0x80;
    cases.push([`-0 in key ${n}`, false, { ...weak, key }]);
  }
  const usual = cases[0]![2];
  const [changed, cut] = [usual.signature.slice(), usual.signature.subarray(1)];
  changed[3]! ^= 1;
  cases.push(["changed R", false, { ...usual, signature: changed }]);
  cases.push(["63 bytes", false, { ...usual, signature: cut }]);
  // R is the neutral point, y = 1: as bytes also p + 1.
  for (const first of [1, 0xee]) {
    const r = new Uint8Array(32).fill(first === 1 ? 0 : 0xff);
    [r[0], r[31]] = [first, first === 1 ? 0 : 0x7f];
    const hash = await hashes.sha512Async!(new Uint8Array([...r, ...usual.key, ...usual.bytes]));
    const s = little(hash) % ORDER * 12345n % ORDER;
    const signature = new Uint8Array([...r, ...littleBytes(s)]);
    cases.push([`R of first byte ${first}`, first === 1, { ...usual, signature }]);
  }
  for (const [what, valid, odd] of cases) {
    const { bytes, signature, key } = odd;
    const noble = await verifyAsync(signature, bytes, key, { zip215: false }).catch(() => false);
    assertEquals(noble, valid, what);
    const signed = { bytes, signature: toHex(signature), publicKey: toHex(key) };
    assertEquals(await isValidSignature(signed), valid, what);
    for (const native of [nodeCrypto, undefined]) {
      const told = await isValidNatively(odd, native);
      assertEquals(told && !valid, false, what);
      if (what === "usual") assertEquals(told, true);
    }
  }
});

Deno.test("isSmallOrderKey() returns true for all eight points of small order, in all forms", () => {
  let point = Point.ZERO;
  const found = new Set<string>();
  for (let n = 0; n < 8; n++, point = point.add(T8)) {
    assertEquals(isSmallOrderKey(point.toBytes()), true);
    assertEquals(point.isSmallOrder(), true);
    found.add(point.toHex());
    const negative = point.toBytes();
    negative[31]! ^= 0x80; // with x = 0 this is a form that is not canonical
    assertEquals(isSmallOrderKey(negative), true);
  }
  assertEquals(found.size, 8);
});

Deno.test("isSmallOrderKey() returns true when y is at or above the modulus", () => {
  for (let low = 0xe0; low <= 0xff; low++) {
    for (const top of [0x7f, 0xff]) {
      const key = new Uint8Array(32).fill(0xff);
      [key[0], key[31]] = [low, top];
      assertEquals(isSmallOrderKey(key), low >= 0xec); // 0xec is -1, of order 2
      key[17] = 0xfe;
      assertEquals(isSmallOrderKey(key), false);
    }
  }
});

Deno.test("isSmallOrderKey() returns false for other keys and does not change them", () => {
  let point = Point.BASE;
  for (let n = 0; n < 50; n++, point = point.double().add(T8)) {
    const key = point.toBytes();
    assertEquals(isSmallOrderKey(key), false);
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
