/// <reference lib="dom" />
/**
 * The view of the node: identity, load over time, limits, network, usage and configuration.
 *
 * @module
 */
import type { ConfigInEffectJson, NodeJson, VersionJson } from "../../../api/mod.ts";
import { loadCharts } from "./charts.ts";
import { getJson } from "./daemon_api.ts";
import {
  code,
  type Column,
  dataTable,
  details,
  emptyState,
  facts,
  fill,
  h,
  jsonBlock,
  tableRow,
} from "./dom.ts";
import { bytesText, durationText } from "./format.ts";
import { throttle, type ViewContext } from "./view.ts";

/** Least time between two requests for network and usage, in milliseconds. */
const RELOAD_MS = 5000;

/** The part of the node's network status that the view shows; it has more. */
interface ShownNetwork {
  addresses?: string[];
  reachability?: { status?: string; by?: string | null; addresses?: string[] };
  bootstrap?: { address: string; connected: boolean; error: string | null }[];
  routing_table?: number;
  availability?: { accepting?: boolean; reason?: string | null };
}

/** Names of the limits. */
const LIMITS: Record<string, string> = {
  memory_mb: "Memory",
  timeout_seconds: "Wall-clock time",
  cpu_seconds: "CPU time",
  cpu_cores: "CPU cores",
  output_bytes: "Standard output and error",
  output_files_bytes: "Output files",
  fs_bytes: "Files in memory",
  module_bytes: "Module",
  input_bytes: "One input",
};

/** Shows the node. */
export async function nodeView({ main, changes, signal }: ViewContext): Promise<void> {
  const [node, version, config] = await Promise.all([
    getJson<NodeJson>("/v1/node"),
    getJson<VersionJson>("/version"),
    getJson<ConfigInEffectJson>("/v1/config"),
  ]);
  if (signal.aborted) return;
  const charts = loadCharts();
  const [network, usage] = [h("div"), h("div")];
  const show = (shown: NodeJson): void => {
    fill(network, networkFacts(shown.network as ShownNetwork | null));
    fill(usage, usageTable(shown.usage));
  };
  fill(
    main,
    h("h1", {}, "Node"),
    charts.element,
    h("h2", {}, "Identity"),
    facts({
      "Peer id": code(node.peer_id),
      "Public key": code(node.public_key),
      Version: `plasm ${version.version}, Deno ${version.deno}, V8 ${version.v8}, ${version.arch}`,
      Socket: code(node.listening.socket),
      "API on TCP": node.listening.tcp ?? "off (api.tcp.listen)",
      Metrics: node.listening.metrics ?? "on the socket only (api.metrics.listen)",
    }),
    h("h2", {}, "Network"),
    network,
    h("h2", {}, "Limits of a job"),
    facts(Object.fromEntries(
      Object.entries(node.ceilings).map((
        [name, value],
      ) => [LIMITS[name] ?? name, limitText(name, value)]),
    )),
    h("h2", {}, "Usage by submitter"),
    usage,
    h("h2", {}, "Policy and configuration"),
    configuration(config),
  );
  show(node);
  charts.update(node.load, changes.samples);
  const reload = throttle(async () => {
    try {
      const shown = await getJson<NodeJson>("/v1/node");
      if (!signal.aborted) show(shown);
    } catch { /* the header reports the lost connection */ }
  }, { ms: RELOAD_MS, signal });
  let { peers } = node.load;
  changes.listen(({ load, jobs, more }) => {
    charts.update(load, changes.samples);
    const hasEnded = jobs.some(({ finished_at }) => finished_at !== null);
    if (more || hasEnded || load.peers !== peers) reload();
    peers = load.peers;
  }, signal);
}

const USAGE: readonly Column[] = [
  "Submitter",
  ...["Jobs", "CPU time", "Output"].map((figure) => ({ figure })),
];

function usageTable(usage: NodeJson["usage"]): HTMLElement {
  if (usage.length === 0) return emptyState("No job has finished yet.");
  return dataTable(
    "Usage by submitter",
    USAGE,
    usage.map(({ submitter, jobs, cpu_seconds, output_bytes }) =>
      tableRow(USAGE, [submitter, jobs, durationText(cpu_seconds * 1000), bytesText(output_bytes)])
    ),
  );
}

function networkFacts(network: ShownNetwork | null): HTMLElement {
  if (network === null) return emptyState("The network is off: network.enabled is false.");
  const { addresses = [], reachability, bootstrap = [], routing_table } = network;
  const connected = bootstrap.filter((one) => one.connected).length;
  const list = (values: readonly string[]): HTMLElement =>
    h("ul", { class: "plain" }, ...values.map((value) => h("li", {}, code(value))));
  return h(
    "div",
    {},
    facts({
      Reachability: reachability === undefined ? null : reachabilityText(reachability),
      "Jobs of peers": network.availability === undefined
        ? null
        : availabilityText(network.availability),
      Addresses: addresses.length === 0 ? "none" : list(addresses),
      "Bootstrap nodes": bootstrap.length === 0
        ? "none"
        : `${connected} of ${bootstrap.length} connected`,
      "Bootstrap errors": bootstrap.some(({ error }) => error !== null)
        ? list(
          bootstrap.flatMap(({ address, error }) => error === null ? [] : [`${address}: ${error}`]),
        )
        : null,
      "Known nodes": routing_table,
    }),
    details("Status as JSON", jsonBlock(network)),
  );
}

/** Whether other nodes can connect, and why. */
function reachabilityText({ status, by }: NonNullable<ShownNetwork["reachability"]>): string {
  if (status === "public") {
    return by === "upnp"
      ? "public: the router forwards a port (UPnP)"
      : "public: peers have connected to an address of this node";
  }
  if (status === "relayed") return "relayed: no address can be reached directly, a relay forwards";
  if (status === "private") return "private: no peer could connect back, and there is no relay";
  return "unknown: not tested yet, or no peer has answered";
}

function availabilityText(
  { accepting, reason }: NonNullable<ShownNetwork["availability"]>,
): string {
  const why = reason === null || reason === undefined ? "" : `, limited by ${reason}`;
  return accepting === true ? `accepted${why}` : `not accepted${why}`;
}

function limitText(name: string, value: number): string {
  if (name.endsWith("_bytes")) {
    return value % 2 ** 20 === 0 ? `${value / 2 ** 20} MiB` : bytesText(value);
  }
  if (name.endsWith("_mb")) return `${value} MiB`;
  return name.endsWith("_seconds") ? durationText(value * 1000) : String(value);
}

function configuration({ file, config, sources }: ConfigInEffectJson): HTMLElement {
  const columns = ["Key", "Value", "Source"];
  const rows = Object.entries(config).map(([key, value]) =>
    tableRow(columns, [code(key), code(JSON.stringify(value)), sources[key] ?? "default"])
  );
  return h(
    "div",
    {},
    facts({
      File: file === null ? "none: defaults, environment and flags" : code(file),
      "Changed keys": Object.keys(sources).length === 0 ? "none" : h(
        "ul",
        { class: "plain" },
        ...Object.keys(sources).map((key) =>
          h("li", {}, code(`${key} = ${JSON.stringify(config[key])}`), ` (${sources[key]})`)
        ),
      ),
    }),
    details("All keys", dataTable("Configuration", columns, rows)),
  );
}
