/**
 * Counts the instructions of a job by every command and on another node.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { parseReceipt } from "../../lib/core/receipt.ts";
import type { Claim } from "../../lib/core/types.gen.ts";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";
import { LIBP2P } from "../fixtures/p2p/nodes.ts";
import { plasm, type PlasmResult } from "../fixtures/plasm.ts";
import { realNode } from "../fixtures/remote/real_node.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);

/** Runs `hello` and returns what was printed, and the claim of its receipt. */
async function run(
  way: string[],
  { dir, env, options }: { dir: string; env: Record<string, string>; options: string[] },
): Promise<PlasmResult & { claim: Claim }> {
  const receipt = `${dir}/receipt.json`;
  const args = [...way, "--receipt", receipt, ...options, HELLO];
  const result = await plasm(args, { stdin: "Hello, World", env });
  return { ...result, claim: parseReceipt(await Deno.readTextFile(receipt)).claim };
}

Deno.test("plasm exec, exec --daemon and exec --pipe count the same with --fuel, and end at its limit", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using _daemon = await DaemonProcess.start({ dir });
  const local = { ...environment(dir), PLASM_STATE_DIR: `${dir}/client` };
  const { code, stdout, stderr, claim } = await run(["exec"], {
    dir,
    env: local,
    options: ["--fuel"],
  });
  assertEquals([code, stdout, claim.status], [0, "dlroW ,olleH", "exited"]);
  const fuel = claim.fuel!;
  assert(fuel > 100, `${fuel}`);
  assertStringIncludes(stderr, `plasm: fuel used: ${fuel} instructions\n`);
  for (const way of [["exec"], ["exec", "--daemon"], ["exec", "--pipe"]]) {
    const env = way.length === 1 ? local : environment(dir);
    const enough = await run(way, { dir, env, options: ["--fuel", `${fuel}`] });
    assertEquals([way, enough.code, enough.claim.fuel], [way, 0, fuel]);
    assertEquals(enough.stdout, "dlroW ,olleH");
    const limit = fuel - 1;
    const ended = await run(way, { dir, env, options: ["--fuel", `${limit}`] });
    assertEquals([way, ended.code, ended.claim.status], [way, 137, "fuel"]);
    assertEquals([ended.claim.fuel, ended.claim.exit_code], [limit, null]);
    assertStringIncludes(
      ended.stderr,
      `plasm: Job stopped: it used up its fuel of ${limit} instructions\n`,
    );
  }
  const json = await plasm(["exec", "--json", "--fuel", HELLO], {
    stdin: "Hello, World",
    env: local,
  });
  assertEquals(JSON.parse(json.stdout).fuel, fuel);
  const uncounted = await run(["exec"], { dir, env: local, options: [] });
  assertEquals(uncounted.claim.fuel, undefined);
});

Deno.test("plasm exec --remote counts what a local run counts with --fuel", LIBP2P, async () => {
  await using node = await realNode();
  const { bootstrap, dir } = node;
  const env = { PLASM_STATE_DIR: `${dir}/client` };
  const local = await run(["exec"], { dir, env, options: ["--fuel"] });
  const remote = ["exec", "--remote", "--bootstrap", bootstrap[0]!];
  const elsewhere = await run(remote, { dir, env, options: ["--fuel"] });
  assertEquals(elsewhere.claim, local.claim);
  const ended = await run(remote, { dir, env, options: ["--fuel", "99"] });
  assertEquals([ended.code, ended.claim.status, ended.claim.fuel], [137, "fuel", 99]);
});
