import { assertEquals } from "@std/assert";
import { jobDialer } from "../../../lib/remote/libp2p/stream_pool.ts";
import { runOnPeers } from "../../../lib/remote/client/run_on_peers.ts";
import { ExecutorPool } from "../../../lib/sandbox/host/pool.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { makeJob } from "../../fixtures/remote/test_node.ts";
import { candidatesOf, HELLO, realNode, textOf } from "../../fixtures/remote/real_node.ts";

/** Records the process id of each acquired executor. */
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
  "jobs of different peers never share an executor when executors are shared by submitter",
  LIBP2P,
  async () => {
    await using node = await realNode({ "jobs.executor_sharing": "submitter" });
    const { net, bootstrap, deleted } = node;
    using watched = watchExecutors();
    const clients = [await net.startClient({ bootstrap }), await net.startClient({ bootstrap })];
    const job = await makeJob({ module: HELLO });
    // Alternate, so that an executor of one client is idle when the job of the other arrives.
    for (let turn = 0; turn < 3; turn++) {
      for (const client of clients) {
        const dial = jobDialer(client);
        const candidates = candidatesOf(client);
        const { output, receipt } = await runOnPeers(job, { dial, candidates });
        assertEquals(await textOf(output.read("stdout")), "dlroW ,olleH");
        await deleted(receipt.run.job_id);
      }
    }
    const [a, b, ...later] = watched.pids;
    assertEquals(new Set([a, b]).size, 2);
    assertEquals(later, [a, b, a, b]);
  },
);
