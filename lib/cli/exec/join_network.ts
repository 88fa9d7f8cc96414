/**
 * Joins the peer network for one command, as a client that does not listen.
 *
 * @module
 */
import { type Config, loadConfig } from "../../config/mod.ts";
import {
  ephemeralIdentity,
  type Identity,
  loadOrCreateIdentity,
  stateDir,
} from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import type { ParsedArgs } from "../command.ts";
import type { CliIo } from "../io.ts";

/** Directory of the client's peer store and reputations, below the state directory. */
const CLIENT_DIR = "client";

/** Creates the client's directory. Returns `undefined` if that fails: the network works without it. */
export async function clientDir(io: CliIo): Promise<string | undefined> {
  try {
    const dir = `${stateDir((name) => io.env(name))}/${CLIENT_DIR}`;
    await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
    return dir;
  } catch {
    return undefined;
  }
}

/** Time limit of the request for the daemon's addresses, in milliseconds. */
const DAEMON_TIMEOUT_MS = 2000;

/** Addresses of this machine's daemon and of its bootstrap nodes; none if it is not on a network or does not respond. */
async function daemonAddresses(args: ParsedArgs, io: CliIo): Promise<string[]> {
  const { connectDaemon } = await import("../../client/mod.ts");
  try {
    using client = connectDaemon({ socket: args.string("socket"), env: (name) => io.env(name) });
    const signal = AbortSignal.any([io.signal, AbortSignal.timeout(DAEMON_TIMEOUT_MS)]);
    const node = await client.node({ signal });
    const { addresses, bootstrap } = node.network as unknown as {
      addresses: string[];
      bootstrap: { address: string }[];
    };
    return [...addresses, ...bootstrap.map(({ address }) => address)];
  } catch {
    return []; // reported as a missing bootstrap node
  }
}

/** Nodes to join through: of the command line, else of the configuration, else those that the daemon knows. */
export async function bootstrapAddresses(
  args: ParsedArgs,
  { io, configured }: { io: CliIo; configured: readonly string[] },
): Promise<readonly string[]> {
  const given = args.strings("bootstrap");
  if (given.length > 0) return given;
  return configured.length > 0 ? configured : await daemonAddresses(args, io);
}

/** Reads the configuration of the network: the user's, not the daemon's. */
export async function networkConfig(io: CliIo): Promise<Config["network"]> {
  const { config } = await loadConfig({ env: (name) => io.env(name), system: false });
  return config.network;
}

/** Key that nodes see. With a fresh key they cannot identify the client or link its runs. */
export async function clientIdentity(args: ParsedArgs, io: CliIo): Promise<Identity> {
  return args.flag("as-node")
    ? await loadOrCreateIdentity(stateDir((name) => io.env(name)))
    : await ephemeralIdentity();
}

/** Options of {@linkcode joinAsClient}. */
export interface JoinAsClientOptions {
  io: CliIo;
  /** Key that nodes see. @default {clientIdentity()} */
  identity?: Identity | undefined;
  /** Called with the peer id of each node that has answered a search. @default {none} */
  onSeen?: ((peerId: string) => void) | undefined;
}

/**
 * Joins the network.
 *
 * @throws {PlasmError} `usage` if there is no node to join through; `bad-config`
 */
export async function joinAsClient(
  args: ParsedArgs,
  { io, identity, onSeen }: JoinAsClientOptions,
): Promise<PlasmNetwork> {
  const network = await networkConfig(io);
  const bootstrap = await bootstrapAddresses(args, { io, configured: network.bootstrap });
  if (bootstrap.length === 0 && !network.mdns && !args.string("peer")?.startsWith("/")) {
    throw new PlasmError("usage", "Cannot find nodes: no bootstrap node is known", {
      hint:
        "Use --bootstrap ADDR, start a daemon that has joined a network, or set network.bootstrap in " +
        "~/.config/plasm/config.jsonc",
    });
  }
  // Most of libp2p, which known nodes do not need.
  const { createNetwork } = await import("../../p2p/mod.ts");
  return await createNetwork({
    identity: identity ?? await clientIdentity(args, io),
    bootstrap,
    mode: "client",
    mdns: network.mdns,
    privateAddresses: network.private_addresses,
    allow: network.allow,
    deny: network.deny,
    stateDir: await clientDir(io),
    log: ({ event, peer_id }) => {
      if (event === "capability-seen" && peer_id !== undefined) onSeen?.(peer_id);
    },
  });
}
