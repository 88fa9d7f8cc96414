/**
 * Makes the DHT return all live provider records of a key, and lets a node withdraw its own.
 *
 * @module
 */
import type { KadDHT } from "@libp2p/kad-dht";
import type { PeerId } from "@libp2p/interface";
import { CID } from "multiformats/cid";
import type { Multiaddr } from "@multiformats/multiaddr";

/** How long a node returns a record after it was last stored, in milliseconds: the validity of a capability document. */
export const RECORD_VALIDITY_MS: number = 30 * 60 * 1000;

/** Interval at which a node deletes expired records, in milliseconds. */
export const RECORD_CLEANUP_MS: number = 10 * 60 * 1000;

/** Records of one key that a node returns, the newest first, and that a search collects. */
export const MAX_RECORDS = 1024;

const ADD_PROVIDER = "ADD_PROVIDER";
const GET_PROVIDERS = "GET_PROVIDERS";

/** Message of the DHT, as far as the patch reads it. */
interface DhtMessage {
  type: string;
  key?: Uint8Array;
  providers?: { id: Uint8Array; multiaddrs: Uint8Array[] }[];
}

interface Peer {
  id: PeerId;
  addresses: { multiaddr: Multiaddr }[];
}

interface ProviderStore {
  loadProviders(key: CID): Promise<Map<PeerId, Date>>;
  removeProvider(key: CID, provider: PeerId): Promise<void>;
}

interface Handler {
  handle(from: PeerId, message: DhtMessage): Promise<unknown>;
  providers: { getProviders(key: CID): Promise<PeerId[]> };
  peerStore: { get(peerId: PeerId): Promise<Peer> };
}

/** Parts of kad-dht that its interface hides. */
export interface DhtParts {
  contentRouting: { routingTable: { kBucketSize: number } };
  network: {
    sendMessage(
      to: PeerId,
      message: DhtMessage,
      options: { signal: AbortSignal },
    ): AsyncIterable<unknown>;
    sendRequest(
      to: PeerId,
      message: DhtMessage,
      options: { signal: AbortSignal },
    ): AsyncIterable<unknown>;
  };
  providers: ProviderStore;
  rpc: { handlers: Record<string, Handler> };
}

/** Applies the patch to a DHT that has not been started. */
export function patchProviderRecords<T extends KadDHT>(dht: T): T {
  const { contentRouting, providers, rpc } = dht as unknown as DhtParts;
  // A search ends after this many providers; the property has no other use there.
  contentRouting.routingTable = { kBucketSize: MAX_RECORDS };
  const get = rpc.handlers[GET_PROVIDERS]!;
  const { peerStore } = get;
  get.providers = { getProviders: async (key) => await newestProviders(providers, key) };
  get.peerStore = { get: async (peerId) => await knownPeer(peerStore, peerId) };
  const add = rpc.handlers[ADD_PROVIDER]!;
  const handle = add.handle.bind(add);
  add.handle = async (from, message) => {
    if (!isWithdrawal(from, message)) return await handle(from, message);
    await providers.removeProvider(CID.decode(message.key!), from);
    return undefined;
  };
  return dht;
}

/** Providers whose records have not expired, the newest first. */
async function newestProviders(providers: ProviderStore, key: CID): Promise<PeerId[]> {
  const oldest = Date.now() - RECORD_VALIDITY_MS;
  const found = [...(await providers.loadProviders(key)).entries()]
    .map(([peerId, date]) => ({ peerId, time: date.getTime() }))
    .filter(({ time }) => time > oldest);
  return found.sort((a, b) => b.time - a.time).slice(0, MAX_RECORDS).map(({ peerId }) => peerId);
}

/** A peer without addresses, which the response omits, if it has been evicted: libp2p's handler fails for all. */
async function knownPeer(peerStore: Handler["peerStore"], peerId: PeerId): Promise<Peer> {
  try {
    return await peerStore.get(peerId);
  } catch {
    return { id: peerId, addresses: [] };
  }
}

/** A peer withdraws its record by storing it without addresses, which other implementations ignore. */
function isWithdrawal(from: PeerId, { key, providers }: DhtMessage): boolean {
  const [record, ...others] = providers ?? [];
  return key !== undefined && record !== undefined && others.length === 0 &&
    record.multiaddrs.length === 0 && from.equals(record.id);
}

/** Options of {@linkcode withdrawRecord}. */
export interface WithdrawRecordOptions {
  /** Peer that stores the record. */
  holder: PeerId;
  /** Peer id of this node. */
  self: PeerId;
  /** Aborts the message. */
  signal: AbortSignal;
}

/** Asks a peer to delete the record of this node. Never throws: the record expires. */
export async function withdrawRecord(
  dht: KadDHT,
  key: CID,
  { holder, self, signal }: WithdrawRecordOptions,
): Promise<void> {
  const { network } = dht as unknown as DhtParts;
  const message = {
    type: ADD_PROVIDER,
    key: key.multihash.bytes,
    providers: [{ id: self.toMultihash().bytes, multiaddrs: [] }],
  };
  try {
    for await (const _event of network.sendMessage(holder, message, { signal }));
    // The message has no answer: without that of a request behind it, this node may close the connection before the
    // holder has read it.
    const request = { type: GET_PROVIDERS, key: message.key };
    for await (const _event of network.sendRequest(holder, request, { signal }));
  } catch {
    // It cannot be reached.
  }
}
