/**
 * The network as a command joins it: to ask, not to serve.
 * @module
 */
import { loadConfig } from "../config/mod.ts";
import { ephemeralIdentity, loadOrCreateIdentity, stateDir } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { createNetwork, type PlasmNetwork } from "../p2p/mod.ts";
import type { ParsedArgs } from "./command.ts";
import type { CliIo } from "./io.ts";

/** Where a client keeps the peers it has met, and how they behaved, below the state directory. */
const CLIENT_DIR = "client";

/** Makes the client's directory; without one nothing is remembered, which is no reason not to run. */
async function clientDir(io: CliIo): Promise<string | undefined> {
  try {
    const dir = `${stateDir((name) => io.env(name))}/${CLIENT_DIR}`;
    await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
    return dir;
  } catch {
    return undefined;
  }
}

/**
 * Joins the network as a client: it listens nowhere and answers nobody.
 *
 * @throws {PlasmError} `usage` where there is no way in; `bad-config`
 */
export async function joinAsClient(args: ParsedArgs, io: CliIo): Promise<PlasmNetwork> {
  const env = (name: string): string | undefined => io.env(name);
  const { config: { network } } = await loadConfig({ env });
  const given = args.strings("bootstrap");
  const bootstrap = given.length > 0 ? given : network.bootstrap;
  if (bootstrap.length === 0 && !network.mdns && !args.string("peer")?.startsWith("/")) {
    throw new PlasmError("usage", "Cannot find nodes: no bootstrap node is known", {
      hint: "Give --bootstrap ADDR, or set network.bootstrap in the configuration",
    });
  }
  return await createNetwork({
    identity: args.flag("as-node")
      ? await loadOrCreateIdentity(stateDir(env))
      // Whoever runs the job learns nothing of who asked, and cannot tell two runs to be of one.
      : await ephemeralIdentity(),
    bootstrap,
    mode: "client",
    mdns: network.mdns,
    allow: network.allow,
    deny: network.deny,
    stateDir: await clientDir(io),
  });
}
