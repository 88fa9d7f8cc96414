/// <reference lib="dom" />
/**
 * The view of the node: identity, load, limits, network and figures over time.
 *
 * @module
 */
import type { NodeJson, VersionJson } from "../../../api/mod.ts";
import { type Changes, getJson } from "./daemon_api.ts";
import { bytesText, dataTable, facts, fill, h, jsonBlock } from "./dom.ts";
import type { ViewContext } from "./view.ts";

/** The part of the node's network status that the view shows; it has more. */
interface ShownNetwork {
  addresses?: string[];
  reachability?: string | { status?: string; reason?: string };
}

/** Shows the node. */
export async function nodeView({ main, changes, signal }: ViewContext): Promise<void> {
  const [node, version] = await Promise.all([
    getJson<NodeJson>("/v1/node"),
    getJson<VersionJson>("/version"),
  ]);
  if (signal.aborted) return;
  const load = h("div");
  const charts = h("div", { class: "charts" });
  const network = node.network as ShownNetwork | null;
  const { ceilings } = node;
  fill(
    main,
    h("h1", {}, "Node"),
    facts({
      "Peer id": node.peer_id,
      "Public key": node.public_key,
      Version: `plasm ${version.version}, Deno ${version.deno}, V8 ${version.v8}, ${version.arch}`,
      "Listens on": [node.listening.socket, node.listening.tcp, node.listening.metrics]
        .filter((address) => address !== null).join(", "),
    }),
    h("h2", {}, "Load"),
    load,
    charts,
    h("h2", {}, "Limits of a job"),
    dataTable(
      ["limit", "value"],
      Object.entries(ceilings).map(([name, value]) =>
        h(
          "tr",
          {},
          h("td", {}, name),
          h("td", {}, name.endsWith("_bytes") ? bytesText(Number(value)) : String(value)),
        )
      ),
    ),
    h("h2", {}, "Network"),
    network === null ? h("p", {}, "The network is off: network.enabled is false.") : h(
      "div",
      {},
      facts({ Addresses: network.addresses?.join(", ") || "none" }),
      h("details", {}, h("summary", {}, "Status"), jsonBlock(network)),
    ),
    h("h2", {}, "Usage by submitter"),
    dataTable(
      ["submitter", "jobs", "CPU seconds", "output"],
      node.usage.map(({ submitter, jobs, cpu_seconds, output_bytes }) =>
        h(
          "tr",
          {},
          h("td", {}, submitter),
          h("td", {}, jobs),
          h("td", {}, cpu_seconds.toFixed(1)),
          h("td", {}, bytesText(output_bytes)),
        )
      ),
    ),
  );
  const update = (shown: NodeJson["load"]): void => {
    fill(
      load,
      facts({
        Running: `${shown.running} of ${shown.concurrency}`,
        Queued: `${shown.queued} of ${shown.queue_max}`,
        Memory: `${shown.memory_mb} of ${shown.memory_budget_mb} MiB`,
      }),
    );
    fill(
      charts,
      chart("Jobs ended", changes, ({ ended }) => ended),
      chart("Jobs running", changes, ({ load }) => load.running),
      chart("Jobs queued", changes, ({ load }) => load.queued),
      chart("Memory, MiB", changes, ({ load }) => load.memory_mb),
    );
  };
  update(node.load);
  changes.listen(({ load }) => update(load), signal);
}

/** Intervals of a chart. */
const POINTS = 60;

/** Length of an interval, in milliseconds. */
const INTERVAL_MS = 5000;

/** A figure over the last five minutes, as a line. */
function chart(
  title: string,
  { samples }: Changes,
  value: (sample: Changes["samples"][number]) => number,
): HTMLElement {
  const values = new Array<number>(POINTS).fill(0);
  const now = Date.now();
  for (const sample of samples) {
    const point = POINTS - 1 - Math.floor((now - sample.at) / INTERVAL_MS);
    if (point < 0 || point >= POINTS) continue;
    // Counts add up, levels are shown at their highest.
    if (title === "Jobs ended") values[point]! += value(sample);
    else values[point] = Math.max(values[point]!, value(sample));
  }
  const highest = Math.max(1, ...values);
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", `0 0 ${POINTS - 1} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${title}: now ${values.at(-1)}, highest ${highest}`);
  const line = document.createElementNS(namespace, "polyline");
  const points = values.map((one, at) => `${at},${98 - 96 * one / highest}`);
  line.setAttribute("points", points.join(" "));
  svg.append(line);
  const caption = `${title}: now ${values.at(-1)}, highest ${Math.max(...values)} in 5 minutes`;
  return h("figure", {}, svg, h("figcaption", {}, caption));
}
