/**
 * Tests discovery from the command line with real daemons, where the client knows only the bootstrap node.
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";
import { plasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const NETWORK = {
  "network.enabled": "true",
  "network.listen": "/ip4/127.0.0.1/tcp/0",
  "network.mdns": "false",
  "network.upnp": "false",
};

async function addressOf(dir: string): Promise<string> {
  const status = await plasm(["status", "--json"], { env: environment(dir) });
  return JSON.parse(status.stdout).network.addresses[0];
}

Deno.test("plasm discover finds a node through the bootstrap node", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const start = async (name: string, bootstrap: string[]): Promise<DaemonProcess> => {
    await Deno.mkdir(`${dir}/${name}`);
    const set = { ...NETWORK, "network.bootstrap": bootstrap.join(",") };
    return await DaemonProcess.start({ dir: `${dir}/${name}`, set });
  };
  await using bootstrap = await start("bootstrap", []);
  assert(bootstrap.log.length > 0);
  const known = await addressOf(`${dir}/bootstrap`);
  await using worker = await start("worker", [known]);
  assert(worker.log.length > 0);
  await using asker = await start("asker", [known]);
  assert(asker.log.length > 0);

  const id = await plasm(["id", "--json"], { env: environment(`${dir}/worker`) });
  const { peer_id } = JSON.parse(id.stdout);
  const env = environment(`${dir}/asker`);
  const args = ["discover", "--arch", Deno.build.arch, "--limit", "2", "--timeout", "60"];
  const found = await plasm([...args, "--json"], { env });
  assertEquals(found.code, 0, found.stderr);
  const nodes = found.stdout.trim().split("\n").map((line) => JSON.parse(line));
  const node = nodes.find((candidate) => candidate.peer_id === peer_id);
  assertEquals(node?.capability.runtime.arch, Deno.build.arch);

  const table = await plasm(args, { env });
  assertMatch(table.stdout, /^NODE +ARCH +MEMORY/);
  assertStringIncludes(table.stdout, peer_id);
  const peers = await plasm(["peers"], { env });
  assertMatch(peers.stdout, /^PEER +BY +PATH/);
  assertStringIncludes(peers.stdout, "direct");

  // doctor asks the daemon, whose network is enabled by a flag, not by a file.
  const doctor = await plasm(["doctor", "--json"], { env });
  const { findings } = JSON.parse(doctor.stdout);
  const resultOf = (check: string) =>
    findings.find((finding: { check: string }) => finding.check === check);
  assertEquals(resultOf("bootstrap").found, "1 of 1 connected");
  assertEquals(resultOf("visible").result, "ok", JSON.stringify(resultOf("visible")));
  assertEquals(resultOf("peers' clocks").result, "ok", JSON.stringify(resultOf("peers' clocks")));
  assert(["ok", "warn"].includes(resultOf("reachable").result));

  const none = await plasm(["discover", "--min-memory", "1000000", "--timeout", "1"], { env });
  assertEquals(none.code, 69);
  assertStringIncludes(none.stderr, "No node was found");
});

Deno.test("plasm discover and peers print a hint when the network is disabled", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using daemon = await DaemonProcess.start({ dir });
  assert(daemon.log.length > 0);
  for (const command of ["discover", "peers"]) {
    const { code, stderr } = await plasm([command], { env: environment(dir) });
    assertEquals(code, 69);
    assertStringIncludes(stderr, "the network is off");
    assertStringIncludes(stderr, "network.enabled");
  }
});
