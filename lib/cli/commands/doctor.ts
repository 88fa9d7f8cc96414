/**
 * `plasm doctor`: looks for what keeps a node from working, and says what to do about it.
 * @module
 */
import { connectDaemon } from "../../client/mod.ts";
import { type Config, loadConfig } from "../../config/mod.ts";
import { loadIdentity, stateDir, VERSION } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { ExecutorPool } from "../../sandbox/host/mod.ts";
import { runJob } from "../../sandbox/mod.ts";
import { printable } from "../../util/mod.ts";
import type { Command } from "../command.ts";
import { table } from "../daemon_client.ts";
import { type CheckResult, NETWORK_CHECKS } from "./doctor_network.ts";
import type { CliIo } from "../io.ts";

interface Finding extends CheckResult {
  check: string;
}

/** A clock before this build's year is one that was never set. */
const EARLIEST_CLOCK = Date.UTC(2025, 0, 1);

/** Time that starting an executor and running a job in it may take before it is remarkable, in ms. */
const SLOW_START_MS = 2000;

/** `(module (memory (export "memory") 1) (func (export "_start")))`, the least job there is. */
export const LEAST_MODULE: Uint8Array = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x05, 0x03, 0x01, 0x00, 0x01],
  ...[0x07, 0x13, 0x02, 0x06, 0x5f, 0x73, 0x74, 0x61, 0x72, 0x74, 0x00, 0x00],
  ...[0x06, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x02, 0x00],
  ...[0x0a, 0x04, 0x01, 0x02, 0x00, 0x0b],
]);

type Check = (context: { io: CliIo; config: Config }) => Promise<CheckResult>;

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
      found: `${dir}: ${reason}`,
      hint: "Make it writable, or name another with PLASM_STATE_DIR",
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
        hint: "Set the clock: receipts carry it",
      },
    );
  },
  state: ({ io, config }) => checkState(io, config),
  socket: async ({ io, config }) => {
    try {
      const socket = config.socket ?? undefined;
      using client = connectDaemon({ socket, env: (name) => io.env(name) });
      const { ready, checks } = await client.ready({ signal: AbortSignal.timeout(5000) });
      const { version } = await client.version();
      return ready
        ? { result: "ok", found: `a daemon ${version} answers and takes jobs` }
        : { result: "warn", found: `a daemon ${version} answers: ${JSON.stringify(checks)}` };
    } catch (error) {
      const { message, hint } = PlasmError.from(error);
      return { result: "warn", found: message, hint };
    }
  },
  executor: async () => {
    await using pool = new ExecutorPool({ warm: 0 });
    const begin = performance.now();
    const executor = await pool.acquire();
    const { outcome } = await runJob(LEAST_MODULE, { executor });
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
    const found = `${total} MB available, jobs may use ${memory_budget_mb} MB`;
    return Promise.resolve(
      total < memory_budget_mb
        ? { result: "warn", found, hint: "Lower jobs.memory_budget_mb" }
        : { result: "ok", found },
    );
  },
};

async function runCheck(check: string, run: () => Promise<CheckResult>): Promise<Finding> {
  try {
    return { check, ...await run() };
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      return { check, result: "warn", found: `cannot look: ${error.message.split(",")[0]}` };
    }
    const { message, hint } = PlasmError.from(error);
    return { check, result: "fail", found: message, hint };
  }
}

/** Looks at the network, where a daemon answers and has joined one. */
async function checkNetwork(io: CliIo, config: Config): Promise<Finding[]> {
  if (!config.network.enabled) {
    return [{ check: "network", result: "ok", found: "off: set network.enabled to join one" }];
  }
  const { signal } = io;
  try {
    const socket = config.socket ?? undefined;
    using client = connectDaemon({ socket, env: (name) => io.env(name) });
    const node = await client.node({ signal });
    if (node.network === null) {
      const hint = "Restart the daemon";
      return [{ check: "network", result: "warn", found: "the daemon has not joined it", hint }];
    }
    const findings: Finding[] = [];
    for (const [check, run] of Object.entries(NETWORK_CHECKS)) {
      findings.push(await runCheck(check, () => run({ client, node, signal })));
    }
    return findings;
  } catch (error) {
    const { message, hint } = PlasmError.from(error);
    return [{ check: "network", result: "warn", found: message, hint }];
  }
}

/** The command. */
export const doctor: Command = {
  spec: {
    name: "doctor",
    summary: "Diagnose this installation and the running daemon",
    usage: "[OPTIONS]",
    description:
      "Checks configuration, runtime, clock, state directory, socket, executors, memory and, where the " +
      "network is on, bootstrap nodes, reachability, visibility to strangers and their clocks. Exits " +
      "with 1 when something fails; warnings are no failure.",
    options: [{
      name: "config",
      kind: "string",
      placeholder: "FILE",
      complete: "file",
      help: "Read this configuration file",
    }],
    positionals: { min: 0, max: 0 },
    examples: [{ call: "plasm doctor", does: "Before asking for help" }],
  },
  async run(args, io): Promise<number> {
    const { config, file } = await loadConfig({
      path: args.string("config"),
      env: (name) => io.env(name),
    });
    const findings: Finding[] = [
      { check: "config", result: "ok", found: file ?? "no file; the defaults" },
    ];
    for (const [check, run] of Object.entries(CHECKS)) {
      findings.push(await runCheck(check, () => run({ io, config })));
    }
    findings.push(...await checkNetwork(io, config));
    if (args.flag("json")) await io.write(`${JSON.stringify({ findings })}\n`);
    else {
      await io.write(table(
        findings.flatMap(({ check, result, found, hint }) => [
          [result, check, printable(found)],
          ...(hint === undefined ? [] : [["", "", `→ ${printable(hint)}`]]),
        ]),
      ));
    }
    return findings.some(({ result }) => result === "fail") ? 1 : 0;
  },
};
