/// <reference lib="dom" />
/**
 * The view of the network: connected peers, nodes that are found, past results and evidence.
 *
 * @module
 */
import type {
  EvidenceEntryJson,
  FoundNodeJson,
  NodeRecordJson,
  PeerJson,
} from "../../../api/mod.ts";
import { getJson, postJson } from "./daemon_api.ts";
import { code, type Column, dataTable, emptyState, fill, h, tableRow } from "./dom.ts";
import { evidenceTable } from "./evidence_view.ts";
import { latencyText, timeText } from "./format.ts";
import { errorBox, throttle, type ViewContext } from "./view.ts";

/** Least time between two requests for the peers, in milliseconds. */
const RELOAD_MS = 1000;

/** Longest search, in seconds. */
const SEARCH_SECONDS = 10;

/** Fields of the signed document that the table shows. */
interface ShownCapability {
  runtime: { arch: string };
  limits: { memory_mb: number };
  load: { running: number; slots: number };
}

/** What the view knows of other nodes. */
interface Known {
  peers: PeerJson[];
  nodes: NodeRecordJson[];
  evidence: EvidenceEntryJson[];
}

async function readKnown(): Promise<Known> {
  const [{ peers }, { nodes }, { evidence }] = await Promise.all([
    getJson<Pick<Known, "peers">>("/v1/peers"),
    getJson<Pick<Known, "nodes">>("/v1/nodes"),
    getJson<Pick<Known, "evidence">>("/v1/evidence"),
  ]);
  return { peers, nodes, evidence };
}

/** Shows peers, and finds nodes. */
export async function networkView({ main, changes, signal }: ViewContext): Promise<void> {
  let known = await readKnown();
  if (signal.aborted) return;
  const [found, peers, nodes, evidence] = [h("div"), h("div"), h("div"), h("div")];
  const button = h("button", { type: "button", onclick: () => void search() }, "Find nodes");
  const show = (): void => {
    fill(peers, peerTable(known));
    fill(nodes, recordTable(known.nodes));
    fill(evidence, evidenceTable(known.evidence));
  };
  const search = async (): Promise<void> => {
    button.disabled = true;
    fill(found, h("p", { role: "status" }, `Searching for up to ${SEARCH_SECONDS} seconds…`));
    try {
      const query = { limit: 50, timeout_seconds: SEARCH_SECONDS };
      const { nodes } = await postJson<{ nodes: FoundNodeJson[] }>("/v1/discover", query);
      fill(found, foundTable(nodes, known.nodes));
    } catch (error) {
      fill(found, errorBox(error));
    } finally {
      button.disabled = false;
    }
  };
  fill(
    main,
    h("h1", {}, "Network"),
    h("h2", {}, "Peers"),
    peers,
    h("h2", {}, "Nodes that run jobs"),
    h("p", { class: "actions" }, button),
    found,
    h("h2", {}, "Past results of nodes"),
    nodes,
    h("h2", {}, "Evidence"),
    evidence,
  );
  show();
  const reload = throttle(async () => {
    try {
      known = await readKnown();
      if (!signal.aborted) show();
    } catch { /* the header reports the lost connection */ }
  }, { ms: RELOAD_MS, signal });
  // A finished job on another node changes its record, and an audit follows later.
  changes.listen(({ load, jobs, more }) => {
    const isRemoteEnd = jobs.some(({ peer, finished_at }) => peer !== null && finished_at !== null);
    if (more || isRemoteEnd || load.peers !== known.peers.length) reload();
  }, signal);
}

const PEERS: readonly Column[] = [
  ...["Peer", "Path", "Direction"],
  { figure: "Latency" },
  ...["Since", "Past results", "Address"],
];

function peerTable({ peers, nodes }: Known): HTMLElement {
  if (peers.length === 0) return emptyState("No connection to a peer is open.");
  return dataTable(
    "Peers",
    PEERS,
    peers.map((peer) =>
      tableRow(PEERS, [
        code(peer.peer_id),
        `${peer.path}, ${peer.transport}`,
        peer.direction,
        latencyText(peer.latency_ms),
        timeText(peer.opened_at),
        pastResults(peer.peer_id, nodes),
        code(peer.address),
      ])
    ),
  );
}

const FOUND: readonly Column[] = [
  ...["Node", "Architecture"],
  ...["Memory", "Running", "Latency"].map((figure) => ({ figure })),
  "Path",
  { figure: "Score" },
  "Past results",
];

function foundTable(found: FoundNodeJson[], records: readonly NodeRecordJson[]): HTMLElement {
  if (found.length === 0) return emptyState("No node was found.");
  found.sort((a, b) => b.score - a.score);
  return dataTable(
    "Nodes that run jobs",
    FOUND,
    found.map((node) => {
      const { runtime, limits, load } = node.capability as unknown as ShownCapability;
      return tableRow(FOUND, [
        code(node.peer_id),
        runtime.arch,
        `${limits.memory_mb} MiB`,
        `${load.running} of ${load.slots}`,
        latencyText(node.latency_ms),
        `${node.path}, ${node.transport}`,
        node.score.toFixed(2),
        pastResults(node.peer_id, records),
      ]);
    }),
  );
}

const RECORDS: readonly Column[] = [
  "Node",
  ...["Verified", "Failed", "Refused", "Reproduced", "False"].map((figure) => ({ figure })),
  "Standing",
];

function recordTable(records: readonly NodeRecordJson[]): HTMLElement {
  if (records.length === 0) return emptyState("No job has run on another node yet.");
  return h(
    "div",
    {},
    dataTable(
      "Past results of nodes",
      RECORDS,
      records.map((record) =>
        tableRow(RECORDS, [
          code(record.peer_id),
          record.succeeded,
          record.failed,
          record.refused,
          record.reproduced,
          record.false,
          standing(record),
        ])
      ),
    ),
    h(
      "small",
      {},
      "Verified, failed and refused count jobs; reproduced and false count audits, in which this node runs a job again.",
    ),
  );
}

function standing({ banned_until, avoided_until }: NodeRecordJson): HTMLElement {
  if (banned_until !== null) {
    return h("span", { class: "bad" }, `banned until ${timeText(banned_until)}`);
  }
  return avoided_until === null
    ? h("span", { class: "good" }, "ok")
    : h("span", {}, `tried last until ${timeText(avoided_until)}`);
}

function pastResults(peerId: string, records: readonly NodeRecordJson[]): HTMLElement | string {
  const record = records.find(({ peer_id }) => peer_id === peerId);
  if (record === undefined) return "none";
  if (record.banned_until !== null) return standing(record);
  const { succeeded, failed, false: wrong } = record;
  return `${succeeded} verified, ${failed} failed${wrong === 0 ? "" : `, ${wrong} false`}`;
}
