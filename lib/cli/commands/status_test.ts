import { assertEquals } from "@std/assert";
import type { NodeJson } from "../../api/api_types.gen.ts";
import { nodeTable } from "./status.ts";

const NODE: NodeJson = {
  peer_id: "12D3KooW",
  public_key: "00",
  runtime: { name: "plasm", version: "0.1.0", engine: "v8", arch: "x86_64" },
  capabilities: [],
  ceilings: {
    memory_mb: 0,
    timeout_seconds: 0,
    cpu_seconds: 0,
    cpu_cores: 0,
    output_bytes: 0,
    fs_bytes: 0,
    module_bytes: 0,
    input_bytes: 0,
  },
  load: {
    queued: 3,
    running: 1,
    concurrency: 2,
    queue_max: 1000,
    memory_mb: 64,
    memory_budget_mb: 4096,
  },
  network: null,
};

Deno.test("nodeTable() tells what a node is doing, and its addresses where it has any", () => {
  const lines = [
    "peer id  12D3KooW",
    "plasm    0.1.0, v8, x86_64",
    "running  1 of 2",
    "queued   3 of 1000",
    "memory   64 of 4096 MB",
  ];
  assertEquals(nodeTable(NODE), [...lines, "network  off", ""].join("\n"));
  const addresses = ["/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW", "/ip4/192.0.2.1/udp/4001/quic/p2p/12"];
  assertEquals(
    nodeTable({ ...NODE, network: { addresses } }),
    [...lines, "network  on", ...addresses.map((one) => `address  ${one}`), ""].join("\n"),
  );
});
