/**
 * The capability document, signed by its node, and the protocol `/plasm/capability/1.0.0` that transfers it.
 *
 * @module
 */
import {
  canonicalBytes,
  isValidSignature,
  peerIdFromPublicKey,
  type Signer,
  validateDocument,
} from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { toHex } from "../../util/mod.ts";
import type { Capability } from "./capability_document.gen.ts";
import { CAPABILITY_DOCUMENT } from "./capability_validator.gen.ts";
import type { Connection, Stream } from "@libp2p/interface";
import { frameStream } from "../../core/cbor/mod.ts";

export type { Capability };

/** What a node can run and how busy it is; the rest of the document comes with signing. */
export type CapabilityFields = Pick<
  Capability,
  "runtime" | "wasi" | "features" | "cpu_cores" | "memory_mb" | "limits" | "load"
>;

/** Keeps a signature under a capability from being one under anything else. */
const DOMAIN = "plasm-capability-v0.1\n";
/** How far two honest clocks may be apart. */
export const MAX_CLOCK_SKEW_MS: number = 2 * 60 * 1000;
/** Longest validity; a document that outlives its node misleads for that long. */
export const MAX_VALIDITY_MS: number = 24 * 60 * 60 * 1000;

/** What {@linkcode signCapability} adds. */
export interface SignCapabilityOptions {
  signer: Signer;
  seq: number;
  addresses: string[];
  /** Unix milliseconds. */
  issuedAt: number;
  /** How long it is valid, in milliseconds. */
  validityMs: number;
}

/**
 * Signs a document.
 *
 * @throws {PlasmError} `internal` where it would not follow the schema
 */
export async function signCapability(
  fields: CapabilityFields,
  { signer, seq, addresses, issuedAt, validityMs }: SignCapabilityOptions,
): Promise<Capability> {
  const unsigned: Omit<Capability, "signature"> = {
    version: "0.1",
    node: { peer_id: signer.peerId, public_key: signer.publicKey },
    seq,
    issued_at: new Date(issuedAt).toISOString(),
    expires_at: new Date(issuedAt + validityMs).toISOString(),
    ...fields,
    addresses,
  };
  const signature = toHex(await signer.sign(signedBytes(unsigned)));
  const document: Capability = { ...unsigned, signature };
  validateDocument(CAPABILITY_DOCUMENT, document, {
    code: "internal",
    what: "capability",
    verb: "sign",
  });
  return document;
}

/** What a document is checked against. */
export interface VerifyCapabilityOptions {
  /** Who gave it; the peer id that the connection proved. */
  peerId: string;
  /**
   * The highest sequence number seen from that peer.
   * @default {none}
   */
  lastSeq?: number | undefined;
  /**
   * Unix milliseconds.
   * @default {Date.now()}
   */
  now?: number | undefined;
}

/**
 * Checks a document from outside: form, key, signature, time and sequence.
 *
 * @throws {PlasmError} `protocol`, its `details.field` naming what is wrong
 */
export async function verifyCapability(
  value: unknown,
  { peerId, lastSeq = -1, now = Date.now() }: VerifyCapabilityOptions,
): Promise<Capability> {
  validateDocument(CAPABILITY_DOCUMENT, value, {
    code: "protocol",
    what: "capability",
    verb: "trust",
  });
  const document = value as Capability;
  const { node, signature, issued_at, expires_at, seq } = document;
  if (peerIdFromPublicKey(node.public_key) !== node.peer_id) {
    throw untrusted("node.peer_id", "peer id does not follow from public_key");
  }
  if (node.peer_id !== peerId) {
    throw untrusted("node.peer_id", `signed by ${node.peer_id}, given by ${peerId}`);
  }
  const signed = { bytes: signedBytes(document), signature, publicKey: node.public_key };
  if (!await isValidSignature(signed)) throw untrusted("signature", "signature is not valid");
  const [issued, expires] = [Date.parse(issued_at), Date.parse(expires_at)];
  // Date.parse gives NaN for 30 February; no comparison with it holds.
  if (!(issued <= now + MAX_CLOCK_SKEW_MS)) {
    throw untrusted("issued_at", `issued at ${issued_at}, which is in the future`);
  }
  if (!(expires > now)) throw untrusted("expires_at", `expired at ${expires_at}`);
  if (!(expires - issued <= MAX_VALIDITY_MS)) {
    throw untrusted("expires_at", `valid for ${expires - issued} ms, at most ${MAX_VALIDITY_MS}`);
  }
  if (seq < lastSeq) throw untrusted("seq", `sequence ${seq} is below ${lastSeq}, seen before`);
  return document;
}

function untrusted(field: string, why: string): PlasmError {
  return new PlasmError("protocol", `Cannot trust capability: ${why}`, { details: { field } });
}

function signedBytes(document: Omit<Capability, "signature"> | Capability): Uint8Array {
  const { signature: _, ...unsigned } = document as Capability;
  const domain = new TextEncoder().encode(DOMAIN);
  const body = canonicalBytes(unsigned);
  const bytes = new Uint8Array(domain.length + body.length);
  bytes.set(domain);
  bytes.set(body, domain.length);
  return bytes;
}

/** The protocol's name. */
export const CAPABILITY_PROTOCOL = "/plasm/capability/1.0.0";

/** `{type: "get"}` and room for fields to come. */
const MAX_REQUEST_BYTES = 256;
/** A full document has some 3 KiB. */
export const MAX_CAPABILITY_BYTES: number = 32 * 1024;
/** From the first byte to the last; neither side waits longer. */
const EXCHANGE_TIMEOUT_MS = 10_000;

/** Answers one request; resolves when it has finished or failed. */
export async function serveCapability(
  stream: Stream,
  document: Capability | undefined,
): Promise<void> {
  const signal = AbortSignal.timeout(EXCHANGE_TIMEOUT_MS);
  try {
    const frames = frameStream(stream, { maxBytes: MAX_REQUEST_BYTES });
    const request = await frames.read({ signal });
    if ((request as { type?: unknown } | null)?.type !== "get") {
      throw new PlasmError("protocol", "Cannot answer: the request's type is not get");
    }
    await frames.write(
      document === undefined ? { type: "none" } : { type: "capability", document },
      { signal },
    );
    await stream.close({ signal });
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

/** Options of {@linkcode fetchCapability}. */
export interface FetchCapabilityOptions {
  signal: AbortSignal;
  /**
   * The highest sequence number seen from that peer.
   * @default {none}
   */
  lastSeq?: number | undefined;
}

/**
 * Asks a connected peer for its document and verifies it.
 *
 * @throws {PlasmError} `protocol` where the answer is not a document to trust, `not-found` where
 * the peer offers nothing
 * @throws {DOMException} where the signal is aborted: its reason
 */
export async function fetchCapability(
  connection: Connection,
  { signal, lastSeq }: FetchCapabilityOptions,
): Promise<Capability> {
  const both = AbortSignal.any([signal, AbortSignal.timeout(EXCHANGE_TIMEOUT_MS)]);
  const stream = await connection.newStream(CAPABILITY_PROTOCOL, {
    signal: both,
    runOnLimitedConnection: true,
  });
  try {
    const frames = frameStream(stream, { maxBytes: MAX_CAPABILITY_BYTES });
    await frames.write({ type: "get" }, { signal: both });
    const answer = await frames.read({ signal: both }) as { type?: unknown; document?: unknown };
    await stream.close({ signal: both });
    if (answer?.type === "none") {
      throw new PlasmError("not-found", "Cannot use peer: it offers no capabilities");
    }
    if (answer?.type !== "capability") {
      throw new PlasmError("protocol", "Cannot read answer: its type is not capability");
    }
    const peerId = connection.remotePeer.toString();
    return await verifyCapability(answer.document, { peerId, lastSeq });
  } catch (error) {
    stream.abort(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}
