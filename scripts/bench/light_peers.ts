/**
 * Runs many nodes of a network in one process. They have every service of a daemon's network, publish capabilities and
 * accept jobs, but only reverse the input of a job instead of running it.
 *
 * @module
 */
import { createNetwork } from "../../lib/p2p/network.ts";
import { serveJobs } from "../../lib/remote/libp2p/network_binding.ts";
import { JobServer } from "../../lib/remote/server/serve.ts";
import { localRuntime } from "../../lib/sandbox/receipt_fields.ts";
import { FIELDS } from "../../tests/fixtures/p2p/identities.ts";
import { FakeHost } from "../../tests/fixtures/remote/fake_host.ts";
import { forEachLimited } from "../../lib/util/async/mod.ts";
import { POLICY } from "../../tests/fixtures/remote/test_node.ts";

/** Connections of one address a second: all nodes of a bench have the same one. */
const INBOUND_PER_SECOND = 1000;

/** Nodes that start at the same time. */
const STARTS_AT_ONCE = 4;

/** Nodes in another process; disposal stops them. */
export interface LightPeers extends AsyncDisposable {
  readonly pid: number;
}

/** Starts nodes in a process and waits until all of them can be found. */
export async function startLightPeers(count: number, bootstrap: string): Promise<LightPeers> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--unstable-net", "-P=test", import.meta.url],
      ...[String(count), bootstrap],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  const { done } = await reader.read();
  await reader.cancel();
  const stop = async (): Promise<void> => {
    try {
      child.kill("SIGKILL");
    } catch {
      // Already exited.
    }
    await child.status;
  };
  if (!done) return { pid: child.pid, [Symbol.asyncDispose]: stop };
  await stop();
  throw new Error("The light peers did not start");
}

/** Starts a node and waits until its records are stored. */
async function startNode(bootstrap: string): Promise<void> {
  const host = await FakeHost.create();
  const provided = Promise.withResolvers<void>();
  const node = await createNetwork({
    identity: host.identity,
    listen: ["/ip4/127.0.0.1/tcp/0"],
    bootstrap: [bootstrap],
    limits: { inboundPerSecond: INBOUND_PER_SECOND },
    log: ({ event, error_code }) =>
      event === "provide" && error_code === undefined && provided.resolve(),
  });
  await serveJobs(node, new JobServer({ host, policy: () => POLICY, log: () => {} }));
  await node.publish({ ...FIELDS, runtime: localRuntime() });
  await provided.promise;
}

if (import.meta.main) {
  const [count, bootstrap] = Deno.args;
  const addresses = Array<string>(Number(count)).fill(bootstrap!);
  await forEachLimited(addresses, { limit: STARTS_AT_ONCE, task: startNode });
  console.log("ready");
}
