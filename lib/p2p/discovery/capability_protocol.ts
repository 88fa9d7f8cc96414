/**
 * `/plasm/capability/1.0.0`: one asks, the other answers with its signed document.
 * @module
 */
import type { Connection, Stream } from "@libp2p/interface";
import { frameStream } from "../../core/cbor/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { type Capability, verifyCapability } from "./capability.ts";

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
