import { assertEquals, assertGreater, assertRejects } from "@std/assert";
import type { Config } from "../../lib/config/mod.ts";
import { startDaemon } from "../../lib/daemon/daemon.ts";
import { joinNetwork } from "../../lib/daemon/join_network.ts";
import { PlasmError } from "../../lib/errors.ts";
import { jobDialer, remoteCandidate } from "../../lib/protocol/network.ts";
import type { RemoteCandidate } from "../../lib/protocol/request_types.ts";
import { runRemote } from "../../lib/protocol/request.ts";
import type { PlasmNetwork } from "../../lib/network/network.ts";
import { testConfig } from "../daemon/harness.ts";
import { LIBP2P, TestNet } from "../network/helpers.ts";
import { makeJob } from "./bench.ts";

const HELLO = await Deno.readFile("examples/hello/hello.wasm");

/** A real daemon on loopback, in a directory of its own. */
async function daemonIn(
  dir: string,
  bootstrap: string[],
  change: (config: Config) => void = () => {},
) {
  const config = testConfig(dir, {
    "network.enabled": true,
    "network.listen": ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic"],
    "network.bootstrap": bootstrap,
    "jobs.warm_executors": 1,
  });
  change(config);
  return await startDaemon(config, { network: joinNetwork });
}

async function* candidatesOf(network: PlasmNetwork): AsyncGenerator<RemoteCandidate> {
  for await (const candidate of network.discover({})) yield remoteCandidate(candidate);
}

async function textOf(output: AsyncIterable<Uint8Array>): Promise<string> {
  const parts = await Array.fromAsync(output);
  return await new Blob(parts as Uint8Array<ArrayBuffer>[]).text();
}

Deno.test("runRemote() finds a daemon in the DHT and runs a job there", LIBP2P, async () => {
  const dir = await Deno.makeTempDir({ prefix: "pl" });
  try {
    await using net = new TestNet();
    const boot = await net.start();
    await using daemon = await daemonIn(dir, boot.addresses());
    const client = await net.startClient({ bootstrap: boot.addresses() });
    const job = await makeJob({ module: HELLO });
    const result = await runRemote(job, {
      dial: jobDialer(client),
      candidates: candidatesOf(client),
    });
    assertEquals(await textOf(result.output.read("stdout")), "dlroW ,olleH");
    assertEquals(result.receipt.node.peer_id, daemon.identity.peerId);
    assertEquals([result.receipt.status, result.receipt.exit_code], ["exited", 0]);
    assertGreater(result.attempts[0]!.sentBytes, HELLO.length);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("a node's ceilings and policy win, with figures", LIBP2P, async () => {
  const dir = await Deno.makeTempDir({ prefix: "pl" });
  try {
    await using net = new TestNet();
    const boot = await net.start();
    await using _daemon = await daemonIn(dir, boot.addresses(), (config) => {
      config.network.policy.ceilings.memory_mb = 64;
    });
    const client = await net.startClient({ bootstrap: boot.addresses() });
    const error = await assertRejects(
      async () =>
        await runRemote(await makeJob({ module: HELLO, resources: { memory_mb: 128 } }), {
          dial: jobDialer(client),
          candidates: candidatesOf(client),
          attempts: 1,
        }),
      PlasmError,
    );
    assertEquals([error.code, error.details["asked"], error.details["allowed"]], [
      "over-limit",
      128,
      64,
    ]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
