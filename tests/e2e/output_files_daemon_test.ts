import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { sha256 } from "../../lib/core/hash.ts";
import { connectDaemon } from "../../lib/client/mod.ts";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";
import { FakeSandbox } from "../fixtures/daemon/fake_run.ts";
import { fileGuest, type FileStep } from "../fixtures/file_guest.ts";
import { LIBP2P } from "../fixtures/p2p/nodes.ts";
import { plasm, type PlasmResult } from "../fixtures/plasm.ts";
import { realNode } from "../fixtures/remote/real_node.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

/** 300 KB, more than the store keeps in its database. */
const BIG = "0123456789abcdef".repeat(1024);

const STEPS: FileStep[] = [
  { mkdir: "out" },
  { mkdir: "out/empty" },
  { write: "out/ä.txt", text: "first" },
  { write: "out/big", text: BIG, count: 20 },
  { write: "c.txt", text: "third" },
  { write: "left", text: "12" },
];

const OUTPUTS = ["--output", "out/", "--output", "/c.txt:results.txt"];

/** Deno's cache, which it looks for under HOME otherwise. */
const DENO_DIR = Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`;

const DECLARED = { outputs: ["out/", "/c.txt"] };

async function assertWritten(dir: string): Promise<void> {
  assertEquals(await Deno.readTextFile(`${dir}/out/ä.txt`), "first");
  assertEquals(await Deno.readTextFile(`${dir}/out/big`), BIG.repeat(20));
  assertEquals((await Deno.stat(`${dir}/out/empty`)).isDirectory, true);
  assertEquals(await Deno.readTextFile(`${dir}/results.txt`), "third");
  const names = [...Deno.readDirSync(dir)].map(({ name }) => name);
  assertEquals(names.filter((name) => name.startsWith(".plasm")), []);
}

Deno.test("plasm returns the same output files from a stored, a piped and a submitted job", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.writeFile(`${dir}/m.wasm`, await fileGuest(STEPS));
  await using daemon = await DaemonProcess.start({ dir });
  const run = (at: string, ...args: string[]): Promise<PlasmResult> => {
    Deno.mkdirSync(`${dir}/${at}`, { recursive: true });
    return plasm(args, { cwd: `${dir}/${at}`, env: environment(dir) });
  };
  for (const way of ["--daemon", "--pipe"]) {
    const { code, stdout, stderr } = await run(way, "exec", way, ...OUTPUTS, `${dir}/m.wasm`);
    assertEquals({ code, stdout, stderr }, { code: 0, stdout: "", stderr: "" });
    await assertWritten(`${dir}/${way}`);
    const missing = await run(way, "exec", way, "--output", "absent", `${dir}/m.wasm`);
    assertEquals(missing.code, 66, missing.stderr);
  }
  const waited = await run("wait", "submit", "--wait", "--json", ...OUTPUTS, `${dir}/m.wasm`);
  assertEquals(waited.code, 0, waited.stderr);
  await assertWritten(`${dir}/wait`);
  const { outputs, receipt, left_behind } = JSON.parse(waited.stdout);
  assertEquals(outputs, receipt.claim.outputs);
  assertEquals(left_behind, [{ path: "left", bytes: 2, kind: "file" }]);
  using client = connectDaemon({ socket: daemon.socket });
  for await (const event of client.pipe(await Deno.readFile(`${dir}/m.wasm`), DECLARED)) {
    if (event.type === "finished") assertEquals(event.outcome.leftBehind?.entries, left_behind);
  }

  assertEquals((await run(".", "submit", "--output", "c.txt:x", `${dir}/m.wasm`)).code, 2);
  const declared = ["--output", "out/", "--output", "/c.txt"];
  const id = (await run(".", "submit", ...declared, `${dir}/m.wasm`)).stdout.trim();
  const result = await run(".", "result", "--output", "fetched", id);
  assertEquals(result.code, 0, result.stderr);
  assertEquals(await Deno.readTextFile(`${dir}/fetched/c.txt`), "third");
  assertEquals(await Deno.readTextFile(`${dir}/fetched/out/big`), BIG.repeat(20));
  assertEquals((await run(".", "result", "--output", "fetched", id)).code, 2);
  assertEquals((await run(".", "result", "--force", "--output", "fetched", id)).code, 0);
});

Deno.test("the API lists output files, and returns one and the archive of all, also after a restart", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const module = await fileGuest(STEPS);
  let id = "";
  for (const round of [1, 2]) {
    await using daemon = await DaemonProcess.start({ dir });
    using client = connectDaemon({ socket: daemon.socket });
    if (round === 1) {
      ({ id } = await client.submit(module, DECLARED));
      const early = await client.result(id);
      assertEquals([...early.outputs.keys()], ["/c.txt", "out/big", "out/empty/", "out/ä.txt"]);
    }
    const { outputs, receipt } = await client.result(id);
    assertEquals(new TextDecoder().decode(outputs.get("out/ä.txt")), "first");
    const http = Deno.createHttpClient({
      proxy: { transport: "unix", path: daemon.socket },
    });
    const get = async (path: string): Promise<{ status: number; bytes: Uint8Array }> => {
      const response = await fetch(`http://localhost/v1/jobs/${id}/${path}`, { client: http });
      return { status: response.status, bytes: await response.bytes() };
    };
    try {
      const list = JSON.parse(new TextDecoder().decode((await get("outputs")).bytes));
      assertEquals(list.outputs, receipt.claim.outputs);
      for (const [path, { hash }] of Object.entries(receipt.claim.outputs)) {
        const { status, bytes } = await get(`outputs/${encodeURIComponent(path)}`);
        assertEquals([status, await sha256(bytes)], [200, hash], path);
      }
      assertEquals((await get("outputs/out/big")).bytes.length, 20 * BIG.length);
      assertEquals((await get("outputs/left")).status, 404);
      const { bytes } = await get("outputs.tar");
      assertEquals((await get("outputs.tar?follow=true")).bytes, bytes);
      const part = await get("outputs.tar?follow=true&offset=300000");
      assertEquals(part.bytes, bytes.subarray(300_000));
      await Deno.writeFile(`${dir}/all.tar`, bytes);
      const tar = await new Deno.Command("tar", { args: ["-tf", "all.tar"], cwd: dir }).output();
      assert(tar.success);
      assertEquals(new TextDecoder().decode(tar.stdout).trim().split("\n").length, 4);
    } finally {
      http.close();
    }
  }
});

Deno.test("the API sends the archive of output files while the job runs, until it ends", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using daemon = await DaemonProcess.start({ dir });
  using client = connectDaemon({ socket: daemon.socket });
  const module = await fileGuest([...STEPS, { print: "written" }, "yield"]);
  const manifest = { outputs: ["out/"], resources: { timeout_seconds: 1 } };
  const { id } = await client.submit(module, { manifest });
  for await (const event of client.events(id)) if (event.type === "stdout") break;
  const live = await client.outputArchive(id, { follow: true });
  for await (const event of client.events(id)) void event;
  const read = async (stream: ReadableStream<Uint8Array>): Promise<Uint8Array> =>
    await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).bytes();
  const whole = await read(await client.outputArchive(id));
  assert(whole.length > 20 * BIG.length);
  assertEquals(await read(live), whole);
});

Deno.test("plasm exec --daemon reports a daemon that has lost output files, and writes nothing", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.writeFile(`${dir}/m.wasm`, await fileGuest(STEPS));
  await using _daemon = await DaemonProcess.start({ dir });
  const env = environment(dir);
  const id = (await plasm(["submit", "--output", "out/", `${dir}/m.wasm`], { env })).stdout.trim();
  assertEquals((await plasm(["result", id], { env })).code, 0);
  const [spilled] = [...walk(dir)].filter((path) => path.endsWith(`${id}.files`));
  const file = await Deno.open(spilled!, { write: true });
  await file.seek(300_000, Deno.SeekMode.Start);
  await file.write(new TextEncoder().encode("other bytes"));
  file.close();
  const result = await plasm(["result", "--output", `${dir}/fetched`, id], { env });
  assertEquals(result.code, 76, result.stderr);
  assertStringIncludes(result.stderr, "out/big");
  assertEquals([...Deno.readDirSync(dir)].some(({ name }) => name === "fetched"), false);
});

function* walk(dir: string): Generator<string, void, void> {
  for (const { name, isDirectory } of Deno.readDirSync(dir)) {
    if (isDirectory) yield* walk(`${dir}/${name}`);
    else yield `${dir}/${name}`;
  }
}

// After the tests above: the sanitizers would count what libp2p leaves behind against them.
Deno.test("plasm exec --remote returns verified output files", LIBP2P, async () => {
  await using node = await realNode({});
  const { bootstrap, dir } = node;
  await Deno.writeFile(`${dir}/m.wasm`, await fileGuest(STEPS));
  const env = { PLASM_STATE_DIR: `${dir}/client`, HOME: dir, DENO_DIR };
  await Deno.mkdir(`${dir}/work`);
  const exec = (...args: string[]) =>
    plasm(["exec", "--remote", "--bootstrap", bootstrap[0]!, ...args, `${dir}/m.wasm`], {
      cwd: `${dir}/work`,
      env,
    });
  const { code, stderr } = await exec(...OUTPUTS);
  assertEquals(code, 0, stderr);
  await assertWritten(`${dir}/work`);
  const missing = await exec("--json", "--output", "absent", "--output", "c.txt:again");
  assertEquals(missing.code, 66);
  const { missing_outputs, left_behind } = JSON.parse(missing.stdout);
  assertEquals(missing_outputs, ["absent"]);
  assertEquals(left_behind, [
    { path: "out/", bytes: 5 + 20 * BIG.length, kind: "directory" },
    { path: "left", bytes: 2, kind: "file" },
  ]);
  assertEquals(await Deno.readTextFile(`${dir}/work/again`), "third");
});

Deno.test(
  "plasm exec --remote writes nothing of a node that returns other files than it claims",
  LIBP2P,
  async () => {
    const sandbox = new FakeSandbox();
    await using node = await realNode({}, { run: sandbox.run });
    const { bootstrap, dir } = node;
    await Deno.writeFile(`${dir}/m.wasm`, await fileGuest([]));
    await Deno.mkdir(`${dir}/work`);
    const exec = () =>
      plasm(
        [
          "exec",
          "--remote",
          "--bootstrap",
          bootstrap[0]!,
          "--output",
          "out/",
          `${dir}/m.wasm`,
          "--",
          "files",
        ],
        { cwd: `${dir}/work`, env: { PLASM_STATE_DIR: `${dir}/client`, HOME: dir, DENO_DIR } },
      );
    const measured = { bytes: 5, hash: await sha256(new TextEncoder().encode("first")) };
    const other = { bytes: 5, hash: await sha256(new TextEncoder().encode("other")) };
    for (
      const claimed of [
        { "out/a.txt": other },
        { "out/b.txt": measured },
        { "out/a.txt": measured, "out/b.txt": other },
        {},
      ]
    ) {
      sandbox.claimed = claimed;
      const { code, stderr } = await exec();
      assertEquals(code, 76, stderr);
      assertEquals([...Deno.readDirSync(`${dir}/work`)], []);
    }
    sandbox.claimed = undefined;
    assertEquals((await exec()).code, 0);
    assertEquals(await Deno.readTextFile(`${dir}/work/out/a.txt`), "first");
  },
);
