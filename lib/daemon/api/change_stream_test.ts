import { assertEquals } from "@std/assert";
import { type Fixture, testDaemon } from "../../../tests/fixtures/daemon/harness.ts";
import type { ChangesJson, JobJson } from "../../api/mod.ts";
import { Notifier } from "../../util/mod.ts";
import type { JobStore } from "../store/mod.ts";
import { changeStream } from "./change_stream.ts";

const LOAD: ChangesJson["load"] = {
  queued: 0,
  running: 0,
  concurrency: 1,
  queue_max: 1,
  memory_mb: 0,
  memory_budget_mb: 1,
  executors: 0,
  peers: 0,
};

/** Opens the stream of a daemon and reads its messages. */
async function open({ dir }: Fixture): Promise<{ next(): Promise<ChangesJson> } & AsyncDisposable> {
  const path = `${dir}/plasm.sock`;
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
  const response = await fetch("http://localhost/v1/changes", { client });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  return {
    async next() {
      while (!text.includes("\n\n")) text += (await reader.read()).value!;
      const end = text.indexOf("\n\n");
      const message = JSON.parse(text.slice("data: ".length, end));
      text = text.slice(end + 2);
      return message;
    },
    async [Symbol.asyncDispose]() {
      await reader.cancel();
      client.close();
    },
  };
}

Deno.test("changeStream() sends the load at once, and each job until its end", async () => {
  await using fixture = await testDaemon();
  await using stream = await open(fixture);
  const first = await stream.next();
  assertEquals({ jobs: first.jobs, more: first.more }, { jobs: [], more: false });
  const id = await fixture.submit(["echo"], { stdin: "aGk=" });
  let state: string | undefined;
  while (state !== "finished") {
    const { jobs } = await stream.next();
    assertEquals(jobs.every((job) => job.id === id), true);
    state = jobs.at(-1)?.state ?? state;
  }
});

Deno.test("changeStream() says when more jobs have changed than it sends, and ends with its signal", async () => {
  const changes = new Notifier();
  const stopping = new AbortController();
  let ends = 0;
  const stream = changeStream({
    store: { changes, get: (id: string) => ({ id }) } as unknown as JobStore,
    toJson: (job) => job as unknown as JobJson,
    load: () => LOAD,
    follow: true,
    signal: stopping.signal,
    onEnd: () => ends++,
  });
  const reader = stream.getReader();
  const next = async (): Promise<ChangesJson> =>
    JSON.parse(new TextDecoder().decode((await reader.read()).value).slice("data: ".length));
  assertEquals((await next()).jobs, []);
  for (let n = 0; n < 120; n++) changes.notify(`job_${n % 110}`);
  const many = await next();
  assertEquals({ jobs: many.jobs.length, more: many.more }, { jobs: 100, more: true });
  changes.notify("job_1");
  const one = await next();
  assertEquals({ ids: one.jobs.map(({ id }) => id), more: one.more }, {
    ids: ["job_1"],
    more: false,
  });
  stopping.abort();
  assertEquals((await reader.read()).done, true);
  assertEquals(ends, 1);
});
