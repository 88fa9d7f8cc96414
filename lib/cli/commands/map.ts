/**
 * The command `plasm map`: runs one module over many items.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { parsePeer } from "../../core/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { Command, OptionSpec } from "../command.ts";
import { needsNetwork } from "../module_source.ts";
import { SOCKET_OPTION } from "../daemon_client.ts";
import { AGREE_OPTIONS, REMOTE_OPTIONS } from "../remote_options.ts";
import { exec } from "./exec.ts";

/** Options of `plasm exec` that each job of a map has, too. */
const JOB_OPTIONS: readonly string[] = [
  "manifest",
  "memory-mb",
  "timeout",
  "cpu-seconds",
  "fuel",
  "argv0",
  "invoke",
  "env",
  "input",
  "deterministic",
  "seed",
  "epoch-ms",
  "output",
  "force",
  "offline",
];

/** Options of `--remote` for a map: several peers, and no options of a single job. */
const NODE_OPTIONS: readonly OptionSpec[] = REMOTE_OPTIONS
  .filter(({ name }) => ["remote", "arch", "min-memory", "bootstrap", "as-node"].includes(name))
  .map((option) =>
    option.name === "remote"
      ? {
        ...option,
        help: "Run on nodes of the network; each gets as many jobs as it keeps up with",
      }
      : option
  );

/** Options of `--agree` for a map, which keeps evidence with its results. */
const QUORUM_OPTIONS: readonly OptionSpec[] = AGREE_OPTIONS
  .filter(({ name }) => ["agree", "same-network"].includes(name))
  .map((option) =>
    option.name === "agree"
      ? {
        ...option,
        help:
          "Run each item on N nodes, and accept what K of them agree on; up to K+2 nodes are tried. " +
          "Receipts that contradict each other are stored (with --remote, default N: K)",
      }
      : option
  );

/** A number of jobs: N, or relative to the number of cores. */
const JOBS = /^(?:\d{1,4}%?|[+-]\d{1,4})$/;

/** @throws {PlasmError} `usage` */
function parseJobs(text: string): string {
  if (JOBS.test(text) && !/^0+%?$/.test(text)) return text;
  throw new PlasmError("usage", `Cannot run ${escapeText(text)} jobs at the same time`, {
    hint:
      "Use a number from 1, such as 8, or relative to the cores: 200%, +2, -1; the default is one for each core",
  });
}

const MAP_OPTIONS: readonly OptionSpec[] = [
  {
    name: "stdin",
    kind: "string",
    placeholder: "FILE",
    complete: "file",
    help: "Standard input of each job, for example {} (default empty)",
  },
  {
    name: "null",
    short: "0",
    kind: "flag",
    help: "End items in a list by NUL instead of a newline",
  },
  {
    name: "jobs",
    short: "j",
    kind: "string",
    placeholder: "N",
    parse: parseJobs,
    help:
      "Run N jobs at the same time; N% of the cores, or +N or -N of them (default one for each core; with " +
      "--daemon as many as it runs; with --remote at most N on each node, default 4 for each of its cores)",
  },
  {
    name: "keep-order",
    short: "k",
    kind: "flag",
    help: "Print output in the order of the items (default as jobs end)",
  },
  {
    name: "retries",
    kind: "integer",
    placeholder: "N",
    help: "Run a job that fails up to N times (default 1)",
  },
  {
    name: "halt",
    kind: "string",
    placeholder: "RULE",
    complete: ["never", "soon,fail=1", "now,fail=1", "soon,fail=10%"],
    help:
      "Stop after failures: never, soon,fail=N or soon,fail=N%; now instead of soon also stops running " +
      "jobs, success=N and done=N count others (default: when the first 20 items fail)",
  },
  {
    name: "results",
    kind: "string",
    placeholder: "DIR",
    complete: "file",
    help: "Store output, receipt and manifest of each item, and a summary, in a new directory",
  },
  {
    name: "resume",
    kind: "flag",
    help:
      "Skip items whose receipt in --results holds for today's module, arguments, input and stored output",
  },
  {
    name: "resume-failed",
    kind: "flag",
    help: "As --resume, but run items again that failed",
  },
  {
    name: "joblog",
    kind: "string",
    placeholder: "FILE",
    complete: "file",
    help: "Write a line for each job, in the format of GNU parallel",
  },
  { name: "bar", kind: "flag", help: "Show progress, on a terminal as a line, otherwise as JSON" },
  { name: "dry-run", kind: "flag", help: "Print the commands without running them" },
];

/** `plasm map` */
export const map: Command = {
  spec: {
    name: "map",
    summary: "Run a module over many items",
    usage: "[OPTIONS] MODULE [-- ARG…] [::: ITEM… | :::: FILE…]…",
    description:
      "Runs a module once for each item, on all cores, through the daemon or on nodes of the network. Items are arguments after :::, or lines of a file " +
      "after ::::, or of standard input. Several lists are combined, each item with each; with :::+ or ::::+ the " +
      "first with the first. In arguments and in the values of --env, --input, --stdin and " +
      "--output, {} is the item, {.} the item without extension, {/} its last name, {//} its directory, " +
      "{/.} its last name without extension and {#} its number from 1; {2} and {2.} are of its part from the " +
      "second list. Without any of them the item is the last argument. Each job has its number in PLASM_INDEX and, unless the items come from a pipe, " +
      "their number in PLASM_COUNT. " +
      "Exits with the number of items that failed, at most 101.",
    options: [
      ...exec.spec.options.filter(({ name }) => JOB_OPTIONS.includes(name)),
      ...MAP_OPTIONS,
      { name: "daemon", kind: "flag", help: "Run through the daemon and its queue" },
      SOCKET_OPTION,
      ...NODE_OPTIONS,
      ...QUORUM_OPTIONS,
      {
        name: "peer",
        kind: "string",
        parse: parsePeer,
        complete: { words: "peers" },
        placeholder: "ID",
        repeat: true,
        help: "Run on this peer id or multiaddr (with --remote, default all nodes found)",
      },
    ],
    positionals: { min: 1, max: 1, complete: "file" },
    takesRest: true,
    takesItems: true,
    examples: [
      {
        call: "plasm map --stdin {} hello.wasm ::: in in.csv",
        does: "Run with each file as standard input",
      },
      {
        call: "ls data | plasm map -k --input data/{}:{} app.wasm -- --verbose {}",
        does: "Run with each file of a directory, and print output in order",
      },
      {
        call: "plasm map --invoke add math.wasm ::: 2 3 ::: 10 20",
        does: "Call a function with each combination of two lists",
      },
      {
        call: "plasm map --results results --bar --stdin {} hello.wasm ::: in in.csv",
        does: "Store results and receipts",
      },
      {
        call: "plasm map --remote --agree 2/3 --deterministic --stdin {} hello.wasm ::: in in.csv",
        does: "Run each item on three nodes, and accept what two of them agree on",
      },
      {
        call: "plasm map --results results --resume --stdin {} hello.wasm ::: in in.csv",
        does: "Run again what is missing or has changed",
      },
    ],
  },
  drops: (args) =>
    args.flag("remote")
      ? ["run"]
      : args.flag("daemon")
      ? ["run", "sys"]
      : needsNetwork(args)
      ? ["sys"]
      : ["net", "sys"],
  run: async (args, io) => await (await import("../map/mod.ts")).runMap(args, io),
};
