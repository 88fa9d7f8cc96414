/// <reference lib="dom" />
/**
 * The view of the network: connected peers, and nodes that are found.
 *
 * @module
 */
import type { FoundNodeJson, PeerJson } from "../../../api/mod.ts";
import { getJson, postJson } from "./daemon_api.ts";
import { dataTable, fill, h } from "./dom.ts";
import { errorBox, type ViewContext } from "./view.ts";

/** Fields of the signed document that the table shows. */
interface ShownCapability {
  runtime: { arch: string };
  limits: { memory_mb: number };
  load: { running: number; slots: number };
}

/** Shows peers, and finds nodes. */
export async function networkView({ main, signal }: ViewContext): Promise<void> {
  const { peers } = await getJson<{ peers: PeerJson[] }>("/v1/peers");
  if (signal.aborted) return;
  const found = h("div");
  const button = h("button", { type: "button", onclick: () => void search() }, "Find nodes");
  const search = async (): Promise<void> => {
    button.disabled = true;
    fill(found, h("p", { role: "status" }, "Searching for up to 10 seconds…"));
    try {
      const query = { limit: 50, timeout_seconds: 10 };
      const { nodes } = await postJson<{ nodes: FoundNodeJson[] }>("/v1/discover", query);
      fill(found, nodes.length === 0 ? h("p", {}, "No node was found.") : nodeTable(nodes));
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
    peers.length === 0 ? h("p", {}, "No connection is open.") : dataTable(
      ["peer", "by", "path", "direction", "latency", "address"],
      peers.map((peer) =>
        h(
          "tr",
          {},
          h("td", {}, peer.peer_id),
          h("td", {}, peer.transport),
          h("td", {}, peer.path),
          h("td", {}, peer.direction),
          h("td", {}, latencyText(peer.latency_ms)),
          h("td", {}, peer.address),
        )
      ),
    ),
    h("h2", {}, "Nodes that run jobs"),
    h("p", {}, button),
    found,
  );
}

function nodeTable(nodes: FoundNodeJson[]): HTMLElement {
  nodes.sort((a, b) => b.score - a.score);
  return dataTable(
    ["node", "architecture", "memory", "running", "latency", "by", "score"],
    nodes.map((node) => {
      const { runtime, limits, load } = node.capability as unknown as ShownCapability;
      return h(
        "tr",
        {},
        h("td", {}, node.peer_id),
        h("td", {}, runtime.arch),
        h("td", {}, `${limits.memory_mb} MB`),
        h("td", {}, `${load.running} of ${load.slots}`),
        h("td", {}, latencyText(node.latency_ms)),
        h("td", {}, `${node.transport}, ${node.path}`),
        h("td", {}, node.score.toFixed(2)),
      );
    }),
  );
}

function latencyText(ms: number | null): string {
  return ms === null ? "" : `${Math.round(ms)} ms`;
}
