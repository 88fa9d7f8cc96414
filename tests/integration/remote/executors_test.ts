import { assertEquals } from "@std/assert";
import { jobDialer } from "../../../lib/remote/libp2p/network_binding.ts";
import { runOnPeers } from "../../../lib/remote/client/run_on_peers.ts";
import { ExecutorPool } from "../../../lib/sandbox/host/pool.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { makeJob } from "../../fixtures/remote/bench.ts";
import { candidatesOf, HELLO, textOf, withRealNode } from "../../fixtures/remote/real_node.ts";

/** Tells the process of each executor that is given to a job. */
function watchExecutors(): Disposable & { pids: number[] } {
  const { acquire } = ExecutorPool.prototype;
  const pids: number[] = [];
  ExecutorPool.prototype.acquire = async function (options) {
    const executor = await acquire.call(this, options);
    pids.push(executor.pid);
    return executor;
  };
  return { pids, [Symbol.dispose]: () => void (ExecutorPool.prototype.acquire = acquire) };
}

Deno.test(
  "jobs of different peers never share an executor, also where one serves many jobs",
  LIBP2P,
  () =>
    withRealNode(async ({ net, bootstrap, forgotten }) => {
      using watched = watchExecutors();
      const clients = [await net.startClient({ bootstrap }), await net.startClient({ bootstrap })];
      const job = await makeJob({ module: HELLO });
      // In turns, so that an executor of the one is idle when the other's job comes.
      for (let turn = 0; turn < 3; turn++) {
        for (const client of clients) {
          const dial = jobDialer(client);
          const candidates = candidatesOf(client);
          const { output, receipt } = await runOnPeers(job, { dial, candidates });
          assertEquals(await textOf(output.read("stdout")), "dlroW ,olleH");
          await forgotten(receipt.job_id);
        }
      }
      const [a, b, ...later] = watched.pids;
      assertEquals(new Set([a, b]).size, 2);
      assertEquals(later, [a, b, a, b]);
    }, { "jobs.executor_sharing": "submitter" }),
);
