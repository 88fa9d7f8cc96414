/**
 * Runs local users' jobs on peers: discovery, transfer and verification.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { ephemeralIdentity } from "../../core/mod.ts";
import { createNetwork, type PlasmNetwork } from "../../p2p/mod.ts";
import { bytesSource, runOnPeers } from "../../remote/client/mod.ts";
import { findCandidates, jobDialer } from "../../remote/libp2p/mod.ts";
import type { ByteStream } from "../../remote/wire/mod.ts";
import type { RunOnPeer } from "../jobs/mod.ts";

/** Output where the manifest does not say less, in bytes. */
const MAX_OUTPUT_BYTES = 2 ** 30;

/** Aborts when another signal does, with an error as its reason, as the protocol wants it. */
function interruptedBy(stop: AbortSignal): AbortSignal {
  const interrupted = new AbortController();
  const onStop = (): void =>
    interrupted.abort(new PlasmError("interrupted", "The job was cancelled"));
  if (stop.aborted) onStop();
  else stop.addEventListener("abort", onStop, { once: true });
  return interrupted.signal;
}

/** Runs jobs on nodes of a network. Output is given once it is verified. */
export function peerRunner(network: PlasmNetwork, lists: () => PeerLists): RunOnPeer {
  return async function* ({ manifest, nonce, target }, { module, stdin, inputs, signal: stop }) {
    const signal = interruptedBy(stop);
    const sources = new Map(
      await Promise.all(
        Object.values(inputs).filter((data) => data.length > 0).map(async (data) => {
          const source = await bytesSource(data);
          return [source.hash, source] as const;
        }),
      ),
    );
    await using anonymous = new AnonymousClient(network, lists());
    const { resources } = manifest;
    const { peer, arch, min_memory_mb: minMemoryMb, attempts } = target;
    const { receipt, message, output } = await runOnPeers({
      manifest,
      module: await bytesSource(module),
      stdin: await bytesSource(stdin),
      inputs: [...sources.values()],
    }, {
      dial: target.as_node ? jobDialer(network) : (...to) => anonymous.dial(...to),
      candidates: findCandidates(network, { peer, arch, minMemoryMb, attempts, resources, signal }),
      isSole: peer !== undefined,
      nonce,
      signal,
      attempts,
      maxOutputBytes: resources.output_bytes ?? MAX_OUTPUT_BYTES,
      noteOutcome: (peerId, outcome) => network.noteOutcome(peerId, outcome),
    });
    using held = output;
    for (const type of ["stderr", "stdout"] as const) {
      for await (const data of held.read(type)) yield { type, data };
    }
    const { status, exit_code: exitCode, usage, started_at, finished_at } = receipt;
    const outcome = {
      status,
      exitCode,
      ...(message === null ? {} : { message }),
      usage: {
        wallTimeMs: usage.wall_time_ms,
        cpuTimeMs: usage.cpu_time_ms,
        memoryPeakBytes: usage.memory_peak_bytes,
      },
      startedAt: Date.parse(started_at),
      finishedAt: Date.parse(finished_at),
    };
    yield { type: "finished", outcome, receipt };
  };
}

/** Not reachable: an outbound-only node. */
const NO_NAT = { autonat: false, relay: false, relayServer: false };

/** Who may be dialled: the node's own lists. */
export interface PeerLists {
  allow: readonly string[];
  deny: readonly string[];
}

/** Separate anonymous libp2p client. */
export class AnonymousClient implements AsyncDisposable {
  readonly #node: PlasmNetwork;
  readonly #lists: PeerLists;
  #own: Promise<PlasmNetwork> | undefined;

  /** @param node Knows where nodes are */
  constructor(node: PlasmNetwork, lists: PeerLists) {
    this.#node = node;
    this.#lists = lists;
  }

  /** Opens a conversation about a job; the first one starts the client. */
  async dial(peerId: string, options: { signal: AbortSignal }): Promise<ByteStream> {
    const own = await (this.#own ??= start(this.#lists));
    await own.noteAddresses(peerId, await this.#node.addressesOf(peerId));
    return await jobDialer(own)(peerId, options);
  }

  /** Closes its connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    // One that did not start has nothing to stop; who dialled was told.
    const own = await this.#own?.catch(() => undefined);
    await own?.stop();
  }
}

async function start({ allow, deny }: PeerLists): Promise<PlasmNetwork> {
  const identity = await ephemeralIdentity();
  return await createNetwork({ identity, mode: "client", nat: NO_NAT, allow, deny });
}
