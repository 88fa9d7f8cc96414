/**
 * Runs a node as a separate process: a daemon in the network, and a peer that accepts raw bytes over the same
 * transports as the baseline.
 *
 * @module
 */
import { connectDaemon } from "../../lib/client/mod.ts";

/** Reads bytes to the end, discards them and responds with one byte. */
export const SINK_PROTOCOL = "/plasm/bench-sink/1.0.0";

/** Transport of the client's connection. */
export type TransportName = "tcp" | "quic";

const LISTEN = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/noise"];

/** Limits above the largest module's transfer. */
const BYTES = 2 ** 30;

/** Message from the process when it is ready. */
interface Ready {
  socket: string;
  peerId: string;
  addresses: string[];
  sinkPeerId: string;
  sinkAddresses: string[];
}

/** Node process, as seen by the bench. */
export class BenchNode implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #ready: Ready;
  readonly #dir: string;

  private constructor(child: Deno.ChildProcess, ready: Ready, dir: string) {
    this.#child = child;
    this.#ready = ready;
    this.#dir = dir;
  }

  /** Starts a node. */
  static async start(): Promise<BenchNode> {
    const dir = await Deno.makeTempDir({ prefix: "pl" });
    const permissions = ["read", "write", "net", "env", "sys", "run"].map((name) =>
      `--allow-${name}`
    );
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--unstable-net", ...permissions, import.meta.url, dir],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    let text = "";
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    while (!text.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`Node exited: ${text}`);
      text += value;
    }
    await reader.cancel(); // no further output
    return new BenchNode(child, JSON.parse(text), dir);
  }

  /** Socket of the daemon's local API. */
  get socket(): string {
    return this.#ready.socket;
  }

  /** Peer id of the daemon. */
  get peerId(): string {
    return this.#ready.peerId;
  }

  /** Peer id of the sink for raw bytes. */
  get sinkPeerId(): string {
    return this.#ready.sinkPeerId;
  }

  /** Multiaddr of the daemon. */
  address(transport: TransportName): string {
    return pick(this.#ready.addresses, transport);
  }

  /** Multiaddr of the sink. */
  sinkAddress(transport: TransportName): string {
    return pick(this.#ready.sinkAddresses, transport);
  }

  /** Resident memory of the process, in bytes. */
  async rss(): Promise<number> {
    using client = connectDaemon({ socket: this.socket });
    const found = /^process_resident_memory_bytes (\S+)$/m.exec(await client.metrics());
    return Number(found?.[1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
    await Deno.remove(this.#dir, { recursive: true });
  }
}

function pick(addresses: readonly string[], transport: TransportName): string {
  const part = transport === "tcp" ? "/tcp/" : "/udp/";
  return addresses.find((address) => address.includes(part))!;
}

async function main(dir: string): Promise<void> {
  const { defaultConfig } = await import("../../lib/config/mod.ts");
  const { startDaemon } = await import("../../lib/daemon/daemon.ts");
  const { joinPeerNetwork } = await import("../../lib/daemon/peers/peer_network.ts");
  const { ephemeralIdentity } = await import("../../lib/core/identity.ts");
  const { createNetwork } = await import("../../lib/p2p/network.ts");
  const { byteStreamOf } = await import("../../lib/remote/libp2p/network_binding.ts");
  const config = defaultConfig();
  config.state_dir = `${dir}/state`;
  config.socket = `${dir}/plasm.sock`;
  config.log.level = "error";
  config.network.enabled = true;
  config.network.listen = LISTEN;
  config.network.policy.bytes_per_peer = 4 * BYTES;
  config.jobs.ceilings.module_bytes = BYTES;
  config.jobs.ceilings.output_bytes = BYTES;
  config.cache.max_bytes = 4 * BYTES;
  config.jobs.warm_executors = 2;
  // Same as for local jobs: without it each job waits for a process to start.
  config.jobs.executor_sharing = "submitter";
  let addresses: string[] = [];
  const daemon = await startDaemon(config, {
    network: async (context) => {
      const network = await joinPeerNetwork(context);
      addresses = network.status().addresses as string[];
      return network;
    },
  });
  const sink = await createNetwork({ identity: await ephemeralIdentity(), listen: LISTEN });
  await sink.handle(SINK_PROTOCOL, async (stream) => {
    const duplex = byteStreamOf(stream);
    while (await duplex.read() !== null);
    await duplex.write(new Uint8Array(1));
    await duplex.close();
  });
  Deno.addSignalListener("SIGTERM", async () => {
    await sink.stop();
    await daemon[Symbol.asyncDispose]();
    Deno.exit(0); // libp2p keeps the event loop alive
  });
  const ready: Ready = {
    socket: daemon.socket,
    peerId: daemon.identity.peerId,
    addresses,
    sinkPeerId: sink.peerId,
    sinkAddresses: sink.addresses(),
  };
  console.log(JSON.stringify(ready));
}

if (import.meta.main) await main(Deno.args[0]!);
