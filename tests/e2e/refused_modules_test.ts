/**
 * Compares how a local run, a remote run and a submission refuse modules that no node can run.
 * @module
 */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { PlasmError } from "../../lib/core/errors/mod.ts";
import { runRemoteJob } from "../../lib/remote/mod.ts";
import { plasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { assemble } from "../fixtures/hostile/wat.ts";

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);

const MODULES: Record<string, () => Promise<Uint8Array>> = {
  "has no _start": () => assemble('(module (memory (export "memory") 1))'),
  "is empty": () => Promise.resolve(new Uint8Array()),
  "is text": () => Promise.resolve(new TextEncoder().encode("print('hello')\n")),
  "is a component": () => Promise.resolve(Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0)),
  "has an unknown import": () =>
    assemble(
      '(module (import "env" "f" (func)) (memory (export "memory") 1) (func (export "_start")))',
    ),
  "is a reactor": () =>
    assemble('(module (memory (export "memory") 1) (func (export "_initialize")))'),
  "has an invalid function": async () => {
    const bytes = await assemble(
      '(module (memory (export "memory") 1) (func (export "_start") (drop (i32.const 1))))',
    );
    // The last bytes are `i32.const 1`, `drop` and `end`: drops a value that does not exist.
    bytes.set([0x1a, 0x1a], bytes.length - 4);
    return bytes;
  },
};

/** A node that does not exist: a job that was sent to it would end with another error. */
const NOWHERE = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWGzBvAtN8Z2sJrrfuH4nQwBZ8mcxLnWMmJUMrZJBCmyRb";

for (const [what, bytes] of Object.entries(MODULES)) {
  Deno.test(`plasm refuses a module before it is sent when it ${what}`, async () => {
    await using dir = await tempDir();
    const module = await bytes();
    const file = `${dir.path}/module.wasm`;
    await Deno.writeFile(file, module);
    const socket = ["--socket", `${dir.path}/no.sock`];
    const commands = [
      ["exec", file],
      ["exec", "--remote", "--bootstrap", NOWHERE, file],
      ["exec", "--daemon", ...socket, file],
      ["exec", "--pipe", ...socket, file],
      ["submit", ...socket, file],
      ["submit", "--remote", ...socket, file],
    ];
    const env = { PLASM_STATE_DIR: `${dir.path}/state` };
    const [local, ...sent] = await Promise.all(commands.map((args) => plasm(args, { env })));
    assertEquals(local!.code, 65, local!.stderr);
    for (const [at, { code, stdout, stderr }] of sent.entries()) {
      // exec leaves the functions of a module to the daemon, which does not run here.
      if (
        what === "has an invalid function" && ["--daemon", "--pipe"].includes(commands[at + 1]![1]!)
      ) {
        assertEquals(code, 69, stderr);
        continue;
      }
      assertEquals({ code, stdout, stderr }, { code: 65, stdout: "", stderr: local!.stderr });
    }
    const error = await assertRejects(
      () => runRemoteJob(module, { bootstrap: [NOWHERE] }),
      PlasmError,
    );
    assertEquals(error.code, "bad-module");
  });
}

Deno.test("plasm exec refuses a module above the limit with the setting that raises it", async () => {
  await using dir = await tempDir();
  const module = `${dir.path}/large.wasm`;
  // Sparse: it takes no space.
  await Deno.writeFile(module, new Uint8Array());
  await Deno.truncate(module, 256 * 2 ** 20 + 1);
  const refused = await plasm(["exec", module]);
  assertEquals([refused.code, refused.stdout], [77, ""]);
  assertStringIncludes(
    refused.stderr.replace(/\s+/g, " "),
    "it has 268435457 bytes, jobs.ceilings.module_bytes allows 268435456",
  );
  const env = { PLASM_JOBS_CEILINGS_MODULE_BYTES: "268435457" };
  const { code, stderr } = await plasm(["exec", module], { env });
  assertEquals(code, 65);
  assertStringIncludes(stderr, "it is not WebAssembly");
});

Deno.test("plasm refuses a peer that is neither a peer id nor an address before anything is sent", async () => {
  await using dir = await tempDir();
  const socket = ["--socket", `${dir.path}/no.sock`];
  for (const peer of ["foo", "127.0.0.1:80", "/ip4/127.0.0.1/tcp/1"]) {
    const commands = [
      ["exec", "--remote", "--peer", peer, HELLO],
      ["submit", "--remote", ...socket, "--peer", peer, HELLO],
      ["map", "--remote", "--peer", peer, HELLO, ":::", "a"],
    ];
    for (const { code, stderr } of await Promise.all(commands.map((args) => plasm(args)))) {
      assertEquals(stderr.split("\n")[0], `error: Cannot use peer "${peer}" for --peer`);
      assertEquals(code, 2);
    }
  }
});

Deno.test("plasm exec refuses inputs above the job's file system as over the limit", async () => {
  await using dir = await tempDir();
  const input = `${dir.path}/large`;
  // Sparse: it takes no space.
  await Deno.writeFile(input, new Uint8Array());
  await Deno.truncate(input, 256 * 2 ** 20 + 1);
  for (const path of [input, dir.path]) {
    const refused = await plasm(["exec", "--input", path, HELLO]);
    assertEquals([refused.code, refused.stdout], [77, ""]);
    assertStringIncludes(refused.stderr, "exceed the job's file system of 268435456 bytes");
  }
});
