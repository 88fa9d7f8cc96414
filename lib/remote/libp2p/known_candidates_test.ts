import { assertEquals, assertRejects } from "@std/assert";
import { FIELDS } from "../../../tests/fixtures/p2p/identities.ts";
import type { DialedNode } from "../../p2p/dialer/mod.ts";
import { askKnownNodes } from "./known_candidates.ts";

const JOB = {
  resources: { memory_mb: 128, timeout_seconds: 10, cpu_cores: 1 },
  module: { read: () => Uint8Array.fromHex("0061736d01000000") },
};

/** Dialer whose nodes answer, fail or stay silent, as their names say. */
class FakeDialer {
  readonly asked: string[] = [];

  addAddresses(): Promise<void> {
    return Promise.resolve();
  }

  async query(peerId: string, { signal }: { signal: AbortSignal }): Promise<DialedNode> {
    this.asked.push(peerId);
    signal.throwIfAborted();
    if (peerId.startsWith("bad")) throw new Error("Connection refused");
    if (peerId.startsWith("mute")) {
      await new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    }
    return { peerId, capability: FIELDS as DialedNode["capability"] };
  }
}

function nodes(...names: string[]) {
  return names.map((peerId) => ({ peerId, addresses: ["/ip4/192.0.2.1/tcp/1"] }));
}

async function ask(...names: string[]) {
  const dialer = new FakeDialer();
  const failed: string[] = [];
  const { signal } = new AbortController();
  const options = { nodes: nodes(...names), ...JOB, signal };
  const found = askKnownNodes(dialer, { ...options, onFailed: (id) => void failed.push(id) });
  const yielded = (await Array.fromAsync(found)).map(({ peerId }) => peerId);
  return { asked: dialer.asked, failed, yielded };
}

Deno.test("askKnownNodes() asks the next node only when it is needed", async () => {
  const dialer = new FakeDialer();
  const { signal } = new AbortController();
  const options = { nodes: nodes("a", "b", "c"), ...JOB, signal };
  const found = askKnownNodes(dialer, options);
  assertEquals((await found.next()).value?.peerId, "a");
  assertEquals(dialer.asked, ["a"]);
  assertEquals((await found.next()).value?.peerId, "b");
  await found.return(undefined);
  assertEquals(dialer.asked, ["a", "b"]);
});

Deno.test("askKnownNodes() passes over nodes that fail or are silent, and asks four at most", async () => {
  assertEquals(await ask("bad 1", "a", "bad 2", "b", "c"), {
    asked: ["bad 1", "a", "bad 2", "b"],
    failed: ["bad 1", "bad 2"],
    yielded: ["a", "b"],
  });
  assertEquals(await ask("mute", "a"), { asked: ["mute", "a"], failed: [], yielded: ["a"] });
  assertEquals(await ask("bad"), { asked: ["bad"], failed: ["bad"], yielded: [] });
  assertEquals(await ask(), { asked: [], failed: [], yielded: [] });
});

Deno.test("askKnownNodes() throws the signal's reason and stops its dials", async () => {
  const stop = new AbortController();
  const options = { nodes: nodes("mute"), ...JOB, signal: stop.signal };
  const next = askKnownNodes(new FakeDialer(), options).next();
  stop.abort(new Error("Stopped"));
  await assertRejects(() => next, Error, "Stopped");
});
