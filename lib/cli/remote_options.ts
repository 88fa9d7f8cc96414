/**
 * Options of the commands that run a job on another node.
 *
 * @module
 */
import type { JobTarget } from "../api/mod.ts";
import { ARCHITECTURES, parseArch, parsePeer } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import type { QuorumSize } from "../quorum/mod.ts";
import { escapeText } from "../util/mod.ts";
import type { OptionSpec, ParsedArgs } from "./command.ts";

/** `--remote`, and the options that require it. */
export const REMOTE_OPTIONS: readonly OptionSpec[] = [
  { name: "remote", kind: "flag", help: "Run on another node of the network" },
  {
    name: "peer",
    kind: "string",
    parse: parsePeer,
    complete: { words: "peers" },
    placeholder: "ID",
    help: "Run on this peer id or multiaddr (with --remote, default any node)",
  },
  {
    name: "arch",
    kind: "string",
    placeholder: "ARCH",
    parse: parseArch,
    complete: ARCHITECTURES,
    help: "Use only nodes of this architecture (with --remote, default any)",
  },
  {
    name: "min-memory",
    kind: "integer",
    placeholder: "N",
    help:
      "Use only nodes that allow a job N MiB of memory (with --remote, default the job's limit)",
  },
  {
    name: "attempts",
    kind: "integer",
    placeholder: "N",
    help: "Try at most N nodes (with --remote, default 3)",
  },
  {
    name: "bootstrap",
    kind: "string",
    placeholder: "ADDR",
    repeat: true,
    help: "Join through this node (with --remote, default network.bootstrap)",
  },
  {
    name: "as-node",
    kind: "flag",
    help: "Use this node's key (with --remote, default a new key)",
  },
  {
    name: "ticket",
    kind: "string",
    placeholder: "FILE",
    complete: "file",
    help: "Save a resume ticket to FILE; run the same command again to resume (with --remote)",
  },
  {
    name: "live",
    kind: "flag",
    help: "Print output as it arrives, before it is verified (with --remote)",
  },
];

/**
 * Parses the value of `--agree`: `K` or `K/N`.
 *
 * @throws {PlasmError} `usage`
 */
export function parseQuorumSize(text: string): QuorumSize {
  const [, agree, nodes = agree] = /^(\d{1,3})(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  if (agree !== undefined) return { agree: Number(agree), nodes: Number(nodes) };
  throw new PlasmError("usage", `Cannot read quorum: ${escapeText(text)}`, {
    hint: "Write K or K/N: K nodes must agree, N nodes start, as in 2/3",
  });
}

/** `--agree`, and the options that require it. */
export const AGREE_OPTIONS: readonly OptionSpec[] = [
  {
    name: "agree",
    kind: "string",
    placeholder: "K[/N]",
    parse: (text) => (parseQuorumSize(text), text),
    help:
      "Run on N nodes and print output when K of them return the same claim; up to K+2 nodes are tried " +
      "(with --remote, default N: K)",
  },
  {
    name: "same-network",
    kind: "flag",
    help: "Allow several nodes in one network, IPv4 /24 or IPv6 /48 (with --agree)",
  },
  {
    name: "arbitrate",
    kind: "flag",
    help:
      "If nodes disagree, run the job here, or on the node of --peer, and report the false receipts " +
      "(with --agree)",
  },
  {
    name: "evidence",
    kind: "string",
    placeholder: "FILE",
    complete: "file",
    help:
      "Write receipts that contradict each other to FILE (with --agree, default a file in the state directory)",
  },
];

/** What honest nodes can differ in without the deterministic profile. */
export const MAY_DIFFER: readonly string[] = [
  "clock",
  "random",
  "poll",
  "NaN bits",
  "relaxed SIMD",
  "stack depth",
];

/** Note for jobs without the deterministic profile. */
export const MAY_DIFFER_NOTE = `plasm: Honest nodes may differ in ${
  MAY_DIFFER.join(", ")
}; --deterministic excludes that\n`;

/** Options that name nodes, or that need the result of one node. */
const SINGLE_NODE_OPTIONS = ["attempts", "ticket", "live"];

function checkAgreeOptions(args: ParsedArgs, { areVoters }: { areVoters: boolean }): void {
  if (!args.flag("agree")) {
    const given = AGREE_OPTIONS.find(({ name }) => args.flag(name));
    if (given === undefined) return;
    throw new PlasmError("usage", `Cannot use --${given.name} without --agree`, {
      hint: "Add --remote --agree K, such as --agree 2/3",
    });
  }
  if (!args.flag("remote")) throw new PlasmError("usage", "Cannot use --agree without --remote");
  const single = SINGLE_NODE_OPTIONS.find((name) => args.flag(name));
  if (single !== undefined) {
    throw new PlasmError("usage", `Cannot use --agree and --${single} together`);
  }
  if (args.flag("peer") && !args.flag("arbitrate") && !areVoters) {
    throw new PlasmError("usage", "Cannot use --agree and --peer together without --arbitrate", {
      hint: "Add --arbitrate to run the job on this peer if nodes disagree",
    });
  }
}

/** Options of {@linkcode checkRemoteOptions}. */
export interface CheckRemoteOptions {
  /** Whether the nodes of `--peer` are those that must agree. @default {false: --peer names an arbiter} */
  areVoters?: boolean | undefined;
}

/**
 * Rejects remote options without `--remote`, and options that exclude each other.
 *
 * @throws {PlasmError} `usage`
 */
export function checkRemoteOptions(
  args: ParsedArgs,
  { areVoters = false }: CheckRemoteOptions = {},
): void {
  const isRemote = args.flag("remote");
  const given = REMOTE_OPTIONS.find(({ name }) => name !== "remote" && args.flag(name));
  if (!isRemote && given !== undefined) {
    throw new PlasmError("usage", `Cannot use --${given.name} without --remote`);
  }
  checkAgreeOptions(args, { areVoters });
  for (const local of ["daemon", "pipe"]) {
    if (!isRemote || !args.flag(local)) continue;
    throw new PlasmError("usage", `Cannot use --remote and --${local} together`);
  }
  if (isRemote && args.flag("live") && args.flag("json")) {
    throw new PlasmError("usage", "Cannot use --live and --json together");
  }
  if (args.integer("attempts") === 0) {
    throw new PlasmError("usage", "Cannot use --attempts 0: it must be at least 1");
  }
}

/** The node on which the daemon runs a job; undefined for the daemon's own. */
export function targetOf(args: ParsedArgs): JobTarget | undefined {
  if (!args.flag("remote")) return undefined;
  const [peer, arch, agree] = [args.string("peer"), args.string("arch"), args.string("agree")];
  const [min_memory_mb, attempts] = [args.integer("min-memory"), args.integer("attempts")];
  return {
    ...(peer === undefined ? {} : { peer }),
    ...(arch === undefined ? {} : { arch }),
    ...(min_memory_mb === undefined ? {} : { min_memory_mb }),
    ...(attempts === undefined ? {} : { attempts }),
    ...(args.flag("as-node") ? { as_node: true } : {}),
    ...(agree === undefined ? {} : parseQuorumSize(agree)),
    ...(args.flag("same-network") ? { same_network: true } : {}),
  };
}
