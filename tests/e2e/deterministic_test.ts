/**
 * Runs deterministic jobs by every command and on another node: all make the same claim.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { parseReceipt } from "../../lib/core/receipt.ts";
import type { Claim } from "../../lib/core/types.gen.ts";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";
import { observer, SEED } from "../fixtures/deterministic/programs.ts";
import { assemble } from "../fixtures/hostile/wat.ts";
import { LIBP2P } from "../fixtures/p2p/nodes.ts";
import { plasm } from "../fixtures/plasm.ts";
import { realNode } from "../fixtures/remote/real_node.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const STDIN = "some input";

async function observerFile(dir: string): Promise<string> {
  const path = `${dir}/observer.wasm`;
  await Deno.writeFile(path, await observer());
  return path;
}

/** Runs a job with the options and returns its claim. */
async function claimOf(
  way: string[],
  { dir, env, options }: { dir: string; env: Record<string, string>; options: string[] },
): Promise<Claim> {
  const receipt = `${dir}/receipt.json`;
  const isSubmit = way[0] === "submit";
  const output = isSubmit ? ["--json"] : ["--receipt", receipt];
  const module = `${dir}/observer.wasm`;
  const { code, stdout, stderr } = await plasm([...way, ...output, ...options, module], {
    stdin: STDIN,
    env,
  });
  assertEquals(code, 0, `${way}: ${stderr}`);
  if (isSubmit) return JSON.parse(stdout).receipt.claim;
  return parseReceipt(await Deno.readTextFile(receipt)).claim;
}

Deno.test("plasm exec, exec --daemon, exec --pipe and submit make one claim with --deterministic", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await observerFile(dir);
  await using _daemon = await DaemonProcess.start({ dir });
  const env = { ...environment(dir), PLASM_STATE_DIR: `${dir}/client` };
  const context = { dir, env, options: ["--deterministic", "--seed", SEED, "--epoch-ms", "5000"] };
  const local = await claimOf(["exec"], context);
  assertEquals([local.profile, local.nondeterminism], ["deterministic", []]);
  for (const way of [["exec", "--daemon"], ["exec", "--pipe"], ["submit", "--wait"]]) {
    assertEquals(await claimOf(way, { ...context, env: environment(dir) }), local, `${way}`);
  }
  // An upper-case seed is the same seed; another seed or start gives another output.
  const same = ["--deterministic", "--seed", SEED.toUpperCase(), "--epoch-ms", "5000"];
  assertEquals(await claimOf(["exec"], { ...context, options: same }), local);
  for (const options of [["--deterministic"], ["--deterministic", "--seed", SEED]]) {
    const other = await claimOf(["exec"], { ...context, options });
    assert(other.stdout.hash !== local.stdout.hash);
  }
});

Deno.test("plasm exec and map --deterministic give one claim when copies of an input have different times", async () => {
  await using temp = await tempDir();
  const hello = decodeURIComponent(
    new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
  );
  const claims: string[] = [];
  for (const time of [1_000_000_000, 1_500_000_000]) {
    const dir = `${temp.path}/${time}`;
    await Deno.mkdir(dir);
    await Deno.writeTextFile(`${dir}/a`, "text");
    await Deno.utime(`${dir}/a`, time, time);
    const options = ["--deterministic", "--input", `${dir}:/`];
    const exec = await plasm(["exec", ...options, "--receipt", `${dir}.json`, hello]);
    const results = ["--results", `${dir}.results`, hello, ":::", "a"];
    const map = await plasm(["map", ...options, ...results]);
    assertEquals([exec.code, map.code], [0, 0], exec.stderr + map.stderr);
    const mapped = await Deno.readTextFile(`${dir}.results/0/1/receipt.json`);
    const hashes = [await Deno.readTextFile(`${dir}.json`), mapped]
      .map((text) => JSON.parse(text).run.claim_hash);
    claims.push(hashes.join());
  }
  assertEquals(claims[0], claims[1]);
});

Deno.test(
  "plasm exec --remote makes the claim of a local run with --deterministic",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { bootstrap, dir } = node;
    await observerFile(dir);
    const context = {
      dir,
      env: { PLASM_STATE_DIR: `${dir}/client` },
      options: ["--deterministic"],
    };
    const remote = ["exec", "--remote", "--bootstrap", bootstrap[0]!];
    assertEquals(await claimOf(remote, context), await claimOf(["exec"], context));
  },
);

Deno.test("plasm exec --deterministic reads profile, seed and start from a manifest", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await observerFile(dir);
  const env = { PLASM_STATE_DIR: `${dir}/client` };
  const manifest = { profile: "deterministic", seed: SEED, epoch_ms: 5000, argv0: "observer.wasm" };
  await Deno.writeTextFile(`${dir}/manifest.json`, JSON.stringify(manifest));
  const read = await claimOf(["exec"], {
    dir,
    env,
    options: ["--manifest", `${dir}/manifest.json`],
  });
  const options = ["--deterministic", "--seed", SEED, "--epoch-ms", "5000"];
  assertEquals(read, await claimOf(["exec"], { dir, env, options }));
});

Deno.test("plasm exec rejects options of the deterministic profile that it cannot use", async () => {
  await using temp = await tempDir();
  const module = await observerFile(temp.path);
  const rejected: [message: string, options: string[]][] = [
    ["Cannot use --seed without --deterministic", ["--seed", SEED]],
    ["Cannot use --epoch-ms without --deterministic", ["--epoch-ms", "0"]],
    ["Expected 64 hex digits instead of 00 for --seed", ["--deterministic", "--seed", "00"]],
    ["Option --epoch-ms needs a whole number: x", ["--deterministic", "--epoch-ms", "x"]],
  ];
  for (const [message, options] of rejected) {
    const { code, stderr } = await plasm(["exec", ...options, module]);
    assertEquals(code, 2, stderr);
    assertStringIncludes(stderr, message);
  }
});

Deno.test("plasm exec --deterministic refuses what cannot be deterministic, locally and before sending", async () => {
  await using temp = await tempDir();
  const module = `${temp.path}/fence.wasm`;
  const text = `(module (memory (export "memory") 1) (func (export "_start") (atomic.fence)))`;
  await Deno.writeFile(module, await assemble(text));
  const remote = ["--remote", "--bootstrap", "/ip4/127.0.0.1/tcp/1"];
  for (const where of [[], remote]) {
    const { code, stdout, stderr } = await plasm(["exec", "--deterministic", ...where, module]);
    assertEquals([code, stdout], [65, ""]);
    assertStringIncludes(
      stderr,
      "the deterministic profile refuses atomics, function 0 uses atomic.fence",
    );
  }
  assertEquals((await plasm(["exec", module])).code, 0);
});
