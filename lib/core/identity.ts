/**
 * Creates and loads the node's identity: one Ed25519 key for receipts, capability documents and libp2p.
 *
 * `identity.key` in the state directory is PEM with PKCS #8 (RFC 8410), as `openssl genpkey -algorithm
 * ed25519` writes it.
 * @module
 */
import { PlasmError } from "./errors/mod.ts";
import { peerIdFromPublicKey } from "./ids.ts";
import { PKCS8_PREFIX, publicKeyOf, signBytes, type Signer, toPkcs8 } from "./signature.ts";
import { readPrivateFile, writePrivateFile } from "./state_file.ts";

/** A key pair, with its peer id. */
export interface Identity extends Signer {
  /**
   * The 32-byte secret key (the seed of RFC 8032 and of libp2p's `generateKeyPairFromSeed`). Not
   * enumerable, so that logs and JSON never include it.
   */
  readonly secretKey: Uint8Array;
}

/** File name of the key in the state directory. */
export const IDENTITY_FILE = "identity.key";

const SEED_BYTES = 32;

/** Creates the identity of a 32-byte secret key. */
export async function identityFromSecretKey(secretKey: Uint8Array): Promise<Identity> {
  const seed = secretKey.slice();
  const publicKey = await publicKeyOf(seed);
  const signer: Signer = {
    publicKey,
    peerId: peerIdFromPublicKey(publicKey),
    sign: (bytes) => signBytes(bytes, seed),
  };
  return Object.freeze(Object.defineProperty(signer, "secretKey", { value: seed }) as Identity);
}

/**
 * Creates an identity in memory, for anonymous clients and tests.
 *
 * @example
 * ```ts
 * import { ephemeralIdentity } from "@plasm/plasm";
 * import { assertMatch } from "@std/assert";
 *
 * const { peerId } = await ephemeralIdentity();
 * assertMatch(peerId, /^12D3KooW/);
 * ```
 */
export async function ephemeralIdentity(): Promise<Identity> {
  return await identityFromSecretKey(newSecretKey());
}

/**
 * Loads the identity of a state directory, or creates it. Concurrent calls return the same identity.
 *
 * @param stateDir Created with mode 0700 if it does not exist
 * @throws {PlasmError} `bad-identity` if the file is not private, or not a key: `details.damaged` is
 * then true
 * @throws {PlasmError} `state` if the directory cannot be read or written
 *
 * @example
 * ```ts
 * import { loadOrCreateIdentity } from "@plasm/plasm";
 * import { assertEquals } from "@std/assert";
 *
 * const stateDir = await Deno.makeTempDir();
 * const created = await loadOrCreateIdentity(stateDir);
 * const loaded = await loadOrCreateIdentity(stateDir);
 * assertEquals(loaded.publicKey, created.publicKey);
 * await Deno.remove(stateDir, { recursive: true });
 * ```
 */
export async function loadOrCreateIdentity(stateDir: string): Promise<Identity> {
  return await loadIdentity(stateDir) ?? await createIdentity(stateDir);
}

/**
 * Loads the identity of a state directory; `undefined` if it has none.
 *
 * @throws {PlasmError} as {@linkcode loadOrCreateIdentity}
 */
export async function loadIdentity(stateDir: string): Promise<Identity | undefined> {
  const path = `${stateDir}/${IDENTITY_FILE}`;
  const text = await readPrivateFile(path);
  return text === undefined ? undefined : await identityFromSecretKey(decodeKey(text, path));
}

async function createIdentity(stateDir: string): Promise<Identity> {
  await writePrivateFile(`${stateDir}/${IDENTITY_FILE}`, encodeKey(newSecretKey()));
  // Another process may have created the file first; its content counts.
  const identity = await loadIdentity(stateDir);
  if (identity !== undefined) return identity;
  throw new PlasmError(
    "state",
    `Cannot store identity: ${IDENTITY_FILE} disappeared from ${stateDir}`,
  );
}

function newSecretKey(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(SEED_BYTES));
}

function encodeKey(seed: Uint8Array): string {
  return `-----BEGIN PRIVATE KEY-----\n${toPkcs8(seed).toBase64()}\n-----END PRIVATE KEY-----\n`;
}

function decodeKey(text: string, path: string): Uint8Array {
  const base64 = /^-----BEGIN PRIVATE KEY-----\n([A-Za-z0-9+/]{64})\n-----END PRIVATE KEY-----\n?$/
    .exec(text)?.[1];
  const der = base64 === undefined ? new Uint8Array() : Uint8Array.fromBase64(base64);
  const prefix = der.subarray(0, PKCS8_PREFIX.length);
  // Base64 of 48 bytes has no padding and no unused bits, so each key has exactly one text.
  if (der.length === 0 || prefix.toHex() !== PKCS8_PREFIX.toHex()) {
    throw new PlasmError("bad-identity", `Cannot use identity key: no Ed25519 key in ${path}`, {
      hint: "Restore it from a copy, or move it away to become a new node with a new peer id",
      details: { damaged: true },
    });
  }
  return der.slice(PKCS8_PREFIX.length);
}
