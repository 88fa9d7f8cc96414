/**
 * Measures a small job through `plasm mcp`, beside the same job through the daemon.
 * @module
 */
import { Client } from "@modelcontextprotocol/client";
import { connectDaemon } from "../../lib/client/mod.ts";
import { sha256 } from "../../lib/core/mod.ts";
import { ChildTransport } from "../../tests/fixtures/mcp_transport.ts";
import { spawnPlasm } from "../../tests/fixtures/plasm.ts";
import { plasmCommand, startNodeProcess } from "./node_process.ts";
import { type BenchSection, median } from "./row.ts";

/** Jobs before the measurement, so that hot code is compiled. */
const WARM_UP = 300;

/** Jobs of each kind, in turns. */
const JOBS = 500;

const HELLO = new URL("../../examples/hello/", import.meta.url).pathname;

/** Section `mcp`. */
export const mcp: BenchSection = async function* ({ binary, signal }) {
  const dir = await Deno.makeTempDir({ prefix: "pl" });
  const module = await Deno.readFile(`${HELLO}hello.wasm`);
  const hash = await sha256(module);
  const text = "Hello, World";
  const stdin = new TextEncoder().encode(text);
  try {
    const set = { "network.enabled": "false", "jobs.executor_sharing": "submitter" };
    await using node = await startNodeProcess({ dir, binary, set });
    using client = connectDaemon({ socket: node.socket });
    await client.putModule(module);
    const { program, args } = plasmCommand(binary);
    const server = new Client({ name: "bench", version: "1" });
    await server.connect(
      new ChildTransport(spawnPlasm(["mcp", "--dir", HELLO], {
        program: [program, ...args],
        env: { PLASM_STATE_DIR: `${dir}/mcp` },
      })),
    );
    const byDaemon = async (): Promise<void> => {
      const { job } = await client.run(hash, { stdin });
      if (job.exit_code !== 0) throw new Error("hello failed");
    };
    const byServer = async (): Promise<void> => {
      const job = { module: "hello.wasm", stdin: text };
      const { structuredContent } = await server.callTool({ name: "run_module", arguments: job });
      if ((structuredContent as { exit_code: number }).exit_code !== 0) throw new Error("failed");
    };
    const timed = async (work: () => Promise<void>): Promise<number> => {
      const begin = performance.now();
      await work();
      return performance.now() - begin;
    };
    const [daemon, agent]: [number[], number[]] = [[], []];
    for (let n = 0; n < WARM_UP + JOBS && !signal.aborted; n++) {
      const [one, other] = [await timed(byDaemon), await timed(byServer)];
      if (n < WARM_UP) continue;
      daemon.push(one);
      agent.push(other);
    }
    await server.close();
    const [against, measured] = [median(daemon), median(agent)];
    yield {
      what: "hello by run_module, p50",
      measured: `${measured.toFixed(2)} ms`,
      against: `by the daemon ${against.toFixed(2)} ms`,
      ratio: measured / against,
      goal: "≤ 1.5",
    };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
};
