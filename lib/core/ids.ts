/**
 * Creates job ids and nonces, and derives peer ids from public keys.
 *
 * @module
 */
import { fromHex, toHex } from "../util/mod.ts";
import { PlasmError } from "./errors/mod.ts";

/** RFC 4648, section 6, in lower case. */
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
/** 130 bits, so that an id cannot be guessed. */
const ID_DIGITS = 26;

/** Creates a job id: "job_" and 26 random base32 digits. */
export function createJobId(): string {
  let id = "job_";
  for (const byte of crypto.getRandomValues(new Uint8Array(ID_DIGITS))) id += BASE32[byte & 31];
  return id;
}

/** Reports whether a value has the form of a job id. */
export function isJobId(value: unknown): value is string {
  return typeof value === "string" && /^job_[a-z2-7]{26}$/.test(value);
}

/** Creates a nonce: 32 random bytes in lowercase hex. */
export function createNonce(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(32)));
}

/**
 * Checks the form of a peer id, or of a multiaddr that ends with one, without loading libp2p.
 *
 * @throws {PlasmError} `usage` if it is neither
 */
export function parsePeer(text: string): string {
  if (/^(?:\/(?:\S+\/)?p2p\/)?[0-9A-Za-z]{32,128}$/.test(text)) return text;
  throw new PlasmError("usage", `Cannot use peer ${JSON.stringify(text.slice(0, 256))}`, {
    hint: "Write a peer id such as 12D3KooW…, or a multiaddr that ends with /p2p/ and a peer id",
  });
}

// libp2p's peer-ids spec: the identity multihash (0x00, length 0x24) of the protobuf PublicKey
// { Type: Ed25519 (08 01), Data: 32 bytes (12 20) }.
const PEER_ID_PREFIX = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

const BASE58BTC = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/**
 * Derives the libp2p peer id, `12D3KooW…`, from a public key, without loading libp2p, which takes longer than a job.
 *
 * @param publicKey Ed25519 public key in 64 lowercase hex digits
 * @throws {SyntaxError} if the text is not a key
 */
export function peerIdFromPublicKey(publicKey: string): string {
  const key = fromHex(publicKey);
  if (key.length !== 32) throw new SyntaxError("Public key is not 32 bytes");
  return base58([...PEER_ID_PREFIX, ...key]);
}

function base58(bytes: number[]): string {
  let number = 0n;
  let text = "";
  for (const byte of bytes) number = number << 8n | BigInt(byte);
  for (; number > 0n; number /= 58n) text = BASE58BTC[Number(number % 58n)] + text;
  // Leading zero bytes do not change the number; base58 encodes each as its zero digit.
  for (const byte of bytes) {
    if (byte !== 0) break;
    text = BASE58BTC[0] + text;
  }
  return text;
}
