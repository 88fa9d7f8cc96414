/**
 * Options of commands that run a job on another node.
 * @module
 */
import type { JobTarget } from "../api/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import type { ParsedArgs } from "./command.ts";
import type { OptionSpec } from "./command.ts";

/** All of them; they mean something with `--remote` only. */
export const REMOTE_OPTIONS: readonly OptionSpec[] = [
  { name: "remote", kind: "flag", help: "Run on another node, found in the network" },
  {
    name: "peer",
    kind: "string",
    placeholder: "ID",
    help: "Remote: run on this node, a peer id or a multiaddr that ends with one",
  },
  {
    name: "arch",
    kind: "string",
    placeholder: "ARCH",
    complete: ["x86_64", "aarch64"],
    help: "Remote: use only nodes of this architecture",
  },
  {
    name: "min-memory",
    kind: "integer",
    placeholder: "N",
    help: "Remote: use only nodes that allow a job this much memory, in MiB",
  },
  {
    name: "attempts",
    kind: "integer",
    placeholder: "N",
    help: "Remote: try at most N nodes (default 3)",
  },
  {
    name: "bootstrap",
    kind: "string",
    placeholder: "ADDR",
    repeat: true,
    help: "Remote: join through this node (default network.bootstrap)",
  },
  {
    name: "as-node",
    kind: "flag",
    help: "Remote: use this node's key instead of a fresh one",
  },
  {
    name: "ticket",
    kind: "string",
    placeholder: "FILE",
    complete: "file",
    help: "Remote: save a resume ticket to FILE; run the same command again to resume",
  },
  {
    name: "live",
    kind: "flag",
    help: "Remote: print output as it arrives, before it is verified",
  },
];

/**
 * Refuses remote options without `--remote`, and others that cannot be together.
 *
 * @throws {PlasmError} `usage`
 */
export function checkRemoteOptions(args: ParsedArgs): void {
  const isRemote = args.flag("remote");
  const given = REMOTE_OPTIONS.find(({ name }) => name !== "remote" && args.flag(name));
  if (!isRemote && given !== undefined) {
    throw new PlasmError("usage", `Cannot use --${given.name} without --remote`);
  }
  for (const local of ["daemon", "pipe"]) {
    if (!isRemote || !args.flag(local)) continue;
    throw new PlasmError("usage", `Cannot use --remote and --${local} together`);
  }
  if (isRemote && args.flag("live") && args.flag("json")) {
    throw new PlasmError("usage", "Cannot use --live and --json together");
  }
  if (args.integer("attempts") === 0) {
    throw new PlasmError("usage", "Cannot use --attempts 0: at least 1 is needed");
  }
}

/** Where a daemon is to run a job; undefined: itself. */
export function targetOf(args: ParsedArgs): JobTarget | undefined {
  if (!args.flag("remote")) return undefined;
  const [peer, arch] = [args.string("peer"), args.string("arch")];
  const [min_memory_mb, attempts] = [args.integer("min-memory"), args.integer("attempts")];
  return {
    ...(peer === undefined ? {} : { peer }),
    ...(arch === undefined ? {} : { arch }),
    ...(min_memory_mb === undefined ? {} : { min_memory_mb }),
    ...(attempts === undefined ? {} : { attempts }),
    ...(args.flag("as-node") ? { as_node: true } : {}),
  };
}
