/**
 * Finds nodes by the version of WASI that a module needs.
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { DEFAULT_RESOURCES } from "../../../lib/core/manifest.ts";
import { bytesSource } from "../../../lib/remote/client/remote_job.ts";
import { findCandidates } from "../../../lib/remote/libp2p/network_binding.ts";
import { FIELDS } from "../../fixtures/p2p/identities.ts";
import { addressOf, LIBP2P, Recorder, TestNet } from "../../fixtures/p2p/nodes.ts";
import { HELLO, realNode } from "../../fixtures/remote/real_node.ts";

const COMPONENT = await Deno.readFile(
  new URL("../../fixtures/components/hello.wasm", import.meta.url),
);

Deno.test(
  "findCandidates() finds for a component only nodes that run WASI 0.2",
  LIBP2P,
  async () => {
    await using net = new TestNet();
    const boot = await net.start();
    const bootstrap = [addressOf(boot, "tcp")];
    const publish = async (wasi: string[]) => {
      const seen = new Recorder();
      const node = await net.start({ bootstrap, log: seen.log });
      await node.publish({ ...FIELDS, wasi });
      await seen.until(({ event, error_code }) => event === "provide" && error_code === undefined);
      return node;
    };
    const modules = await publish(["preview1"]);
    const both = await publish(["preview1", "0.2"]);
    const client = await net.startClient({ bootstrap });
    const resources = { ...DEFAULT_RESOURCES, memory_mb: 1, timeout_seconds: 1 };
    const find = async (bytes: Uint8Array, peer?: string) => {
      const module = await bytesSource(bytes);
      const found = await Array.fromAsync(findCandidates(client, { resources, module, peer }));
      return found.map(({ peerId }) => peerId).sort();
    };
    assertEquals(await find(COMPONENT), [both.peerId]);
    assertEquals(await find(HELLO), [modules.peerId, both.peerId].sort());
    assertEquals(await find(COMPONENT, both.peerId), [both.peerId]);
    const error = await assertRejects(
      () => find(COMPONENT, modules.peerId),
      PlasmError,
      "Cannot use node: the module needs WASI 0.2, node has preview1",
    );
    assertEquals(error.code, "policy");
  },
);

Deno.test(
  "a node's capability document has the versions of WASI that it runs",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { net, bootstrap } = node;
    const client = await net.startClient({ bootstrap });
    const found = await Array.fromAsync(client.discover({ wasi: "0.2" }));
    assertEquals(found.map(({ capability }) => capability.wasi), [["preview1", "0.2"]]);
  },
);
