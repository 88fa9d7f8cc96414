/**
 * Tests how commands and the library report bootstrap nodes of which none answers.
 * @module
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { runRemoteJob } from "../../lib/remote/run_remote_job.ts";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";
import { DeadBootstraps } from "../fixtures/p2p/dead_bootstraps.ts";
import { LIBP2P } from "../fixtures/p2p/nodes.ts";
import { plasm } from "../fixtures/plasm.ts";
import { HELLO } from "../fixtures/remote/real_node.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

function assertNamesEach(dead: DeadBootstraps, text: string): void {
  // Messages are wrapped at the width of the terminal.
  const line = text.replaceAll("\n", " ");
  for (const reason of dead.reasons) assertStringIncludes(line, reason);
}

Deno.test("plasm exec --remote names each bootstrap node when none answers", async () => {
  await using dead = new DeadBootstraps();
  await using temp = await tempDir();
  await Deno.writeFile(`${temp.path}/hello.wasm`, HELLO);
  const options = dead.addresses.flatMap((address) => ["--bootstrap", address]);
  const { code, stdout, stderr } = await plasm([
    "exec",
    "--remote",
    ...options,
    `${temp.path}/hello.wasm`,
  ], { env: { PLASM_STATE_DIR: `${temp.path}/state` } });
  assertEquals({ code, stdout }, { code: 69, stdout: "" }, stderr);
  assertNamesEach(dead, stderr);
  assertStringIncludes(stderr, "--bootstrap");
});

Deno.test("runRemoteJob() names each bootstrap node when none answers", LIBP2P, async () => {
  await using dead = new DeadBootstraps();
  const error = await assertRejects(
    () => runRemoteJob(HELLO, { bootstrap: dead.addresses }),
    PlasmError,
  );
  assertEquals(error.code, "no-peer");
  assertNamesEach(dead, error.message);
});

Deno.test(
  "plasm submit --remote, discover and doctor name each bootstrap node when none answers",
  async () => {
    await using dead = new DeadBootstraps();
    await using temp = await tempDir();
    const dir = temp.path;
    await Deno.writeFile(`${dir}/hello.wasm`, HELLO);
    await using daemon = await DaemonProcess.start({
      dir,
      set: {
        "network.enabled": "true",
        "network.listen": "/ip4/127.0.0.1/tcp/0",
        "network.mdns": "false",
        "network.upnp": "false",
        "network.provide": "false",
        "network.bootstrap": dead.addresses.join(","),
      },
    });
    const env = environment(dir);
    const results = await Promise.all([
      plasm(["submit", "--remote", "--wait", `${dir}/hello.wasm`], { env }),
      plasm(["discover", "--timeout", "600"], { env }),
      plasm(["discover", "--timeout", "600", "--json"], { env }),
    ]);
    for (const { code, stderr } of results) {
      assertEquals(code, 69, stderr);
      assertNamesEach(dead, stderr);
    }
    const doctor = await plasm(["doctor", "--json"], { env });
    assertEquals(doctor.code, 1, doctor.stderr);
    const { findings } = JSON.parse(doctor.stdout) as { findings: Record<string, string>[] };
    const resultOf = (name: string) => findings.find(({ check }) => check === name);
    assertEquals(resultOf("bootstrap")?.["result"], "fail");
    assertNamesEach(dead, resultOf("bootstrap")!["found"]!);
    assertEquals(resultOf("visible")?.["result"], "ok");
    assertStringIncludes(resultOf("visible")!["found"]!, "network.provide");
    assertEquals(resultOf("peers' clocks")?.["result"], "warn");
    assert(daemon.log.length > 0);
  },
);
