/**
 * Combines what this node knows of other nodes' past results: outcomes of jobs, and audits.
 *
 * @module
 */
import type { NodeRecordJson } from "../../api/mod.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import type { AuditLedger } from "../../quorum/mod.ts";

/** Sources of the records. */
export interface NodeRecordSources {
  network: Pick<PlasmNetwork, "records">;
  ledger: Pick<AuditLedger, "all">;
  /** Current time in Unix milliseconds. @default {Date.now()} */
  now?: number;
}

/** Lists nodes with a result of a job or an audit: banned nodes first, then those with the most results. */
export function nodeRecords(
  { network, ledger, now = Date.now() }: NodeRecordSources,
): NodeRecordJson[] {
  const records = new Map<string, NodeRecordJson>();
  const of = (peer_id: string): NodeRecordJson => {
    let record = records.get(peer_id);
    if (record === undefined) {
      const jobs = { succeeded: 0, failed: 0, refused: 0, avoided_until: null, latency_ms: null };
      record = { peer_id, ...jobs, reproduced: 0, false: 0, banned_until: null };
      records.set(peer_id, record);
    }
    return record;
  };
  const until = (time: number): string | null => time > now ? new Date(time).toISOString() : null;
  for (const { peerId, record } of network.records()) {
    const { succeeded, failed, refused, avoidUntil, latencyMs } = record;
    // A node that was only asked for its capabilities has no result.
    if (succeeded + failed + refused === 0) continue;
    const avoided_until = until(avoidUntil);
    Object.assign(of(peerId), {
      succeeded,
      failed,
      refused,
      avoided_until,
      latency_ms: latencyMs,
    });
  }
  for (const { peerId, record } of ledger.all()) {
    const { good, false: wrong, bannedUntil } = record;
    const banned_until = until(bannedUntil);
    Object.assign(of(peerId), { reproduced: good, false: wrong, banned_until });
  }
  const isBanned = ({ banned_until }: NodeRecordJson): number => Number(banned_until !== null);
  const results = (record: NodeRecordJson): number =>
    record.succeeded + record.failed + record.refused + record.reproduced + record.false;
  return [...records.values()].sort((a, b) =>
    isBanned(b) - isBanned(a) || results(b) - results(a) || (a.peer_id < b.peer_id ? -1 : 1)
  );
}
