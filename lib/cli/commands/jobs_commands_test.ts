import { assertEquals, assertStringIncludes } from "@std/assert";
import type { NodeJson } from "../../api/api_types.gen.ts";
import { nodeTable } from "./jobs_commands.ts";

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
    output_files_bytes: 0,
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
    executors: 2,
    peers: 0,
  },
  usage: [{ submitter: "local", jobs: 2, cpu_seconds: 1.5, output_bytes: 10 }],
  network: null,
  listening: { socket: "/run/plasm/plasm.sock", tcp: "127.0.0.1:8080", metrics: null },
};

Deno.test("nodeTable() lists load, network state and addresses", () => {
  const lines = [
    "peer id     12D3KooW",
    "public key  00",
    "plasm       0.1.0, v8, x86_64",
    "running     1 of 2",
    "queued      3 of 1000",
    "memory      64 of 4096 MB",
    "used by     local: 2 jobs, 1.5 s CPU, 10 bytes output",
    "socket      /run/plasm/plasm.sock",
    "tcp         127.0.0.1:8080",
  ];
  assertEquals(nodeTable(NODE), [...lines, "network     off", ""].join("\n"));
  const addresses = [
    "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW",
    "/ip4/192.0.2.1/udp/4001/noise/p2p/12",
  ];
  assertEquals(
    nodeTable({ ...NODE, network: { addresses } }),
    [...lines, "network     on", ...addresses.map((one) => `address     ${one}`), ""].join("\n"),
  );
  for (
    const [availability, text] of [
      [{ accepting: true, reason: null, cores: 8 }, "accepted on 8 cores"],
      [{ accepting: true, reason: "load", cores: 2 }, "accepted on 2 cores (network.policy: load)"],
      [{ accepting: false, reason: "hours", cores: 0 }, "not accepted (network.policy: hours)"],
    ] as const
  ) {
    assertStringIncludes(
      nodeTable({ ...NODE, network: { availability } }),
      `peers' jobs  ${text}\n`,
    );
  }
});
