/**
 * The command `plasm modules`: lists, fetches and deletes modules of the cache.
 *
 * @module
 */
import { type Hash, isHash } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import {
  type CachedModule,
  moduleCacheDir,
  ModuleStore,
  parseReference,
} from "../../modules/mod.ts";
import { didYouMean, escapeText } from "../../util/mod.ts";
import type { Command, ParsedArgs } from "../command.ts";
import { createClient, fittedTable, NO_TRUNC_OPTION, SOCKET_OPTION } from "../daemon_client.ts";
import type { CliIo } from "../io.ts";
import { readModule } from "../module_source.ts";

const ACTIONS = ["ls", "pull", "rm", "prune"] as const;

type Action = typeof ACTIONS[number];

/** `plasm modules` */
export const modules: Command = {
  spec: {
    name: "modules",
    summary: "List, fetch and delete modules of the cache",
    usage: "[OPTIONS] ls | pull REFERENCE | rm sha256:… … | prune",
    description:
      "Modules of URLs and registries are kept in $XDG_CACHE_HOME/plasm (or ~/.cache/plasm) by their hash. ls " +
      "lists them, pull fetches one and prints its hash, rm deletes some, prune deletes the least recently " +
      "used ones beyond --max-mb.",
    options: [
      {
        name: "max-mb",
        kind: "integer",
        placeholder: "N",
        help: "Keep at most N MB of modules when pruning (default 4295)",
        actions: ["prune"],
      },
      {
        name: "daemon",
        kind: "flag",
        help: "Have the daemon pull, from the servers in its modules.hosts",
        actions: ["pull"],
      },
      { ...SOCKET_OPTION, actions: ["pull"] },
      NO_TRUNC_OPTION,
    ],
    positionals: { min: 1, max: 1000, complete: ACTIONS },
    examples: [
      { call: "plasm modules ls", does: "List the cached modules" },
      {
        call: "plasm modules pull oci://ghcr.io/example/tool:1.2",
        does: "Fetch a module, so that plasm exec --offline can run it",
      },
      { call: "plasm modules prune --max-mb 0", does: "Empty the cache" },
    ],
  },
  drops: (args) => args.positionals[0] === "pull" ? ["run", "sys"] : ["net", "run", "sys"],
  async run(args, io): Promise<number> {
    const [name = "", ...rest] = args.positionals;
    const action = ACTIONS.find((known) => known === name);
    if (action === undefined) {
      throw new PlasmError("usage", `Cannot run plasm modules ${escapeText(name)}`, {
        hint: didYouMean(name, ACTIONS) ?? `Use one of ${ACTIONS.join(", ")}`,
      });
    }
    return await RUN[action](rest, { args, io });
  },
};

interface Context {
  args: ParsedArgs;
  io: CliIo;
}

const RUN: Record<Action, (rest: readonly string[], context: Context) => Promise<number>> = {
  async ls(rest, { args, io }) {
    checkCount(rest, 0);
    await printModules(await cacheOf(io).list(), { args, io });
    return 0;
  },
  async pull(rest, { args, io }) {
    checkCount(rest, 1);
    const { kind } = parseReference(rest[0]!);
    if (kind === "file" || kind === "stdin") {
      throw new PlasmError("usage", `Cannot pull ${escapeText(rest[0]!)}: it is no URL`, {
        hint: "Use https://… or oci://…; plasm exec reads files where they are",
      });
    }
    if (args.flag("socket") && !args.flag("daemon")) {
      throw new PlasmError("usage", "Cannot use --socket without --daemon");
    }
    if (args.flag("daemon")) {
      const client = await createClient(args, io);
      try {
        const digest = await client.fetchModule(rest[0]!, { signal: io.signal });
        await io.write(args.flag("json") ? `${JSON.stringify({ digest })}\n` : `${digest}\n`);
        return 0;
      } finally {
        client[Symbol.dispose]();
      }
    }
    const { moduleHash, module } = await readModule(args.withPositionals(rest), { io });
    await io.write(
      args.flag("json")
        ? `${JSON.stringify({ digest: moduleHash, bytes: module.length })}\n`
        : `${moduleHash}\n`,
    );
    return 0;
  },
  async rm(rest, { io }) {
    if (rest.length === 0) throw missing("a hash to delete");
    const digests: Hash[] = rest.map((text) => {
      if (isHash(text)) return text;
      throw new PlasmError("usage", `Cannot delete ${escapeText(text)}: it is no hash`, {
        hint: "Name it as plasm modules ls does: sha256:…",
      });
    });
    const cache = cacheOf(io);
    for (const digest of digests) {
      if (!await cache.remove(digest)) {
        throw new PlasmError("not-found", `Cannot delete ${digest}: it is not in the cache`);
      }
    }
    return 0;
  },
  async prune(rest, { args, io }) {
    checkCount(rest, 0);
    const megabytes = args.integer("max-mb");
    const deleted = await cacheOf(io).prune(
      megabytes === undefined ? {} : { maxBytes: megabytes * 1e6 },
    );
    await printModules(deleted, { args, io });
    return 0;
  },
};

function cacheOf(io: CliIo): ModuleStore {
  return new ModuleStore(moduleCacheDir((name) => io.env(name)));
}

function checkCount(rest: readonly string[], count: number): void {
  if (rest.length < count) throw missing("a reference");
  if (rest.length > count) {
    throw new PlasmError("usage", `Cannot use ${escapeText(rest[count]!)}: too many arguments`);
  }
}

function missing(what: string): PlasmError {
  return new PlasmError("usage", `Cannot run plasm modules: ${what} is missing`, {
    hint: "Run plasm modules --help",
  });
}

async function printModules(
  list: readonly CachedModule[],
  { args, io }: Context,
): Promise<void> {
  const text = args.flag("json")
    ? `${
      JSON.stringify(list.map(({ digest, bytes, usedAt, references }) => ({
        digest,
        bytes,
        used_at: new Date(usedAt).toISOString(),
        references,
      })))
    }\n`
    : fittedTable(
      list.map(({ digest, bytes, usedAt, references }) => [
        digest,
        `${(bytes / 1e6).toFixed(1)} MB`.padStart(9),
        new Date(usedAt).toISOString().slice(0, 10),
        references.map((reference) => escapeText(reference)).join(" "),
      ]),
      { args, io },
    );
  if (text !== "") await io.write(text);
}
