import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { createManifest, sha256 } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { parseHalt } from "./halt.ts";
import type { MapNode, MapOutput, PlacedJob, PlacedResult } from "./placement.ts";
import { MapScheduler, type SchedulerOptions } from "./scheduler.ts";

const module = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
const moduleHash = await sha256(module);
const job: PlacedJob = {
  module,
  moduleHash,
  manifest: createManifest({ module_hash: moduleHash }),
  stdin: new Uint8Array(),
  inputs: {},
};

/** Counts outputs that are not disposed. */
let live = 0;
let peak = 0;

class CountedOutput implements MapOutput {
  constructor() {
    peak = Math.max(peak, ++live);
  }
  add(): void {}
  addFiles(): void {}
  reset(): void {}
  [Symbol.dispose](): void {
    live--;
  }
}

const success: PlacedResult = {
  outcome: { status: "exited", exitCode: 0 },
  cpuTimeMs: 1,
  sentBytes: 0,
  receivedBytes: 0,
  wasQueued: false,
};

/** A node of a test. */
interface TestNode extends MapNode {
  ran: number;
}

function testNode(
  id: string,
  run: () => Promise<PlacedResult> = () => Promise.resolve(success),
  fields: Partial<MapNode> = {},
): TestNode {
  const node: TestNode = {
    id,
    window: 1,
    maxWindow: 8,
    isOwn: false,
    ran: 0,
    run: async () => {
      node.ran++;
      return await run();
    },
    ...fields,
  };
  return node;
}

function schedule<T>(
  items: Iterable<T>,
  { nodes, ...options }:
    & { nodes: readonly MapNode[] }
    & Partial<SchedulerOptions<T, CountedOutput>>,
): MapScheduler<T, CountedOutput> {
  return new MapScheduler(items, {
    placement: {
      nodes,
      isSearching: false,
      onChange: undefined,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    },
    describe: () => Promise.resolve(job),
    createOutput: () => new CountedOutput(),
    keepOrder: false,
    tries: 1,
    halt: parseHalt("never"),
    isFailure: ({ outcome }) => outcome.exitCode !== 0,
    ...options,
  });
}

function* count(to: number): Generator<number> {
  for (let item = 1; item <= to; item++) yield item;
}

for (const keepOrder of [false, true]) {
  Deno.test(`MapScheduler holds few of 100,000 results, keepOrder ${keepOrder}`, async () => {
    peak = 0;
    const scheduler = schedule(count(100_000), { nodes: [testNode("a")], keepOrder });
    let done = 0;
    for await (const { index, output } of scheduler.results()) {
      done++;
      if (keepOrder) assertEquals(index, done);
      output?.[Symbol.dispose]();
    }
    assertEquals([done, live], [100_000, 0]);
    assert(peak <= 264, `${peak}`);
  });
}

function exposedCollector(): (() => void) | undefined {
  setFlagsFromString("--expose-gc");
  try {
    return runInNewContext("gc");
  } catch {
    return undefined;
  }
}

Deno.test("MapScheduler retains no job whose result has been read", async () => {
  const collect = exposedCollector();
  if (collect === undefined) {
    console.log("skipped: this version of Deno does not expose the garbage collector");
    return;
  }
  const jobs: WeakRef<PlacedJob>[] = [];
  const scheduler = schedule(count(2000), {
    nodes: [testNode("a")],
    describe: () => {
      const own = { ...job };
      jobs.push(new WeakRef(own));
      return Promise.resolve(own);
    },
  });
  let retained = 0;
  for await (const { output, index } of scheduler.results()) {
    output?.[Symbol.dispose]();
    if (index !== 1900) continue;
    // Weak references are released in a turn of their own.
    await new Promise((resolve) => setTimeout(resolve));
    collect();
    retained = jobs.filter((ref) => ref.deref() !== undefined).length;
  }
  assert(retained < 200, `${retained}`);
});

Deno.test("MapScheduler moves the jobs of a node that fails to others", async () => {
  const dead = testNode("dead", () => Promise.reject(new PlasmError("no-peer", "Cannot reach")));
  const good = testNode("good");
  const scheduler = schedule(count(50), { nodes: [dead, good] });
  const results = await Array.fromAsync(scheduler.results());
  for (const { output } of results) output?.[Symbol.dispose]();
  assertEquals(results.filter(({ node }) => node === "good").length, 50);
  assertEquals([scheduler.progress.done, scheduler.progress.failed], [50, 0]);
  assert(dead.ran < 10, `${dead.ran}`);
});

Deno.test("MapScheduler uses a node that returned a false result never again", async () => {
  const liar = testNode("liar", () => Promise.reject(new PlasmError("bad-receipt", "Not true")));
  const scheduler = schedule(count(50), { nodes: [liar, testNode("good")] });
  for await (const { output, error } of scheduler.results()) {
    output?.[Symbol.dispose]();
    assertEquals(error, undefined);
  }
  assertEquals(liar.ran, 1);
});

Deno.test("MapScheduler raises the window of a node that keeps up, and lowers it when the node is busy", async () => {
  let running = 0;
  let most = 0;
  let isBusy = false;
  const node = testNode("a", async () => {
    most = Math.max(most, ++running);
    await new Promise<void>((resolve) => queueMicrotask(resolve));
    running--;
    if (!isBusy) return success;
    isBusy = false;
    throw new PlasmError("busy", "Full", { retryAfterMs: 1 });
  });
  const scheduler = schedule(count(200), { nodes: [node] });
  for await (const { output, index, error } of scheduler.results()) {
    output?.[Symbol.dispose]();
    assertEquals(error, undefined);
    if (index === 150) isBusy = true;
  }
  assert(most > 1 && most <= 8, `${most}`);
  assertEquals(scheduler.nodes[0]?.failures, 0);
});

Deno.test("MapScheduler ends with the last error when no node is left", async () => {
  const refusing = testNode("a", () => Promise.reject(new PlasmError("policy", "Not allowed")));
  const scheduler = schedule(count(5), { nodes: [refusing] });
  const error = await assertRejects(() => Array.fromAsync(scheduler.results()), PlasmError);
  assertEquals(error.code, "policy");
});

Deno.test("MapScheduler ends with the error of a receiver of output, such as a full disk", async () => {
  const full = new PlasmError("state", "Cannot store output: no space left on device");
  const scheduler = schedule(count(5), {
    nodes: [testNode("a")],
    createOutput: () => {
      throw full;
    },
  });
  assertEquals(await assertRejects(() => Array.fromAsync(scheduler.results())), full);
});

Deno.test("MapScheduler starts no job after drain, and yields the results of those that run", async () => {
  const drain = new AbortController();
  const started = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  let isFirst = true;
  const node = testNode("a", async () => {
    if (isFirst) {
      isFirst = false;
      started.resolve();
      await released.promise;
    }
    return success;
  });
  const scheduler = schedule(count(5), { nodes: [node], drain: drain.signal });
  const results = Array.fromAsync(scheduler.results());
  await started.promise;
  drain.abort();
  released.resolve();
  const [result, ...more] = await results;
  result?.output?.[Symbol.dispose]();
  assertEquals([result?.index, more.length, node.ran], [1, 0, 1]);
});

Deno.test("MapScheduler stores a result before a slow reader asks for it", async () => {
  const stored: number[] = [];
  const scheduler = schedule(count(10), {
    nodes: [testNode("a", undefined, { window: 4 })],
    keepOrder: true,
    store: ({ index }) => {
      stored.push(index);
      return Promise.resolve();
    },
  });
  const results = scheduler.results();
  const first = await results.next();
  while (stored.length < 10) await new Promise((resolve) => setTimeout(resolve));
  assertEquals(stored.toSorted((a, b) => a - b), [...count(10)]);
  if (!first.done) first.value.output?.[Symbol.dispose]();
  await results.return();
  assertEquals(live, 0);
});

Deno.test("MapScheduler runs a copy of a slow idempotent job on an idle node, and takes the first result", async () => {
  const slow = testNode("slow", () => new Promise(() => {}), {
    run: (_, { signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(new PlasmError("interrupted", "Stopped")));
      }),
  });
  const idempotent = { ...job, manifest: { ...job.manifest, idempotent: true } };
  const scheduler = schedule(count(2), {
    nodes: [slow, testNode("fast")],
    describe: () => Promise.resolve(idempotent),
  });
  const results = await Array.fromAsync(scheduler.results());
  for (const { output } of results) output?.[Symbol.dispose]();
  assertEquals(results.map(({ node, error }) => [node, error]), [
    ["fast", undefined],
    ["fast", undefined],
  ]);
  assertEquals([scheduler.progress.done, live], [2, 0]);
});
