/**
 * How much a daemon bears: jobs a second and latencies, with the real sandbox, as anyone can run it.
 *
 * `deno task bench:daemon [JOBS]`
 * @module
 */
import { connectDaemon } from "../lib/client/mod.ts";
import { defaultConfig } from "../lib/config/mod.ts";
import { startDaemon } from "../lib/daemon/daemon.ts";
import { command, SPIN, write } from "../lib/sandbox/testing.ts";

const JOBS = Number(Deno.args[0] ?? 200);

/** Clients at once. */
const CLIENTS = 16;

function percentiles(values: number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): string => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return `${value.toFixed(1)} ms`;
  };
  return `p50 ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)}`;
}

/** Runs `count` times `work`, `CLIENTS` at once, and prints what it took. */
async function measure(name: string, count: number, work: () => Promise<unknown>): Promise<void> {
  const times: number[] = [];
  let left = count;
  const begin = performance.now();
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    while (left-- > 0) {
      const start = performance.now();
      await work();
      times.push(performance.now() - start);
    }
  }));
  const seconds = (performance.now() - begin) / 1000;
  console.log(
    `${name}: ${count} in ${seconds.toFixed(2)} s, ${(count / seconds).toFixed(0)}/s, ${
      percentiles(times)
    }`,
  );
}

const dir = await Deno.makeTempDir({ prefix: "pl" });
try {
  for (const sharing of ["never", "submitter"] as const) {
    const config = defaultConfig();
    config.state_dir = `${dir}/${sharing}`;
    config.socket = `${dir}/plasm.sock`;
    config.jobs.queue_max = 100_000;
    config.jobs.warm_executors = 2;
    config.jobs.executor_sharing = sharing;
    await using daemon = await startDaemon(config);
    using client = connectDaemon({ socket: daemon.socket });
    console.log(
      `executor_sharing ${sharing}, ${navigator.hardwareConcurrency} cores, deno ${Deno.version.deno}`,
    );
    const module = await Deno.readFile(new URL("../examples/hello/hello.wasm", import.meta.url));
    const stdin = new TextEncoder().encode("Hello, World");
    await client.putModule(module);
    await measure("  requests (GET /ready)", JOBS * 10, () => client.ready());
    await measure("  job to verified end", JOBS, async () => {
      const { id } = await client.submit(module, { stdin });
      await client.result(id);
    });
    await measure("  submission only", JOBS * 5, () => client.submit(module, { stdin }));
    const spin = await command(`${write(1, 1)} ${SPIN}`);
    const { id } = await client.submit(spin, { submitter: "other" });
    for await (const { type } of client.events(id)) if (type === "stdout") break;
    const begin = performance.now();
    await client.cancel(id);
    console.log(`  cancel of a spinning job: ${(performance.now() - begin).toFixed(1)} ms`);
    const { rss } = Deno.memoryUsage();
    console.log(`  resident memory: ${(rss / 2 ** 20).toFixed(0)} MiB`);
  }
} finally {
  await Deno.remove(dir, { recursive: true });
}
