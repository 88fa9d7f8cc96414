/**
 * The command `plasm doctor`: checks the installation, the daemon and its network, and suggests fixes.
 *
 * @module
 */
import type { ConfigInEffectJson, JobJson, NodeJson } from "../../api/mod.ts";
import { connectDaemon, type DaemonClient } from "../../client/mod.ts";
import {
  type Config,
  CONFIG_KEYS,
  type ConfigEntries,
  configEntries,
  configOf,
  defaultConfig,
  loadConfig,
} from "../../config/mod.ts";
import { loadIdentity, stateDir, VERSION } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { BootstrapStatus, Reachability } from "../../p2p/mod.ts";
import { ExecutorPool } from "../../sandbox/host/mod.ts";
import { runJob } from "../../sandbox/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { Command, ParsedArgs } from "../command.ts";
import { CONFIG_OPTION, SOCKET_OPTION, table } from "../daemon_client.ts";
import type { CliIo } from "../io.ts";

/** Earliest plausible time: a clock before it was never set. */
const EARLIEST_CLOCK = Date.UTC(2025, 0, 1);

/** Time to start an executor and run a job in it above which the check warns, in milliseconds. */
const SLOW_START_MS = 2000;

/** Number of other nodes whose documents are compared with the clock. */
const CLOCK_SAMPLE = 8;

/** Time limit of the search for these nodes, in seconds. */
const CLOCK_TIMEOUT_SECONDS = 10;

/** How far in the future a document's date may be, in milliseconds. */
const CLOCK_TOLERANCE_MS = 5_000;

/** The smallest module that runs: `(module (memory (export "memory") 1) (func (export "_start")))`. */
export const SMALLEST_MODULE: Uint8Array = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x05, 0x03, 0x01, 0x00, 0x01],
  ...[0x07, 0x13, 0x02, 0x06, 0x5f, 0x73, 0x74, 0x61, 0x72, 0x74, 0x00, 0x00],
  ...[0x06, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x02, 0x00],
  ...[0x0a, 0x04, 0x01, 0x02, 0x00, 0x0b],
]);

/** Result of a check. */
interface CheckResult {
  /** `warn`: works with restrictions. */
  result: "ok" | "warn" | "fail";
  /** What the check found, with figures. */
  found: string;
  /** How to fix it. */
  hint?: string | undefined;
}

interface Finding extends CheckResult {
  /** Name of the check. */
  check: string;
}

/** Hint of a wrong clock. */
const CLOCK_HINT = "Set the clock: receipts contain the time";

/** The running daemon and what it reports about itself. */
interface RunningDaemon {
  client: DaemonClient;
  node: NodeJson;
  settings: ConfigInEffectJson;
}

/** Context of every check. */
interface CheckContext {
  io: CliIo;
  /** The running daemon's configuration, else the file's, else the defaults. */
  config: Config;
  /** The file's configuration; `undefined` if it cannot be used. */
  filed: Config | undefined;
  /** `undefined` if no daemon responds. */
  daemon: RunningDaemon | undefined;
  /** Why no daemon responds. */
  absence: PlasmError | undefined;
}

type Check = (context: CheckContext) => Promise<CheckResult>;

/** Time limit of each request to the daemon, in milliseconds: the client finds earlier that it is frozen. */
const DAEMON_TIMEOUT_MS = 15_000;

/** State directory of the package's service. */
const SERVICE_STATE_DIR = "/var/lib/plasm";

/** Number of latest jobs that are searched for stopped ones. */
const RECENT_JOBS = 100;

const SERVICE_HINT = "Run systemctl status plasm and journalctl -u plasm -n 20";

async function checkState(io: CliIo, config: Config): Promise<CheckResult> {
  const dir = config.state_dir ?? stateDir((name) => io.env(name));
  try {
    await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
    const probe = `${dir}/.doctor-${crypto.randomUUID()}`;
    await Deno.writeTextFile(probe, "x", { createNew: true, mode: 0o600 });
    await Deno.remove(probe);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return {
      result: "fail",
      found: `${dir}: ${reason.replace(/ \(os error \d+\).*$/s, "")}`,
      hint: "Make it writable, or set PLASM_STATE_DIR to another directory",
    };
  }
  const identity = await loadIdentity(dir);
  return { result: "ok", found: `${dir}, ${identity?.peerId ?? "no identity yet"}` };
}

const CHECKS: Record<string, Check> = {
  runtime: () =>
    Promise.resolve({
      result: "ok",
      found: `plasm ${VERSION}, deno ${Deno.version.deno}, v8 ${Deno.version.v8}, ` +
        `${Deno.build.os} ${Deno.build.arch}, ${navigator.hardwareConcurrency} cores`,
    }),
  clock: () => {
    const now = Date.now();
    return Promise.resolve(
      now >= EARLIEST_CLOCK ? { result: "ok", found: new Date(now).toISOString() } : {
        result: "fail",
        found: new Date(now).toISOString(),
        hint: CLOCK_HINT,
      },
    );
  },
  // The daemon's is readable only by its user.
  state: ({ io, config, daemon }) =>
    daemon === undefined
      ? checkState(io, config)
      : Promise.resolve({ result: "ok", found: `${daemon.settings.state_dir}, of the daemon` }),
  socket: async ({ daemon, absence }) => {
    if (daemon === undefined) {
      const { message, hint } = absence!;
      const isInstalled = await Deno.stat(SERVICE_STATE_DIR).then(() => true, () => false);
      const isMissing = absence!.details["sockets"] !== undefined;
      return {
        result: "warn",
        found: message,
        hint: isInstalled && isMissing ? SERVICE_HINT : hint,
      };
    }
    const { client, node } = daemon;
    const { ready, checks } = await client.ready({
      signal: AbortSignal.timeout(DAEMON_TIMEOUT_MS),
    });
    const { version } = node.runtime;
    return ready ? { result: "ok", found: `daemon ${version} runs and accepts jobs` } : {
      result: "warn",
      found: `daemon ${version} is not ready: ${JSON.stringify(checks)}`,
      hint: SERVICE_HINT,
    };
  },
  settings: ({ daemon, filed }) => Promise.resolve(settingsResult(daemon?.settings, filed)),
  executor: async () => {
    await using pool = new ExecutorPool({ warm: 0 });
    const begin = performance.now();
    const executor = await pool.acquire();
    const { outcome } = await runJob(SMALLEST_MODULE, { executor });
    const ms = Math.round(performance.now() - begin);
    if (outcome.status !== "exited") {
      return { result: "fail", found: `${outcome.status}: ${outcome.message ?? ""}` };
    }
    const found = `started and ran a job in ${ms} ms`;
    return ms > SLOW_START_MS
      ? { result: "warn", found, hint: "The machine is slow or busy" }
      : { result: "ok", found };
  },
  memory: ({ config }) => {
    const total = Math.floor(Deno.systemMemoryInfo().available / 2 ** 20);
    const { memory_budget_mb } = config.jobs;
    const found = `${total} MB available, jobs.memory_budget_mb is ${memory_budget_mb} MB`;
    return Promise.resolve(
      total < memory_budget_mb
        ? { result: "warn", found, hint: "Lower jobs.memory_budget_mb" }
        : { result: "ok", found },
    );
  },
  queue: ({ daemon }) => Promise.resolve(queueResult(daemon?.node.load)),
  jobs: async ({ daemon }) => {
    const signal = AbortSignal.timeout(DAEMON_TIMEOUT_MS);
    return jobsResult((await daemon?.client.jobs({ limit: RECENT_JOBS, signal }))?.jobs);
  },
};

/** Result of a check of the daemon when none responds: the check `socket` has the reason. */
const UNKNOWN: CheckResult = { result: "ok", found: "no daemon to ask" };

/** Compares the settings that the daemon uses with the file that it would read at its next start. */
export function settingsResult(
  settings: ConfigInEffectJson | undefined,
  filed: Config | undefined,
): CheckResult {
  if (settings === undefined) return UNKNOWN;
  const { file, config, sources } = settings;
  const changed = CONFIG_KEYS.filter(({ name }) => sources[name] !== undefined).length;
  const found = `the daemon uses ${file ?? "no file"}, keys that are not defaults: ${changed}`;
  if (filed === undefined || file === null) return { result: "ok", found };
  const entries = configEntries(filed);
  const differing = CONFIG_KEYS.map(({ name }) => name).filter((name) => {
    const isOverridden = sources[name] !== undefined && sources[name] !== file;
    return !isOverridden && JSON.stringify(entries[name]) !== JSON.stringify(config[name]);
  });
  if (differing.length === 0) return { result: "ok", found };
  return {
    result: "warn",
    found: `${file} was changed, the daemon does not use it yet: ${differing.join(", ")}`,
    hint: "Run plasm reload, which names the keys that need a restart",
  };
}

/** Evaluates whether queued jobs can start. */
export function queueResult(load: NodeJson["load"] | undefined): CheckResult {
  if (load === undefined) return UNKNOWN;
  const { queued, running, concurrency, queue_max, memory_mb, memory_budget_mb } = load;
  const found = `${queued} of ${queue_max} queued, ${running} of ${concurrency} running, ` +
    `${memory_mb} of ${memory_budget_mb} MB in use`;
  if (queued === 0) return { result: "ok", found };
  const hint = running >= concurrency
    ? "Every slot is in use: wait, cancel jobs, or raise jobs.concurrency"
    : "The next job needs more memory than is free: wait, or raise jobs.memory_budget_mb";
  return { result: "warn", found, hint };
}

/** Names the latest jobs that did not exit on their own. */
export function jobsResult(jobs: readonly JobJson[] | undefined): CheckResult {
  if (jobs === undefined) return UNKNOWN;
  const stopped = jobs.filter(({ state, status }) =>
    state === "failed" || state === "interrupted" || (state === "finished" && status !== "exited")
  );
  const found = `${stopped.length} of the latest ${jobs.length} jobs did not exit on their own`;
  const [last] = stopped;
  if (last === undefined) return { result: "ok", found };
  return {
    result: "warn",
    found: `${found}; last ${last.id}: ${last.error?.message ?? last.message ?? last.status}`,
    hint: `Run plasm status ${last.id}`,
  };
}

/** Context of a check of the network. */
interface NetworkCheckContext {
  client: DaemonClient;
  node: NodeJson;
  /** Settings that the daemon uses. */
  config: Config;
  signal: AbortSignal;
}

/** `network` of `GET /v1/node` while the network is enabled. */
interface NetworkStatus {
  addresses: string[];
  reachability: Reachability;
  bootstrap: BootstrapStatus[];
}

/** Checks of the network, by name. */
const NETWORK_CHECKS: Record<
  string,
  (context: NetworkCheckContext) => Promise<CheckResult>
> = {
  peers: async ({ client, signal }) => {
    const { peers } = await client.peers({ signal });
    return peers.length > 0 ? { result: "ok", found: `${peers.length} connected` } : {
      result: "warn",
      found: "none connected",
      hint: "Check network.bootstrap; plasm peers lists connections",
    };
  },
  bootstrap: ({ node }) => Promise.resolve(bootstrapResult(statusOf(node).bootstrap)),
  reachable: ({ node }) => Promise.resolve(reachableResult(statusOf(node).reachability)),
  visible: async ({ node, config, signal }) => {
    if (!config.network.provide) {
      return { result: "ok", found: "not announced to other nodes: network.provide is false" };
    }
    const { addresses, bootstrap } = statusOf(node);
    // The first node of a network has no bootstrap node, and is queried itself.
    const known = bootstrap.length > 0 ? bootstrap.map(({ address }) => address) : addresses;
    const { probeReachability } = await import("../../p2p/mod.ts");
    const seen = await probeReachability({
      peerId: node.peer_id,
      bootstrap: known,
      privateAddresses: config.network.private_addresses,
      signal,
    });
    return seen.isReachable
      ? {
        result: "ok",
        found:
          `another node found this node's capabilities in ${Math.round(seen.latencyMs ?? 0)} ms` +
          ` by ${seen.transport}, ${seen.path}`,
      }
      : {
        result: "warn",
        found: `other nodes do not find this node: ${seen.reason}`,
        hint: "See the checks bootstrap and reachable",
      };
  },
  "peers' clocks": async ({ client, node, signal }) => {
    let ahead = 0;
    let others = 0;
    const query = { limit: CLOCK_SAMPLE, timeout_seconds: CLOCK_TIMEOUT_SECONDS };
    try {
      for await (const { peer_id, capability } of client.discover(query, { signal })) {
        if (peer_id === node.peer_id) continue;
        others++;
        const issued = Date.parse(String((capability as { issued_at?: unknown }).issued_at));
        ahead = Math.max(ahead, issued - Date.now());
      }
    } catch (error) {
      // The check of the bootstrap nodes reports why there is no other node.
      if (PlasmError.from(error).code !== "no-peer") throw error;
    }
    return clockResult(others, ahead);
  },
};

function statusOf(node: NodeJson): NetworkStatus {
  return node.network as unknown as NetworkStatus;
}

/** Evaluates the connections to bootstrap nodes. */
export function bootstrapResult(bootstrap: readonly BootstrapStatus[]): CheckResult {
  const connected = bootstrap.filter((node) => node.connected).length;
  const found = `${connected} of ${bootstrap.length} connected`;
  const missing = bootstrap.filter(({ connected }) => !connected)
    .map(({ address, error }) => `${address}${error === null ? "" : ` (${error})`}`);
  if (missing.length === 0) {
    return { result: "ok", found: bootstrap.length === 0 ? "none configured" : found };
  }
  return {
    result: connected === 0 ? "fail" : "warn",
    found: `${found}; not connected: ${missing.join(", ")}`,
    hint: "Check network.bootstrap and whether these nodes run",
  };
}

/** Evaluates whether and how other nodes reach this node. */
export function reachableResult({ status, by, addresses }: Reachability): CheckResult {
  switch (status) {
    case "public":
    case "relayed":
      return { result: "ok", found: `${status}, by ${by}: ${addresses.join(", ")}` };
    case "unknown":
      return { result: "warn", found: "not known yet", hint: "Run plasm doctor again in a minute" };
    case "private":
      return {
        result: "warn",
        found: "other nodes cannot reach this node",
        hint: "Open the ports of network.listen, or set network.upnp to request a port mapping",
      };
  }
}

/**
 * Compares the clock with other nodes' documents, of which none may be from the future. A fast clock is not detected:
 * documents then appear expired and are not found.
 */
export function clockResult(others: number, aheadMs: number): CheckResult {
  if (others === 0) {
    return { result: "warn", found: "found no other node to compare the clock with" };
  }
  return aheadMs > CLOCK_TOLERANCE_MS
    ? {
      result: "fail",
      found: `this clock is at least ${Math.round(aheadMs / 1000)} s behind another node's`,
      hint: CLOCK_HINT,
    }
    : { result: "ok", found: `matches the documents of ${others} other nodes` };
}

async function runCheck(check: string, run: () => Promise<CheckResult>): Promise<Finding> {
  try {
    return { check, ...await run() };
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      return { check, result: "warn", found: `cannot check: ${error.message.split(",")[0]}` };
    }
    const { message, hint } = PlasmError.from(error);
    return { check, result: "fail", found: message, hint };
  }
}

/** Checks the network, if the configuration enables it and the daemon has joined it. */
async function checkNetwork({ io, config, daemon, absence }: CheckContext): Promise<Finding[]> {
  if (!config.network.enabled) {
    return [{ check: "network", result: "ok", found: "off; set network.enabled to join one" }];
  }
  if (daemon === undefined) {
    const { message, hint } = absence!;
    return [{ check: "network", result: "warn", found: message, hint }];
  }
  const { client, node } = daemon;
  if (node.network === null) {
    return [{
      check: "network",
      result: "warn",
      found: "the daemon has not joined the network",
      hint: "Restart the daemon",
    }];
  }
  const findings: Finding[] = [];
  for (const [check, run] of Object.entries(NETWORK_CHECKS)) {
    findings.push(await runCheck(check, () => run({ client, node, config, signal: io.signal })));
  }
  return findings;
}

/** Checks the file that a daemon would read; a bad one must not prevent the other checks. */
async function checkConfig(
  args: ParsedArgs,
  io: CliIo,
): Promise<{ finding: Finding; filed: Config | undefined }> {
  try {
    const { config, file } = await loadConfig({
      path: args.string("config"),
      env: (name) => io.env(name),
    });
    const found = file ?? "no file, default values";
    return { finding: { check: "config", result: "ok", found }, filed: config };
  } catch (error) {
    const { message, hint, cause } = PlasmError.from(error);
    // The daemon's file need not be readable for its clients.
    const isPrivate = cause instanceof Deno.errors.PermissionDenied;
    const finding: Finding = {
      check: "config",
      result: isPrivate ? "warn" : "fail",
      found: message,
      hint: hint ??
        (isPrivate
          ? "Run sudo plasm doctor to check it"
          : "Correct it before the daemon starts again"),
    };
    return { finding, filed: undefined };
  }
}

/** Asks the running daemon for its state and settings. */
async function askDaemon(client: DaemonClient): Promise<RunningDaemon> {
  const signal = AbortSignal.timeout(DAEMON_TIMEOUT_MS);
  return { client, node: await client.node({ signal }), settings: await client.config({ signal }) };
}

/** `plasm doctor` */
export const doctor: Command = {
  spec: {
    name: "doctor",
    summary: "Diagnose this installation and the running daemon",
    usage: "[OPTIONS]",
    description:
      "Checks configuration, runtime, clock, state directory, socket, executors and memory. Asks the " +
      "running daemon for the settings it uses, its queue and its latest jobs and, if its network is " +
      "enabled, for peers, bootstrap nodes, reachability, visibility to other nodes and their clocks. " +
      "Exits with 1 if a check fails and with 0 if there are only warnings.",
    options: [CONFIG_OPTION, SOCKET_OPTION],
    positionals: { min: 0, max: 0 },
    examples: [{ call: "plasm doctor", does: "Check before you report a problem" }],
  },
  async run(args, io): Promise<number> {
    const { finding, filed } = await checkConfig(args, io);
    using stack = new DisposableStack();
    let daemon: RunningDaemon | undefined;
    let absence: PlasmError | undefined;
    try {
      const socket = args.string("socket") ?? filed?.socket ?? undefined;
      const client = stack.use(connectDaemon({ socket, env: (name) => io.env(name) }));
      daemon = await askDaemon(client);
    } catch (error) {
      absence = PlasmError.from(error);
    }
    const config = daemon === undefined
      ? filed ?? defaultConfig()
      : configOf(daemon.settings.config as ConfigEntries);
    const context: CheckContext = { io, config, filed, daemon, absence };
    const findings = [finding];
    for (const [check, run] of Object.entries(CHECKS)) {
      findings.push(await runCheck(check, () => run(context)));
    }
    findings.push(...await checkNetwork(context));
    if (args.flag("json")) await io.write(`${JSON.stringify({ findings })}\n`);
    else {
      await io.write(table(
        findings.flatMap(({ check, result, found, hint }) => [
          [result, check, escapeText(found)],
          ...(hint === undefined ? [] : [["", "", `→ ${escapeText(hint)}`]]),
        ]),
      ));
    }
    return findings.some(({ result }) => result === "fail") ? 1 : 0;
  },
};
