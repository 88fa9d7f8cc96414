/**
 * Signs, verifies and transfers capability documents, by the protocol `/plasm/capability/1.0.0`.
 *
 * @module
 */
import schema from "../../../schemas/capability.json" with { type: "json" };
import {
  canonicalBytes,
  documentSchema,
  isValidSignature,
  peerIdFromPublicKey,
  type Signer,
  validateDocument,
} from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { concat, toHex } from "../../util/mod.ts";
import type { Capability } from "./capability_document.gen.ts";
import type { Connection, Stream } from "@libp2p/interface";
import { frameStream } from "../../core/cbor/mod.ts";
import { toError } from "../network_events.ts";

export type { Capability };

/** Capabilities and load of a node; signing adds the rest of the document. */
export type CapabilityFields = Pick<
  Capability,
  "runtime" | "wasi" | "features" | "cpu_cores" | "memory_mb" | "limits" | "load" | "availability"
>;

const CAPABILITY_DOCUMENT = documentSchema(schema);

/** Domain separator: a signature of a capability is not valid for any other document. */
const DOMAIN = "plasm-capability-v0.1\n";
/** Largest accepted clock difference between honest nodes, in milliseconds. */
export const MAX_CLOCK_SKEW_MS: number = 2 * 60 * 1000;
/** Longest accepted validity, in milliseconds: a document that outlives its node misleads for that long. */
export const MAX_VALIDITY_MS: number = 24 * 60 * 60 * 1000;

/** Options of {@linkcode signCapability}. */
export interface SignCapabilityOptions {
  signer: Signer;
  seq: number;
  addresses: string[];
  /** Unix milliseconds. */
  issuedAt: number;
  /** Validity in milliseconds. */
  validityMs: number;
}

/**
 * Signs a document.
 *
 * @throws {PlasmError} `internal` if the document would violate the schema.
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

/** Options of {@linkcode verifyCapability}. */
export interface VerifyCapabilityOptions {
  /** Authenticated peer id of the sender. */
  peerId: string;
  /**
   * Highest sequence number received from the peer.
   * @default {none}
   */
  lastSeq?: number | undefined;
  /**
   * Current time in Unix milliseconds.
   * @default {Date.now()}
   */
  now?: number | undefined;
}

/**
 * Verifies an untrusted document: schema, key, signature, validity and sequence number.
 *
 * @throws {PlasmError} `protocol`, with the invalid field in `details.field`.
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
  // Date.parse returns NaN for 30 February, and every comparison with NaN is false.
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
  return concat([new TextEncoder().encode(DOMAIN), canonicalBytes(unsigned)]);
}

/** Name of the protocol. */
export const CAPABILITY_PROTOCOL = "/plasm/capability/1.0.0";

/** Largest request, in bytes: `{type: "get"}` and space for later fields. */
const MAX_REQUEST_BYTES = 256;
/** Largest response, in bytes; a complete document has about 3 KiB. */
export const MAX_CAPABILITY_BYTES: number = 32 * 1024;
/** Time limit of a whole exchange on either side, in milliseconds. */
const EXCHANGE_TIMEOUT_MS = 10_000;

/** Answers one request. Resets the stream and rejects if the exchange fails. */
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
    stream.abort(toError(error));
    throw error;
  }
}

/** Options of {@linkcode fetchCapability}. */
export interface FetchCapabilityOptions {
  /** Aborts the exchange. */
  signal: AbortSignal;
  /**
   * Highest sequence number received from the peer.
   * @default {none}
   */
  lastSeq?: number | undefined;
}

/**
 * Requests the document of a connected peer and verifies it.
 *
 * @throws {PlasmError} `protocol` if the response is invalid, `not-found` if the peer has published no document.
 * @throws The signal's reason if it aborts.
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
    stream.abort(toError(error));
    throw error;
  }
}

/**
 * Smallest module that is valid only with a proposal, without the eight-byte header; sections as in chapter 5 of the
 * core specification.
 */
const FEATURE_PROBES: Readonly<Record<string, string>> = {
  // (func (drop (i32.extend8_s (i32.const 0))))
  "sign-extension": "0104016000000302010" + "00a08010600" + "4100c01a0b",
  // (func (drop (i32.trunc_sat_f32_s (f32.const 0))))
  "sat-float-to-int": "01040160000003020100" + "0a0c010a00" + "4300000000fc001a0b",
  // (func (result i32 i32) i32.const 0 i32.const 0)
  "multi-value": "010601600002" + "7f7f03020100" + "0a08010600" + "410041000b",
  // memory.copy
  "bulk-memory": "01040160000003020100" + "0503010001" + "0a0e010c00" + "410041004100fc0a00000b",
  // (func (drop (ref.null func)))
  "reference-types": "01040160000003020100" + "0a07010500" + "d0701a0b",
  // (func (result v128) i32.const 0 i8x16.splat i8x16.popcnt)
  "simd": "0105016000017b03020100" + "0a0a010800" + "4100fd0ffd620b",
  // i8x16.relaxed_swizzle
  "relaxed-simd": "0105016000017b03020100" + "0a0f010d00" + "4101fd0f4102fd0ffd80020b",
  // i32.atomic.load of a shared memory
  "threads": "01040160000003020100" + "050401030101" + "0a0b010900" + "4100fe1002001a0b",
  // (func return_call 0)
  "tail-call": "01040160000003020100" + "0a06010400" + "12000b",
  // try_table without a catch clause
  "exceptions": "01040160000003020100" + "0a08010600" + "1f40000b0b",
  // an offset of (i32.add (i32.const 1) (i32.const 2))
  "extended-const": "0503010001" + "0b0901004101" + "41026a0b00",
  // (type (struct (field i8)))
  "gc": "0105015f01" + "7800",
  // (memory i64 1)
  "memory64": "0503010401",
  // two memories
  "multi-memory": "05050200000000",
};

const WASM_HEADER = "0061736d01000000";

/** Names of the WebAssembly proposals that the engine of this process supports, in alphabetical order. */
export function probeWasmFeatures(): string[] {
  return Object.entries(FEATURE_PROBES)
    .filter(([, body]) => WebAssembly.validate(Uint8Array.fromHex(WASM_HEADER + body)))
    .map(([name]) => name)
    .sort();
}
