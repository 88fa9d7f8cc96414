import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { startDaemon } from "../../lib/daemon/daemon.ts";
import { joinPeerNetwork } from "../../lib/daemon/peers/peer_network.ts";
import { parseReceipt } from "../../lib/core/receipt.ts";
import { command } from "../fixtures/hostile/case.ts";
import { assemble } from "../fixtures/hostile/wat.ts";
import { testConfig } from "../fixtures/daemon/harness.ts";
import { LIBP2P } from "../fixtures/p2p/nodes.ts";
import { plasm, spawnPlasm } from "../fixtures/plasm.ts";
import { HELLO, withRealNode } from "../fixtures/remote/real_node.ts";

Deno.test(
  "exec --remote prints what a stranger's node wrote, once it is verified",
  LIBP2P,
  () =>
    withRealNode(async ({ bootstrap, dir, daemon }) => {
      await Deno.writeFile(`${dir}/hello.wasm`, HELLO);
      const env = { PLASM_STATE_DIR: `${dir}/client`, HOME: dir };
      const deno = { DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno` };
      const remote = ["exec", "--remote", "--bootstrap", bootstrap[0]!];
      const run = (...args: string[]) =>
        plasm([...remote, ...args, `${dir}/hello.wasm`], {
          stdin: "Hello, World",
          env: { ...env, ...deno },
        });
      const plain = await run("--receipt", `${dir}/r.json`);
      assertEquals([plain.code, plain.stdout, plain.stderr], [0, "dlroW ,olleH", ""]);
      const receipt = parseReceipt(await Deno.readTextFile(`${dir}/r.json`));
      assertEquals(receipt.node.peer_id, daemon.identity.peerId);

      const json = JSON.parse((await run("--json", "--peer", daemon.identity.peerId)).stdout);
      assertEquals([json.status, json.exit_code, json.stdout], ["exited", 0, "dlroW ,olleH"]);
      assertEquals([json.verified, json.node], [true, daemon.identity.peerId]);
      assertEquals(json.attempts.length, 1);

      const live = await run("--live");
      assertEquals([live.code, live.stdout], [0, "dlroW ,olleH"]);
      assertStringIncludes(live.stderr, `verified, the receipt of ${daemon.identity.peerId}`);

      const large = await run("--memory-mb", "512", "--json", "--peer", daemon.identity.peerId);
      assertEquals(large.code, 77);
      const { error } = JSON.parse(large.stderr);
      assertEquals([error.code, error.details.asked, error.details.allowed], [
        "over-limit",
        512,
        300,
      ]);
      assertEquals(error.details.attempts[0].ran, "no");
    }, { "network.policy.ceilings.memory_mb": 300 }),
);

Deno.test(
  "exec --remote ends as the job does, and cancels it on Ctrl-C",
  LIBP2P,
  () =>
    withRealNode(async ({ bootstrap, dir, store, forgotten }) => {
      const exits = await assemble(
        command("(call $proc_exit (i32.const 3))", { uses: ["proc_exit"] }),
      );
      const loops = await assemble(command("(loop $again (br $again))"));
      await Deno.writeFile(`${dir}/exits.wasm`, exits);
      await Deno.writeFile(`${dir}/loops.wasm`, loops);
      const remote = ["exec", "--remote", "--bootstrap", bootstrap[0]!];
      const env = { PLASM_STATE_DIR: `${dir}/client` };
      assertEquals((await plasm([...remote, `${dir}/exits.wasm`], { env })).code, 3);
      const slow = await plasm([...remote, "--timeout", "1", `${dir}/loops.wasm`], { env });
      assertEquals(slow.code, 124, slow.stderr);

      const child = spawnPlasm([...remote, `${dir}/loops.wasm`], { env });
      await child.stdin.close();
      const signal = AbortSignal.timeout(30_000);
      const running = () => store.list({ state: "running" })[0];
      while (running() === undefined) {
        signal.throwIfAborted();
        // Jobs that come are told under their id, which is not known yet.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const { id } = running()!;
      child.kill("SIGINT");
      const { code, stderr } = await child.output();
      assertEquals(code, 130, new TextDecoder().decode(stderr));
      await forgotten(id);
      assert(running() === undefined);
    }),
);

Deno.test("exec refuses remote options that do not go together", LIBP2P, async () => {
  const usage = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await plasm(["exec", ...args, "x.wasm"]);
    assertEquals(code, 2);
    return stderr;
  };
  assertStringIncludes(await usage("--live"), "--live without --remote");
  assertStringIncludes(await usage("--remote", "--daemon"), "together");
  assertStringIncludes(await usage("--remote", "--live", "--json"), "together");
});

Deno.test(
  "submit --remote lets a daemon run a job on another node",
  LIBP2P,
  () =>
    withRealNode(async ({ bootstrap, daemon, dir }) => {
      await Deno.writeFile(`${dir}/hello.wasm`, HELLO);
      await Deno.mkdir(`${dir}/asking`);
      const config = testConfig(`${dir}/asking`, {
        "network.enabled": true,
        "network.provide": false,
        "network.listen": ["/ip4/127.0.0.1/tcp/0"],
        "network.bootstrap": bootstrap,
        "jobs.warm_executors": 0,
      });
      await using asking = await startDaemon(config, { network: joinPeerNetwork });
      const submit = ["submit", "--remote", "--wait", "--socket", asking.socket];
      for (const peer of [[], ["--peer", daemon.identity.peerId]]) {
        const { code, stdout, stderr } = await plasm([
          ...submit,
          ...peer,
          "--json",
          `${dir}/hello.wasm`,
        ], {
          stdin: "Hello, World",
        });
        assertEquals(code, 0, stderr);
        const result = JSON.parse(stdout);
        assertEquals([result.status, result.stdout], ["exited", "dlroW ,olleH"]);
        assertEquals(result.receipt.node.peer_id, daemon.identity.peerId);
      }
    }),
);
