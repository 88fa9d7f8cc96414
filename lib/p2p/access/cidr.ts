/**
 * Ranges of IP addresses (RFC 4632, RFC 4291).
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";

/** A range of addresses. */
export interface Cidr {
  /** Whether an address, as text, is in it. What is no address is not. */
  contains(address: string): boolean;
}

/**
 * Reads `10.0.0.0/8`, `fd00::/8` or a single address.
 *
 * @throws {PlasmError} `bad-config` where it is neither
 */
export function parseCidr(text: string): Cidr {
  const [base = "", prefixText, ...rest] = text.split("/");
  const bytes = parseIp(base);
  const bits = bytes === null ? 0 : bytes.length * 8;
  const prefix = prefixText === undefined ? bits : Number(prefixText);
  const isPrefix = prefixText === undefined || /^\d{1,3}$/.test(prefixText);
  if (bytes === null || rest.length > 0 || !isPrefix || prefix > bits) {
    throw new PlasmError("bad-config", `Cannot read address range: ${text}`, {
      hint: "Write an IP address, or a range such as 10.0.0.0/8 or fd00::/8",
    });
  }
  return {
    contains(address) {
      const other = parseIp(address);
      return other !== null && other.length === bytes.length && isSamePrefix(bytes, other, prefix);
    },
  };
}

function isSamePrefix(a: Uint8Array, b: Uint8Array, prefix: number): boolean {
  const whole = prefix >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const mask = 0xff & (0xff00 >> (prefix & 7));
  return whole === a.length || ((a[whole]! ^ b[whole]!) & mask) === 0;
}

/** The 4 or 16 bytes of an IP address; IPv4 mapped into IPv6 is IPv4. Null where it is none. */
export function parseIp(text: string): Uint8Array | null {
  if (text.includes(":")) {
    const bytes = parseIpv6(text);
    const isMapped = bytes !== null && bytes.subarray(0, 10).every((byte) => byte === 0) &&
      bytes[10] === 0xff && bytes[11] === 0xff;
    return isMapped ? bytes.slice(12) : bytes;
  }
  return parseIpv4(text);
}

function parseIpv4(text: string): Uint8Array | null {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part))) return null;
  const numbers = parts.map(Number);
  return numbers.every((number) => number < 256) ? new Uint8Array(numbers) : null;
}

function parseIpv6(text: string): Uint8Array | null {
  const lastColon = text.lastIndexOf(":");
  if (text.includes(".")) {
    const tail = parseIpv4(text.slice(lastColon + 1));
    if (tail === null) return null;
    const groups = [tail[0]! << 8 | tail[1]!, tail[2]! << 8 | tail[3]!];
    return parseIpv6(text.slice(0, lastColon + 1) + groups.map((g) => g.toString(16)).join(":"));
  }
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [head = [], tail = []] = halves.map((half) => half === "" ? [] : half.split(":"));
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const groups = [...head, ...Array<string>(missing).fill("0"), ...tail];
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return null;
  return new Uint8Array(groups.flatMap((group) => {
    const number = parseInt(group, 16);
    return [number >> 8, number & 0xff];
  }));
}
