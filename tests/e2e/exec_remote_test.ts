import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { connectDaemon } from "../../lib/client/mod.ts";
import { startDaemon } from "../../lib/daemon/daemon.ts";
import { joinPeerNetwork } from "../../lib/daemon/peers/peer_network.ts";
import { PlasmError } from "../../lib/core/errors/errors.ts";
import { parseReceipt } from "../../lib/core/receipt.ts";
import { command } from "../fixtures/hostile/case.ts";
import { assemble } from "../fixtures/hostile/wat.ts";
import { testConfig } from "../fixtures/daemon/harness.ts";
import { addressOf, LIBP2P, TestNet } from "../fixtures/p2p/nodes.ts";
import { plasm, spawnPlasm } from "../fixtures/plasm.ts";
import { NetworkNodes } from "../fixtures/remote/network_nodes.ts";
import { HELLO, realNode } from "../fixtures/remote/real_node.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

/** Deno's cache, for commands with another home directory. */
const DENO_CACHE = {
  DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`,
};

Deno.test(
  "plasm exec --remote prints verified output of an unknown node",
  LIBP2P,
  async () => {
    await using node = await realNode({ "network.policy.ceilings.memory_mb": 300 });
    const { bootstrap, dir, daemon } = node;
    await Deno.writeFile(`${dir}/hello.wasm`, HELLO);
    const env = { PLASM_STATE_DIR: `${dir}/client`, HOME: dir };
    const remote = ["exec", "--remote", "--bootstrap", bootstrap[0]!];
    const run = (...args: string[]) =>
      plasm([...remote, ...args, `${dir}/hello.wasm`], {
        stdin: "Hello, World",
        env: { ...env, ...DENO_CACHE },
      });
    const plain = await run("--receipt", `${dir}/r.json`);
    assertEquals({ code: plain.code, stdout: plain.stdout, stderr: plain.stderr }, {
      code: 0,
      stdout: "dlroW ,olleH",
      stderr: "",
    });
    const receipt = parseReceipt(await Deno.readTextFile(`${dir}/r.json`));
    assertEquals(receipt.run.node.peer_id, daemon.identity.peerId);

    const json = JSON.parse((await run("--json", "--peer", daemon.identity.peerId)).stdout);
    assertEquals({ status: json.status, exitCode: json.exit_code, stdout: json.stdout }, {
      status: "exited",
      exitCode: 0,
      stdout: "dlroW ,olleH",
    });
    assertEquals({ verified: json.verified, node: json.node }, {
      verified: true,
      node: daemon.identity.peerId,
    });
    assertEquals(json.attempts.length, 1);

    const live = await run("--live");
    assertEquals({ code: live.code, stdout: live.stdout }, { code: 0, stdout: "dlroW ,olleH" });
    assertStringIncludes(live.stderr, `Verified the receipt of ${daemon.identity.peerId}`);

    const large = await run("--memory-mb", "512", "--json", "--peer", daemon.identity.peerId);
    assertEquals(large.code, 77);
    const { error } = JSON.parse(large.stderr);
    assertEquals(
      { code: error.code, asked: error.details.asked, allowed: error.details.allowed },
      { code: "over-limit", asked: 512, allowed: 300 },
    );
    assertEquals(error.details.attempts[0].ran, "no");
  },
);

Deno.test(
  "plasm exec --remote runs on a node of the last run under a new key, and searches if the cache is damaged",
  LIBP2P,
  async () => {
    await using temp = await tempDir();
    await using net = new TestNet();
    await using nodes = new NetworkNodes();
    nodes.bootstrap = [addressOf(await net.start(), "tcp")];
    const { host } = await nodes.add();
    const peers: string[] = [];
    host.onCheck = ({ peerId }) => void peers.push(peerId);
    const { path: dir } = temp;
    await Deno.writeFile(`${dir}/hello.wasm`, HELLO);
    const env = {
      ...DENO_CACHE,
      PLASM_STATE_DIR: `${dir}/client`,
      XDG_CACHE_HOME: `${dir}/cache`,
    };
    const command = ["exec", "--remote", "--json", "--bootstrap", nodes.bootstrap[0]!];
    const run = async (): Promise<void> => {
      const result = await plasm([...command, `${dir}/hello.wasm`], { stdin: "abc", env });
      assertEquals(result.code, 0, result.stderr);
      const { stdout, node: peer } = JSON.parse(result.stdout);
      assertEquals([stdout, peer], ["cba", host.identity.peerId]);
    };
    const cache = `${dir}/cache/plasm/nodes.json`;
    await run();
    await Deno.writeTextFile(cache, "{");
    await run();
    const { networks } = JSON.parse(await Deno.readTextFile(cache));
    assertEquals(networks[0].nodes[0].id, host.identity.peerId);
    // Without the bootstrap node a search would fail.
    await net[Symbol.asyncDispose]();
    await run();
    host.onCheck = () => {
      throw new PlasmError("policy", "Cannot accept job: not today");
    };
    const refused = await plasm([...command, `${dir}/hello.wasm`], { env });
    assertEquals(JSON.parse(refused.stderr).error.message, "Cannot accept job: not today");
    assertEquals([peers.length, new Set(peers).size], [3, 3]);
  },
);

Deno.test(
  "plasm exec --remote uses the nodes that this machine's daemon knows",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { bootstrap, dir, daemon, net } = node;
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
    using client = connectDaemon({ socket: asking.socket });
    const search = () => Array.fromAsync(client.discover({ limit: 1, max_age_seconds: 60 }));
    const [found] = await search();
    assertEquals(found?.peer_id, daemon.identity.peerId);
    await net[Symbol.asyncDispose]();
    assertEquals((await search())[0]?.capability, found?.capability);
    const env = { ...DENO_CACHE, PLASM_STATE_DIR: `${dir}/client`, HOME: dir };
    const command = ["exec", "--remote", "--socket", asking.socket, `${dir}/hello.wasm`];
    const { code, stdout, stderr } = await plasm(command, { stdin: "abc", env });
    assertEquals([code, stdout], [0, "cba"], stderr);
  },
);

Deno.test(
  "plasm exec --remote exits like the job and cancels it on SIGINT",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { bootstrap, dir, store, deleted } = node;
    const exits = await assemble(
      command("(call $proc_exit (i32.const 3))", { uses: ["proc_exit"] }),
    );
    const loops = await assemble(command("(loop $again (br $again))"));
    await Deno.writeFile(`${dir}/exits.wasm`, exits);
    await Deno.writeFile(`${dir}/loops.wasm`, loops);
    const remote = ["exec", "--remote", "--bootstrap", bootstrap[0]!];
    const env = { ...DENO_CACHE, PLASM_STATE_DIR: `${dir}/client`, XDG_CACHE_HOME: `${dir}/cache` };
    assertEquals((await plasm([...remote, `${dir}/exits.wasm`], { env })).code, 3);
    const slow = await plasm([...remote, "--timeout", "1", `${dir}/loops.wasm`], { env });
    assertEquals(slow.code, 124, slow.stderr);

    const child = spawnPlasm([...remote, `${dir}/loops.wasm`], { env });
    await child.stdin.close();
    const signal = AbortSignal.timeout(30_000);
    const running = () => store.list({ state: "running" })[0];
    while (running() === undefined) {
      signal.throwIfAborted();
      // Incoming jobs are logged by their id, which is not known yet.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { id } = running()!;
    child.kill("SIGINT");
    const { code, stderr } = await child.output();
    assertEquals(code, 130, new TextDecoder().decode(stderr));
    await deleted(id);
    assert(running() === undefined);
  },
);

Deno.test("plasm exec rejects conflicting remote options", LIBP2P, async () => {
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
  "plasm submit --remote runs a job on another node through the daemon",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { bootstrap, daemon, dir } = node;
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
      assertEquals({ status: result.status, stdout: result.stdout }, {
        status: "exited",
        stdout: "dlroW ,olleH",
      });
      assertEquals(result.receipt.run.node.peer_id, daemon.identity.peerId);
    }
  },
);
