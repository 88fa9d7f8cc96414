/**
 * Leaves out nodes that an audit has banned.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import type { AuditLedger } from "../../quorum/mod.ts";
import type { RemoteCandidate } from "../../remote/client/mod.ts";

/** Options of {@linkcode withoutBanned}. */
export interface WithoutBannedOptions {
  ledger: AuditLedger;
  /** Whether the job names the node. */
  isNamed: boolean;
}

/**
 * Leaves out nodes that are banned.
 *
 * @throws {PlasmError} `policy` if the node that the job names is banned
 */
export async function* withoutBanned<T extends RemoteCandidate>(
  candidates: AsyncIterable<T>,
  { ledger, isNamed }: WithoutBannedOptions,
): AsyncGenerator<T> {
  for await (const candidate of candidates) {
    const { peerId } = candidate;
    if (!ledger.isBanned(peerId)) yield candidate;
    else if (isNamed) {
      const until = new Date(ledger.get(peerId).bannedUntil).toISOString();
      throw new PlasmError("policy", `Cannot run job on ${peerId}: banned until ${until}`, {
        hint:
          "An audit found a false result of it; plasm status has the evidence. Use another node",
      });
    }
  }
}
