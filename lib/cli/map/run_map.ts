/**
 * Runs `plasm map`: connects items, jobs, the place that runs them, and what is written.
 *
 * @module
 */
import { loadOrCreateIdentity, manifestHash, stateDir } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import {
  DaemonPlacement,
  DEFAULT_HALT,
  type ItemResult,
  LocalPlacement,
  MapScheduler,
  parseHalt,
  type PlacedJob,
  type Placement,
  Template,
} from "../../map/mod.ts";
import type { Evidence, QuorumSize } from "../../quorum/mod.ts";
import { checkModule, DEFAULT_CEILINGS } from "../../sandbox/mod.ts";
import { abortable } from "../../util/async/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { ParsedArgs } from "../command.ts";
import { createClient, table } from "../daemon_client.ts";
import { type JobBase, joinNetworkOf, readJobBase, saveInState } from "../exec/mod.ts";
import { type CliIo, commandInterrupted } from "../io.ts";
import { CollectedOutput, exitStatusOf } from "../job_result.ts";
import { checkRemoteOptions, MAY_DIFFER_NOTE, parseQuorumSize } from "../remote_options.ts";
import { checkOutputTargets, exitStatusWith } from "../output_files/mod.ts";
import { ItemJobs } from "./item_jobs.ts";
import { type ItemList, itemList, type ListItem } from "./item_list.ts";
import { ItemOutput } from "./item_output.ts";
import { ItemLog } from "./item_log.ts";
import { ProgressBar } from "./map_progress.ts";
import { PrintBuffer } from "./print_buffer.ts";
import { checkOutputNames } from "./output_names.ts";
import { ResultsDirectory } from "./results_directory.ts";

/** Largest number of failed items that the exit status counts, as in GNU parallel: more are 101. */
const MAX_FAILED_STATUS = 101;

/** Exit status of an interrupted map. */
const INTERRUPTED_STATUS = 130;

/** Maximum size of the output that `--json` prints for an item, in bytes. */
const MAX_JSON_BYTES = 64 * 2 ** 20;

/** Directory of the results directory with evidence against nodes. */
const EVIDENCE_DIR = "evidence";

/** Document of the results directory with the counts of the run. */
const SUMMARY = "summary.json";

type Result = ItemResult<ListItem, ItemOutput>;

/** Parts of a map that are opened before it starts. */
interface MapContext {
  args: ParsedArgs;
  io: CliIo;
  jobs: ItemJobs;
  list: ItemList;
  /** Number of items, if it is known. */
  total: number | undefined;
  results: ResultsDirectory | undefined;
  log: ItemLog | undefined;
  /** Files of evidence by the number of their item, until its result is printed. */
  evidence: Map<number, string>;
}

/**
 * Runs the map. Resolves to the exit status: the number of items that failed, at most 101.
 *
 * @throws {PlasmError} `usage`, `bad-module`, `bad-manifest`, `bad-input`, `conflict`, `state`
 */
export async function runMap(args: ParsedArgs, io: CliIo): Promise<number> {
  checkMapOptions(args);
  const quorum = quorumOf(args);
  if (quorum !== undefined) (await import("../../quorum/mod.ts")).quorumLimit(quorum);
  if (io.stdinIsTerminal && (args.items === undefined || args.items.includes("-"))) {
    throw new PlasmError("usage", "Cannot read items: standard input is a terminal", {
      hint: "Name them after :::, a file after ::::, or pipe them into plasm map",
    });
  }
  const list = await itemList({
    words: args.items,
    isNull: args.flag("null"),
    stdin: () => io.stdin,
  });
  const { base, jobs } = await abortable(prepare(args, { io, lists: list.lists }), {
    signal: io.signal,
    error: commandInterrupted,
  });
  if (!list.isRepeatable && args.flag("force") && jobs.mayShareOutputs) {
    throw new PlasmError("usage", "Cannot use --force: two items of a pipe may have one output", {
      hint: "Use {#} in the names of outputs, or read the items from a file",
    });
  }
  const total = list.isRepeatable ? await countItems(list) : undefined;
  jobs.setCount(total);
  if (list.isRepeatable) await checkOutputNames(list, jobs);
  if (args.flag("dry-run")) return await printCommands({ args, io, jobs, list });
  await checkBaseModule(base);
  const resume = args.flag("resume") || args.flag("resume-failed");
  const resultsPath = args.string("results");
  using results = resultsPath === undefined ? undefined : ResultsDirectory.open(resultsPath, {
    run: { template: jobs.describeTemplates(), base: await runHash(base.manifest) },
    resume,
  });
  const logPath = args.string("joblog");
  using log = logPath === undefined ? undefined : new ItemLog(logPath, { resume });
  const placement = await createPlacement(args, { io, base });
  try {
    const evidence = new Map<number, string>();
    if (quorum !== undefined && base.manifest.profile !== "deterministic" && !args.flag("json")) {
      await io.message(MAY_DIFFER_NOTE);
    }
    return await mapItems({ args, io, jobs, list, total, results, log, evidence }, placement);
  } finally {
    await placement[Symbol.asyncDispose]();
  }
}

/** Refuses a module that no item can use. The arguments of a call are those of an item. */
async function checkBaseModule({ module, manifest }: JobBase): Promise<void> {
  try {
    await checkModule(module, manifest);
  } catch (error) {
    if (manifest.invoke === undefined || PlasmError.from(error).code !== "bad-input") throw error;
  }
}

/** Identifies the limits and the profile of a run; today's module may be another one. */
async function runHash(manifest: PlacedJob["manifest"]): Promise<string> {
  return await manifestHash({ ...manifest, module_hash: `sha256:${"0".repeat(64)}` });
}

function checkMapOptions(args: ParsedArgs): void {
  const usage = (message: string, hint?: string): never => {
    throw new PlasmError("usage", message, hint === undefined ? {} : { hint });
  };
  checkRemoteOptions(args, { areVoters: true });
  if (args.flag("socket") && !args.flag("daemon") && !args.flag("remote")) {
    usage("Cannot use --socket without --daemon or --remote");
  }
  if (args.integer("retries") === 0) usage("Cannot use --retries 0: it must be at least 1");
  const isFixed = (text: string | undefined): boolean =>
    text === undefined || !new Template(text).isVariable;
  for (const name of ["results", "joblog", "manifest", "argv0"]) {
    if (isFixed(args.string(name))) continue;
    usage(
      `Cannot use --${name} ${escapeText(args.string(name)!)}: it is the same for all items`,
      name === "results"
        ? "Each item has its own directory below --results DIR"
        : "Replacement strings work in arguments, --env, --input, --stdin and --output",
    );
  }
  if (!isFixed(args.positionals[0])) {
    usage("Cannot use another module for each item", "Run plasm map once for each module");
  }
  for (const name of ["resume", "resume-failed"]) {
    if (args.flag(name) && !args.flag("results")) {
      usage(`Cannot use --${name} without --results`, "Receipts in --results show what holds");
    }
  }
  if (args.positionals[0] === "-" && (args.items === undefined || args.items[1] === "-")) {
    usage("Cannot read both the module and the items from standard input", "Use :::: FILE");
  }
  if (args.strings("output").some((spec) => spec.endsWith(":-"))) {
    usage("Cannot write outputs of many jobs to standard output", "Use --results DIR");
  }
}

async function prepare(
  args: ParsedArgs,
  { io, lists }: { io: CliIo; lists: number },
): Promise<{ base: JobBase; jobs: ItemJobs }> {
  const base = await readJobBase(args, io);
  return { base, jobs: await ItemJobs.create(base, { args, lists }) };
}

async function countItems(list: ItemList): Promise<number> {
  let count = 0;
  for await (const _ of list.read()) count++;
  return count;
}

async function printCommands(
  { args, io, jobs, list }: Pick<MapContext, "args" | "io" | "jobs" | "list">,
): Promise<number> {
  let index = 0;
  for await (const item of list.read()) {
    const module = args.positionals[0]!;
    await io.write(`${jobs.commandOf(item, { index: ++index, module })}\n`);
  }
  return 0;
}

/** The nodes that must agree on an item; undefined if one node runs it. */
function quorumOf(args: ParsedArgs): QuorumSize | undefined {
  const text = args.string("agree");
  return text === undefined ? undefined : parseQuorumSize(text);
}

/** Number of jobs at the same time: an absolute one, or relative to the cores of this machine. */
function jobCountOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const cores = navigator.hardwareConcurrency;
  const value = parseInt(text);
  if (text.endsWith("%")) return Math.max(1, Math.round(cores * value / 100));
  return /^[+-]/.test(text) ? Math.max(1, cores + value) : value;
}

/** Connects to the place that the options name. */
async function createPlacement(
  args: ParsedArgs,
  { io, base: { module, manifest } }: { io: CliIo; base: JobBase },
): Promise<Placement> {
  const { signal } = io;
  const jobs = jobCountOf(args.string("jobs"));
  const { resources } = manifest;
  if (args.flag("remote")) {
    // Loaded on demand, and the network first: see lib/p2p/patches/hidden_environment.ts.
    const network = await joinNetworkOf(args, io);
    const { AgreedPlacement, RemotePlacement } = await import("../../map/remote/mod.ts");
    const options = {
      network,
      resources,
      module,
      peers: args.strings("peer"),
      arch: args.string("arch"),
      minMemoryMb: args.integer("min-memory"),
      jobs,
    };
    const quorum = quorumOf(args);
    if (quorum === undefined) return new RemotePlacement(options);
    return new AgreedPlacement({ ...options, quorum, sameNetwork: args.flag("same-network") });
  }
  if (args.flag("daemon")) {
    return await DaemonPlacement.create(await createClient(args, io), { jobs, signal });
  }
  const needsReceipt = args.flag("results") || args.flag("json");
  const output_bytes = args.flag("json") ? MAX_JSON_BYTES : DEFAULT_CEILINGS.output_bytes;
  return new LocalPlacement({
    jobs: jobs ?? navigator.hardwareConcurrency,
    memoryMb: resources.memory_mb,
    ceilings: { output_bytes },
    signer: needsReceipt ? await loadOrCreateIdentity(stateDir((name) => io.env(name))) : undefined,
  });
}

async function mapItems(context: MapContext, placement: Placement): Promise<number> {
  const { args, io, jobs, list, total, results } = context;
  const halt = args.string("halt");
  const resumes = args.flag("resume") || args.flag("resume-failed");
  /** Items whose outputs an earlier run may have written. */
  const replaceable = new Set<number>();
  const started = performance.now();
  const scheduler = new MapScheduler<ListItem, ItemOutput>(list.read(), {
    placement,
    describe: async (item, index) => {
      const job = await jobs.describe(item, index);
      const force = resumes && results?.has(index) === true;
      if (force) replaceable.add(index);
      await checkOutputTargets(
        jobs.ownTargets(item, { index, ...(force ? { force } : {}) }),
      );
      return job;
    },
    createOutput: (job, { item, index }) =>
      new ItemOutput({
        job,
        results,
        targets: (dir) =>
          jobs.targets(item, { index, dir, ...(replaceable.has(index) ? { force: true } : {}) }),
      }),
    reuse: !resumes || results === undefined ? undefined : async (job, { item, index }) => {
      const targets = jobs.targets(item, { index, dir: results.outputsPath(index) });
      const signers = quorumOf(args)?.agree;
      const receipt = await results.find(index, { job, targets, signers });
      if (receipt === undefined) return undefined;
      const { status, exit_code: exitCode } = receipt.claim;
      const hasFailed = status !== "exited" || exitCode !== 0;
      if (status === "cancelled" || (hasFailed && args.flag("resume-failed"))) return undefined;
      return { outcome: { status, exitCode }, receipt };
    },
    store: async (result) => {
      replaceable.delete(result.index);
      await storeResult(result, context);
    },
    keepOrder: args.flag("keep-order"),
    tries: args.integer("retries") ?? 1,
    halt: halt === undefined ? DEFAULT_HALT : parseHalt(halt),
    isFailure: ({ outcome, output }) =>
      outcome.status !== "exited" || outcome.exitCode !== 0 || (output?.missing.length ?? 0) > 0,
    drain: io.signal,
  });
  const onInterrupt = (): void => {
    const { running } = scheduler.progress;
    if (running === 0) return;
    const what = running === 1 ? "1 running job" : `${running} running jobs`;
    io.message(`plasm: Waiting for ${what}; press Ctrl-C again to stop at once\n`);
  };
  io.signal.addEventListener("abort", onInterrupt, { once: true });
  const bar = args.flag("bar") ? new ProgressBar(io, { total }) : undefined;
  const printed = new PrintBuffer(io);
  try {
    for await (const result of scheduler.results()) {
      await bar?.clear();
      try {
        await printItem(result, { ...context, io: printed });
      } finally {
        result.output?.[Symbol.dispose]();
      }
      if (bar !== undefined) await printed.flush();
      await bar?.show(scheduler.progress);
    }
  } finally {
    await printed.flush();
  }
  await bar?.show(scheduler.progress, { isLast: true });
  await bar?.clear();
  io.signal.removeEventListener("abort", onInterrupt);
  const { done, failed, retried, reused } = scheduler.progress;
  const { haltReason, nodes } = scheduler;
  const summary = {
    done,
    failed,
    retried,
    reused,
    ...(total === undefined ? {} : { total }),
    ...(haltReason === undefined ? {} : { stopped: haltReason }),
    interrupted: io.signal.aborted,
    wall_time_ms: Math.round(performance.now() - started),
    nodes,
  };
  results?.write(SUMMARY, summary);
  if (args.flag("json")) await io.write(`${JSON.stringify({ summary })}\n`);
  else if (args.flag("bar") || io.stderrIsTerminal) await io.message(summaryTable(summary));
  if (haltReason !== undefined) await io.message(`plasm: Stopped: ${haltReason}\n`);
  if (io.signal.aborted) return INTERRUPTED_STATUS;
  return Math.min(failed, MAX_FAILED_STATUS);
}

/** Writes a result where it is kept. A file that cannot have its name is the failure of its item only. */
async function storeResult(result: Result, context: MapContext): Promise<void> {
  const { results, log } = context;
  const { index, item, output, receipt, receipts, evidence, isReused } = result;
  if (isReused) return;
  if (evidence !== undefined) {
    context.evidence.set(index, await storeEvidence(evidence, { ...context, index }));
  }
  if (output !== undefined) {
    try {
      await output.commit({ index, item: item.text, receipt, receipts });
    } catch (thrown) {
      const error = PlasmError.from(thrown);
      if (error.code === "state") throw error;
      result.outcome = undefined;
      result.error = error;
    }
  }
  // A result of an earlier run must not remain as that of this one.
  if (result.outcome === undefined) results?.remove(index);
  log?.add({
    index,
    node: hostOf(result),
    startedAt: result.startedAt,
    durationMs: result.durationMs,
    sentBytes: result.bytes.sent,
    receivedBytes: result.bytes.received,
    exitStatus: statusOf(result),
    item: item.text,
  });
}

/** Where an item ran, as in GNU parallel's log. */
function hostOf({ node, receipts }: Result): string {
  if (receipts !== undefined) return receipts.map(({ run }) => run.node.peer_id).join(",");
  return node === "local" ? ":" : node ?? "-";
}

/** Writes evidence to the results, or to the state directory. Returns its path. */
async function storeEvidence(
  evidence: Evidence,
  { results, io, index }: Pick<MapContext, "results" | "io"> & { index: number },
): Promise<string> {
  if (results !== undefined) return results.write(`${EVIDENCE_DIR}/${index}.json`, evidence);
  return await saveInState(evidence, io);
}

function statusOf({ outcome, error, output }: Result): number {
  if (outcome === undefined) return error?.exitCode ?? 70;
  const written = output && { files: {}, missing: output.missing };
  return exitStatusWith({ written }, exitStatusOf(outcome.status, outcome.exitCode));
}

async function printItem(
  result: Result,
  { args, io, evidence }: Pick<MapContext, "args" | "evidence"> & {
    io: Pick<CliIo, "write" | "message">;
  },
): Promise<void> {
  if (result.isReused) return;
  const evidencePath = evidence.get(result.index);
  evidence.delete(result.index);
  const { index, item, outcome, error, output } = result;
  if (args.flag("json")) {
    const collected = new CollectedOutput();
    for (const stream of ["stdout", "stderr"] as const) {
      for (const data of output?.read(stream) ?? []) collected.add(stream, data);
    }
    const document = {
      index,
      item: item.text,
      ...(outcome && {
        status: outcome.status,
        exit_code: outcome.exitCode,
        ...(outcome.message === undefined ? {} : { message: outcome.message }),
        ...collected.toJSON(),
      }),
      ...(error && { error: error.toJSON() }),
      ...(output && output.missing.length > 0 ? { missing_outputs: output.missing } : {}),
      node: result.node ?? null,
      attempts: result.attempts,
      duration_ms: Math.round(result.durationMs),
      ...(result.receipt && { receipt: result.receipt }),
      ...(result.receipts && { receipts: result.receipts }),
      ...(evidencePath !== undefined && { evidence: evidencePath }),
    };
    await io.write(`${JSON.stringify(document)}\n`);
    return;
  }
  for (const data of output?.read("stderr") ?? []) await io.message(data);
  for (const data of output?.read("stdout") ?? []) await io.write(data);
  const reasons = [
    reasonOf(result),
    evidencePath && `Nodes contradict each other: plasm verify ${evidencePath}`,
  ];
  for (const reason of reasons) {
    if (reason === undefined) continue;
    await io.message(`plasm: Item ${index} (${escapeText(item.text)}): ${escapeText(reason)}\n`);
  }
}

/** Why an item failed, unless its exit code is the reason. */
function reasonOf({ outcome, error, output }: Result): string | undefined {
  if (error !== undefined) return error.message;
  if (outcome !== undefined && outcome.status !== "exited") {
    return outcome.message ?? outcome.status;
  }
  const [missing] = output?.missing ?? [];
  return missing === undefined ? undefined : `Output not found in the job's files: ${missing}`;
}

function summaryTable(
  { done, failed, retried, reused, nodes }: {
    done: number;
    failed: number;
    retried: number;
    reused: number;
    nodes: readonly {
      node: string;
      jobs: number;
      failures: number;
      cpu_time_ms: number;
      sent_bytes: number;
      received_bytes: number;
    }[];
  },
): string {
  const rows = nodes.map((node) => [
    node.node,
    String(node.jobs),
    String(node.failures),
    (node.cpu_time_ms / 1000).toFixed(1),
    String(node.sent_bytes),
    String(node.received_bytes),
  ]);
  return `${done} done, ${failed} failed, ${retried} retried, ${reused} from before\n` +
    table([["NODE", "JOBS", "FAILURES", "CPU s", "SENT", "RECEIVED"], ...rows]);
}
