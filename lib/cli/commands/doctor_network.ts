/**
 * What `plasm doctor` looks at where the daemon is in a network: is it joined, can strangers reach and
 * find it, and does its clock agree with theirs.
 * @module
 */
import type { NodeJson } from "../../api/mod.ts";
import type { DaemonClient } from "../../client/mod.ts";
import type { BootstrapStatus, Reachability } from "../../p2p/mod.ts";

/** What a check found. */
export interface CheckResult {
  /** warn: works, but not as it should. */
  result: "ok" | "warn" | "fail";
  /** What was found, with figures. */
  found: string;
  /** What to do about it. */
  hint?: string | undefined;
}

/** Nodes whose documents are looked at. */
const CLOCK_SAMPLE = 8;

/** How long they are looked for, in seconds. */
const CLOCK_TIMEOUT_SECONDS = 10;

/** How far a document may be dated ahead before a clock is to blame, in milliseconds. */
const CLOCK_TOLERANCE_MS = 5_000;

/** What a check works with. */
export interface NetworkCheckContext {
  client: DaemonClient;
  node: NodeJson;
  signal: AbortSignal;
}

/** A node's part of `GET /v1/node` where its network is on. */
interface NetworkStatus {
  addresses: string[];
  reachability: Reachability;
  bootstrap: BootstrapStatus[];
}

/** Checks of the network, by name. */
export const NETWORK_CHECKS: Record<
  string,
  (context: NetworkCheckContext) => Promise<CheckResult>
> = {
  bootstrap: ({ node }) => Promise.resolve(bootstrapResult(statusOf(node).bootstrap)),
  reachable: ({ node }) => Promise.resolve(reachableResult(statusOf(node).reachability)),
  visible: async ({ node, signal }) => {
    const { addresses, bootstrap } = statusOf(node);
    // Who began a network is asked for itself.
    const known = bootstrap.length > 0 ? bootstrap.map(({ address }) => address) : addresses;
    const { checkVisibility } = await import("../../p2p/mod.ts");
    const seen = await checkVisibility({ peerId: node.peer_id, bootstrap: known, signal });
    return seen.isVisible
      ? {
        result: "ok",
        found:
          `a stranger found this node's capabilities in ${Math.round(seen.latencyMs ?? 0)} ms` +
          ` by ${seen.transport}, ${seen.path}`,
      }
      : {
        result: "warn",
        found: `a stranger does not find this node: ${seen.reason}`,
        hint: "See network.provide, and whether bootstrap and reachable are well",
      };
  },
  "peers' clocks": async ({ client, node, signal }) => {
    let ahead = 0;
    let others = 0;
    const query = { limit: CLOCK_SAMPLE, timeout_seconds: CLOCK_TIMEOUT_SECONDS };
    for await (const { peer_id, capability } of client.discover(query, { signal })) {
      if (peer_id === node.peer_id) continue;
      others++;
      const issued = Date.parse(String((capability as { issued_at?: unknown }).issued_at));
      ahead = Math.max(ahead, issued - Date.now());
    }
    return clockResult(others, ahead);
  },
};

function statusOf(node: NodeJson): NetworkStatus {
  return node.network as unknown as NetworkStatus;
}

/** How bootstrap nodes answer. */
export function bootstrapResult(bootstrap: readonly BootstrapStatus[]): CheckResult {
  const answering = bootstrap.filter(({ connected }) => connected).length;
  const found = `${answering} of ${bootstrap.length} answer`;
  const silent = bootstrap.filter(({ connected }) => !connected)
    .map(({ address, error }) => `${address}${error === null ? "" : ` (${error})`}`);
  if (silent.length === 0) {
    return { result: "ok", found: bootstrap.length === 0 ? "none configured" : found };
  }
  return {
    result: answering === 0 ? "fail" : "warn",
    found: `${found}; silent: ${silent.join(", ")}`,
    hint: "Check network.bootstrap and whether these nodes run",
  };
}

/** Whether and how strangers reach the node. */
export function reachableResult({ status, by, addresses }: Reachability): CheckResult {
  switch (status) {
    case "public":
    case "relayed":
      return { result: "ok", found: `${status}, by ${by}: ${addresses.join(", ")}` };
    case "unknown":
      return { result: "warn", found: "not known yet", hint: "Ask again in a minute" };
    case "private":
      return {
        result: "warn",
        found: "nobody from outside reaches this node",
        hint: "Open the ports of network.listen, or let network.upnp ask the router",
      };
  }
}

/**
 * Whether the clock agrees with other nodes' documents: none may be from the future. A clock that is
 * ahead makes theirs look expired, and then none is found.
 */
export function clockResult(others: number, aheadMs: number): CheckResult {
  if (others === 0) {
    return { result: "warn", found: "no other node was found to compare the clock with" };
  }
  return aheadMs > CLOCK_TOLERANCE_MS
    ? {
      result: "fail",
      found: `this clock is at least ${Math.round(aheadMs / 1000)} s behind that of another node`,
      hint: "Set the clock: receipts carry it",
    }
    : { result: "ok", found: `agrees with the documents of ${others} other nodes` };
}
