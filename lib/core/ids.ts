/**
 * Names of jobs, and the nonces that make each receipt fresh.
 * @module
 */
import { toHex } from "../util/mod.ts";

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567"; // RFC 4648, section 6, in lower case
const DIGITS = 26; // 130 bits: not to be guessed, so that an id alone does not find another's job

/** A new job id: "job_" and 26 random base32 digits. */
export function createJobId(): string {
  let id = "job_";
  for (const byte of crypto.getRandomValues(new Uint8Array(DIGITS))) id += BASE32[byte & 31];
  return id;
}

/** Tells whether a value has the form of {@linkcode createJobId}. */
export function isJobId(value: unknown): value is string {
  return typeof value === "string" && /^job_[a-z2-7]{26}$/.test(value);
}

/** A new nonce: 32 random bytes in lowercase hex. */
export function createNonce(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(32)));
}
