/**
 * Resolves `/dnsaddr` multiaddrs to the addresses that DNS TXT records list, within limits.
 *
 * https://github.com/multiformats/multiaddr/blob/master/protocols/DNSADDR.md
 *
 * @module
 */
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { PlasmError } from "../../core/errors/mod.ts";
import { deadline } from "../../util/async/mod.ts";

/** Queries the TXT records of a name; each record is a list of strings. */
export type ResolveTxt = (name: string, options: { signal: AbortSignal }) => Promise<string[][]>;

/** Addresses returned at most. */
export const MAX_ADDRESSES = 32;

/** Names queried at most: a record may name another `/dnsaddr`. */
const MAX_QUERIES = 8;

/** TXT records of one name that are read. */
const MAX_RECORDS = 100;

/** Longest record that is read, in UTF-16 code units. */
const MAX_RECORD_LENGTH = 512;

/** Time limit of one query, in milliseconds. */
const QUERY_TIMEOUT_MS = 5_000;

/** Options of {@linkcode resolveDnsaddr}. */
export interface ResolveDnsaddrOptions {
  /** Aborts the queries. */
  signal: AbortSignal;
  /** Queries TXT records. @default {the resolver of the system} */
  resolveTxt?: ResolveTxt | undefined;
}

/** Reports whether a multiaddr must be resolved before it can be dialed. */
export function isDnsaddr(address: Multiaddr): boolean {
  return address.getComponents()[0]?.name === "dnsaddr";
}

/**
 * Resolves a `/dnsaddr` multiaddr. Records without a peer id are ignored, so that every address is pinned to a key; if
 * the multiaddr ends with a peer id, so are those of other peers.
 *
 * @throws {PlasmError} `no-peer` if no record is usable.
 * @throws The signal's reason if it aborts.
 */
export async function resolveDnsaddr(
  address: Multiaddr,
  { signal, resolveTxt = systemResolveTxt }: ResolveDnsaddrOptions,
): Promise<Multiaddr[]> {
  const found = new Map<string, Multiaddr>();
  const queried = new Set<string>();
  const pending = [address];
  let failure: unknown;
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    const name = nameOf(next);
    const key = next.toString();
    if (queried.has(key) || queried.size === MAX_QUERIES) continue;
    queried.add(key);
    const records = await query(name, { signal, resolveTxt }).catch((error) => {
      signal.throwIfAborted();
      failure = error;
      return [];
    });
    for (const listed of records.slice(0, MAX_RECORDS).flatMap(addressIn)) {
      const expected = peerOf(next) ?? peerOf(listed);
      if (expected === undefined || peerOf(listed) !== expected) continue;
      if (isDnsaddr(listed)) pending.push(listed);
      else if (found.size < MAX_ADDRESSES) found.set(listed.toString(), listed);
    }
  }
  if (found.size > 0) return [...found.values()];
  const reason = failure instanceof Error && failure.name !== "NotFound"
    ? `: ${failure.message}`
    : "";
  throw new PlasmError("no-peer", `no usable TXT record at ${nameOf(address)}${reason}`, {
    hint: "A record is dnsaddr=/dns4/node.example/tcp/4001/p2p/12D3KooW...",
    cause: failure,
  });
}

function nameOf(address: Multiaddr): string {
  return `_dnsaddr.${address.getComponents()[0]?.value ?? ""}`;
}

/** Peer id at the end of a multiaddr; undefined if there is none. */
function peerOf(address: Multiaddr): string | undefined {
  const last = address.getComponents().at(-1);
  return last?.name === "p2p" ? last.value : undefined;
}

async function query(
  name: string,
  { signal, resolveTxt }: { signal: AbortSignal; resolveTxt: ResolveTxt },
): Promise<string[][]> {
  const ended = new AbortController();
  const both = AbortSignal.any([signal, ended.signal]);
  try {
    return await deadline(resolveTxt(name, { signal: both }), {
      ms: QUERY_TIMEOUT_MS,
      error: () => new Error("the name server does not answer"),
    });
  } finally {
    ended.abort();
  }
}

/** Multiaddr in a TXT record; none if the record is something else. */
function addressIn(record: string[]): Multiaddr[] {
  const text = record.join("");
  if (!text.startsWith("dnsaddr=") || text.length > MAX_RECORD_LENGTH) return [];
  try {
    return [multiaddr(text.slice("dnsaddr=".length))];
  } catch {
    return [];
  }
}

async function systemResolveTxt(
  name: string,
  { signal }: { signal: AbortSignal },
): Promise<string[][]> {
  return await Deno.resolveDns(name, "TXT", { signal });
}
