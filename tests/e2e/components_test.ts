/**
 * Runs components of WASI 0.2.
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";
import { assemble } from "../fixtures/hostile/wat.ts";
import { LIBP2P } from "../fixtures/p2p/nodes.ts";
import { plasm } from "../fixtures/plasm.ts";
import { realNode } from "../fixtures/remote/real_node.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const COMPONENTS = decodeURIComponent(
  new URL("../fixtures/components/", import.meta.url).pathname,
);
const HELLO = `${COMPONENTS}hello.wasm`;
const ADD = `${COMPONENTS}add.wasm`;
const TRAP = `${COMPONENTS}trap.wasm`;

/** Calls of trap.wasm, in two core modules. */
const TRAP_TEXT = `plasm: Job trapped: unreachable at wasm-function[0]:0x37 of core module 0
   0: 0x37 - inner()
   1: 0x3b - wasm-function[1] of core module 0
   2: 0xfb - app::outer
   3: 0x100 - wasm-function[2] of core module 1
`;

Deno.test("plasm exec runs a component of WASI 0.2", async () => {
  const { code, stdout, stderr } = await plasm(["exec", HELLO], { stdin: "Hello, World" });
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: "dlroW ,olleH", stderr: "" });
});

Deno.test("plasm exec prints the stack of a trap in a component", async () => {
  const { code, stderr } = await plasm(["exec", TRAP]);
  assertEquals({ code, stderr }, { code: 134, stderr: TRAP_TEXT });
  const fuelled = await plasm(["exec", "--deterministic", "--fuel", "1000", TRAP]);
  assertEquals(
    { code: fuelled.code, stderr: fuelled.stderr },
    { code: 134, stderr: `${TRAP_TEXT}plasm: fuel used: 4 instructions\n` },
  );
});

Deno.test("plasm verify --rerun accepts the receipt of a component", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const env = { PLASM_STATE_DIR: `${dir}/state` };
  const receipt = `${dir}/receipt.json`;
  const profile = ["--deterministic", "--fuel", "1000000"];
  const run = await plasm(["exec", ...profile, "--receipt", receipt, HELLO], {
    stdin: "Hello, World",
    env,
  });
  assertEquals({ code: run.code, stdout: run.stdout }, { code: 0, stdout: "dlroW ,olleH" });
  const { claim } = JSON.parse(await Deno.readTextFile(receipt));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await Deno.readFile(HELLO)));
  assertEquals(claim.module_hash, `sha256:${digest.toHex()}`);
  assertEquals(claim.nondeterminism, []);
  await Deno.writeTextFile(`${dir}/in`, "Hello, World");
  const verified = await plasm(
    ["verify", receipt, "--rerun", "--module", HELLO, "--stdin", `${dir}/in`, ...profile],
    { env },
  );
  assertEquals(verified.code, 0, verified.stderr);
});

Deno.test("plasm map and a daemon run a component for each item", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const items = ["abc", "def"];
  for (const item of items) await Deno.writeTextFile(`${dir}/${item}`, item);
  await using _daemon = await DaemonProcess.start({ dir });
  const env = environment(dir);
  for (const where of [[], ["--daemon"]]) {
    const { code, stdout, stderr } = await plasm(
      ["map", "-k", ...where, "--stdin", `${dir}/{}`, HELLO, ":::", ...items],
      { env },
    );
    assertEquals({ code, stdout, stderr }, { code: 0, stdout: "cbafed", stderr: "" });
  }
  const run = await plasm(["exec", "--daemon", HELLO], { stdin: "again", env });
  assertEquals({ code: run.code, stdout: run.stdout }, { code: 0, stdout: "niaga" }, run.stderr);
  const call = await plasm(["exec", "--daemon", "--invoke", "add", ADD, "--", "2", "3"], { env });
  assertEquals({ code: call.code, stdout: call.stdout }, { code: 0, stdout: "5\n" }, call.stderr);
});

Deno.test("plasm exec --invoke calls a function of a component or reactor and prints its results", async () => {
  await using temp = await tempDir();
  const reactor = `${temp.path}/reactor.wasm`;
  await Deno.writeFile(
    reactor,
    await assemble(`(module
      (global $ready (mut i32) (i32.const 0))
      (func (export "_initialize") (global.set $ready (i32.const 40)))
      (func (export "add") (param i32) (result i32 f64)
        (i32.add (local.get 0) (global.get $ready)) (f64.const 0.5)))`),
  );
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await plasm(["exec", ...args]);
    return { code, stdout, stderr: stderr.replaceAll(/\s+/g, " ") };
  };
  assertEquals(await run("--invoke", "add", ADD, "--", "2", "-5"), {
    code: 0,
    stdout: "-3\n",
    stderr: "",
  });
  assertEquals(
    await run(
      "--invoke",
      "test:math/floats@1.0.0#half",
      "--deterministic",
      "--fuel",
      "100",
      ADD,
      "--",
      "5",
    ),
    { code: 0, stdout: "2.5\n", stderr: "plasm: fuel used: 3 instructions " },
  );
  assertEquals(await run("--invoke", "add", reactor, "--", "2"), {
    code: 0,
    stdout: "42\n0.5\n",
    stderr: "",
  });
  const refused = await run(ADD);
  assertEquals(refused.code, 65);
  assertStringIncludes(
    refused.stderr,
    'its functions of numbers are "add", "test:math/floats@1.0.0#half"',
  );
  assertStringIncludes(refused.stderr, "hint: Call a function with --invoke add");
});

Deno.test("plasm exec --remote runs a component and verifies its receipt", LIBP2P, async () => {
  await using node = await realNode();
  const { bootstrap, dir } = node;
  const env = { PLASM_STATE_DIR: `${dir}/client` };
  const { code, stdout, stderr } = await plasm(
    ["exec", "--remote", "--bootstrap", bootstrap[0]!, HELLO],
    { stdin: "Hello, World", env },
  );
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: "dlroW ,olleH", stderr: "" });
  const trap = await plasm(["exec", "--remote", "--bootstrap", bootstrap[0]!, TRAP], { env });
  assertEquals({ code: trap.code, stderr: trap.stderr }, { code: 134, stderr: TRAP_TEXT });
});
