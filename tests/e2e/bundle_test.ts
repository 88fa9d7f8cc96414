/**
 * Runs `plasm exec --bundle`, `plasm verify --rerun` and `plasm receipt` as a user does.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { type BundleContent, verifyBundle, writeBundle } from "../../lib/core/bundle.ts";
import { sha256 } from "../../lib/core/hash.ts";
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { parseReceipt, signReceipt } from "../../lib/core/receipt.ts";
import type { Claim, Receipt } from "../../lib/core/types.gen.ts";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";
import { fileGuest } from "../fixtures/file_guest.ts";
import { nondeterministicModule } from "../fixtures/nondeterministic_modules.ts";
import { LIBP2P } from "../fixtures/p2p/nodes.ts";
import { plasm, type PlasmResult } from "../fixtures/plasm.ts";
import { HELLO, realNode } from "../fixtures/remote/real_node.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const STDIN = new TextEncoder().encode("Hello, World");
const STDOUT = new TextEncoder().encode("dlroW ,olleH");

/** A directory with the example module, its input and a new identity. */
class Workspace {
  readonly dir: string;
  readonly #temp: AsyncDisposable;

  private constructor(dir: string, temp: AsyncDisposable) {
    this.dir = dir;
    this.#temp = temp;
  }

  static async create(): Promise<Workspace> {
    const temp = await tempDir();
    await Deno.writeFile(`${temp.path}/hello.wasm`, HELLO);
    await Deno.writeFile(`${temp.path}/in`, STDIN);
    await Deno.mkdir(`${temp.path}/data`);
    await Deno.writeTextFile(`${temp.path}/data/a`, "a");
    return new Workspace(temp.path, temp);
  }

  path(name: string): string {
    return `${this.dir}/${name}`;
  }

  /** Runs plasm; words with a leading @ are paths in the directory. */
  async run(line: string, { state = "state", stdin = "" as string | Uint8Array } = {}) {
    const args = line.split(" ").map((word) =>
      word.startsWith("@") ? this.path(word.slice(1)) : word
    );
    return await plasm(args, { stdin, env: { PLASM_STATE_DIR: this.path(state) } });
  }

  async receipt(name: string): Promise<Receipt> {
    return parseReceipt(await Deno.readTextFile(this.path(name)));
  }

  /** Writes a bundle in which a node claims something else. */
  async forge(
    name: string,
    changes: Partial<Claim>,
    content: Partial<BundleContent> = {},
  ): Promise<void> {
    const original = await verifyBundle(
      await Deno.readFile(this.path("r.plasm")),
      {},
      { withContents: true },
    );
    const { claim, run } = original.receipt;
    const receipt = await signReceipt(
      { claim: { ...claim, ...changes }, run },
      await ephemeralIdentity(),
    );
    const forged = {
      receipt,
      manifest: original.manifest,
      module: original.contents.get(claim.module_hash)!,
      stdin: STDIN,
      stdout: STDOUT,
      ...content,
    };
    await Deno.writeFile(this.path(name), ReadableStream.from(writeBundle(forged)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#temp[Symbol.asyncDispose]();
  }
}

function succeed({ code, stderr }: PlasmResult, expected = 0): void {
  assertEquals(code, expected, stderr);
}

/** Values of a report's rows with a label. */
function rows(report: string, label: string): string[] {
  return [...report.matchAll(new RegExp(`^${label} +(.*)$`, "gm"))].map(([, value]) => value!);
}

/** Assembles a module that writes a file. */
async function writer(): Promise<Uint8Array> {
  return await fileGuest([{ mkdir: "out" }, { write: "out/a", text: "file" }]);
}

/** Checks that a bundle has the file of {@linkcode writer}, and that a new run reproduces it. */
async function checkOutput(work: Workspace): Promise<void> {
  const { receipt, contents } = await verifyBundle(
    await Deno.readFile(work.path("r.plasm")),
    {},
    { withContents: true },
  );
  assertEquals(Object.keys(receipt.claim.outputs), ["out/a"]);
  const content = contents.get(receipt.claim.outputs["out/a"]!.hash);
  assertEquals(new TextDecoder().decode(content), "file");
  const rerun = await work.run("verify @r.plasm --rerun");
  succeed(rerun);
  assertEquals(rows(rerun.stdout, "rerun"), ["reproduced"]);
}

Deno.test("plasm exec --bundle writes a bundle that verify --rerun reproduces without other files", async () => {
  await using work = await Workspace.create();
  const ran = await work.run("exec --bundle @r.plasm --receipt @r.json @hello.wasm", {
    stdin: STDIN,
  });
  assertEquals([ran.code, ran.stdout, ran.stderr], [0, "dlroW ,olleH", ""]);
  await Deno.remove(work.path("hello.wasm"));
  await Deno.remove(work.path("in"));
  const plain = await work.run("verify @r.plasm");
  succeed(plain);
  assertStringIncludes(plain.stdout, "receipt verified\nstatus");
  const rerun = await work.run("verify @r.plasm --rerun");
  succeed(rerun);
  assertEquals(rows(rerun.stdout, "rerun"), ["reproduced"]);
  const json = await work.run("verify @r.plasm --rerun --json");
  const { verified, receipt, rerun: result } = JSON.parse(json.stdout);
  assertEquals([verified, receipt], [true, await work.receipt("r.json")]);
  assertEquals([result.outcome, result.sources], ["reproduced", []]);
  assertEquals(result.receipt.claim, receipt.claim);
});

Deno.test("plasm exec --bundle includes inputs, arguments and environment", async () => {
  await using work = await Workspace.create();
  succeed(
    await work.run(
      "exec --bundle @r.plasm --input @data:/data --env A=b --memory-mb 100 @hello.wasm -- x y",
      { stdin: STDIN },
    ),
  );
  const { manifest } = await verifyBundle(await Deno.readFile(work.path("r.plasm")));
  assertEquals([manifest.args, manifest.env], [["x", "y"], { A: "b" }]);
  assertEquals(Object.keys(manifest.inputs ?? {}), ["/data/", "/data/a"]);
  const rerun = await work.run("verify @r.plasm --rerun");
  succeed(rerun);
  assertEquals(rows(rerun.stdout, "rerun"), ["reproduced"]);
});

Deno.test("plasm exec --bundle includes output files, which verify --rerun compares", async () => {
  await using work = await Workspace.create();
  await Deno.writeFile(work.path("m.wasm"), await writer());
  const directory = `--output out/:${work.path("out")}`;
  succeed(await work.run(`exec --bundle @r.plasm ${directory} @m.wasm`));
  await checkOutput(work);
  await work.forge("forged.plasm", {
    outputs: { "out/a": { hash: await sha256(new Uint8Array(4)), bytes: 4 } },
  }, {
    stdin: undefined,
    stdout: undefined,
    outputs: new Map([["out/a", new Uint8Array(4)]]),
  });
  const forged = await work.run("verify @forged.plasm --rerun");
  assertEquals([forged.code, rows(forged.stdout, "byte")], [76, ["0, counted from 0"]]);
  // The output exists already: a new run writes nothing.
  const output = `--output out/a:${work.path("result")}`;
  succeed(await work.run(`exec --receipt @r.json ${output} @m.wasm`));
  const files = await work.run(`verify @r.json --rerun --module @m.wasm ${output}`);
  succeed(files);
  assertEquals(rows(files.stdout, "rerun"), ["reproduced"]);
});

Deno.test("plasm verify --rerun exits with 76 and names field and byte when a node claims another output", async () => {
  await using work = await Workspace.create();
  succeed(await work.run("exec --bundle @r.plasm @hello.wasm", { stdin: STDIN }));
  const stdout = STDOUT.slice();
  stdout[3]! ^= 1;
  const hash = await sha256(stdout);
  await work.forge("forged.plasm", { stdout: { hash, bytes: stdout.length } }, { stdout });
  const { code, stdout: text } = await work.run("verify @forged.plasm --rerun");
  assertEquals(code, 76);
  assertEquals(rows(text, "rerun"), ["different"]);
  assertEquals(rows(text, "differs"), [
    `stdout.hash is "${hash}" in the receipt, "${await sha256(STDOUT)}" in the new run`,
  ]);
  assertEquals(rows(text, "byte"), ["3, counted from 0"]);
  const json = await work.run("verify @forged.plasm --rerun --json");
  const { rerun } = JSON.parse(json.stdout);
  assertEquals(json.code, 76);
  assertEquals(rerun.outcome, "different");
  assertEquals(rerun.difference, {
    field: "stdout.hash",
    receipt: hash,
    rerun: await sha256(STDOUT),
    byte: 3,
  });
  const { stdout: receipt } = await new Deno.Command("tar", {
    args: ["-xOf", work.path("forged.plasm"), "receipt.json"],
  }).output();
  await Deno.writeFile(work.path("forged.json"), receipt);
  await Deno.writeFile(work.path("out"), stdout);
  const files = await work.run(
    "verify @forged.json --rerun --module @hello.wasm --stdin @in --stdout @out",
  );
  assertEquals([files.code, rows(files.stdout, "byte")], [76, ["3, counted from 0"]]);
  // Without the claimed output only the field is known.
  await work.forge("short.plasm", { stdout: { hash, bytes: 11 } }, { stdout: undefined });
  const short = JSON.parse((await work.run("verify @short.plasm --rerun --json")).stdout);
  assertEquals(short.rerun.difference, { field: "stdout.bytes", receipt: 11, rerun: 12 });
});

Deno.test("plasm verify --rerun exits with 79 and names the sources when the output depends on them", async () => {
  await using work = await Workspace.create();
  for (const source of ["clock", "random"] as const) {
    await Deno.writeFile(work.path("m.wasm"), await nondeterministicModule(source));
    succeed(await work.run("exec --bundle @r.plasm @m.wasm"));
    const { code, stdout } = await work.run("verify @r.plasm --rerun");
    assertEquals(code, 79);
    assertEquals(rows(stdout, "rerun"), ["not reproducible"]);
    assertEquals(rows(stdout, "sources"), [source]);
    const json = await work.run("verify @r.plasm --rerun --json");
    assertEquals(json.code, 79);
    const { outcome, sources } = JSON.parse(json.stdout).rerun;
    assertEquals([outcome, sources], ["not-reproducible", [source]]);
  }
});

Deno.test("plasm verify --rerun reproduces a job of the deterministic profile that uses clock and random", async () => {
  await using work = await Workspace.create();
  await Deno.writeTextFile(work.path("job.json"), JSON.stringify({ profile: "deterministic" }));
  for (const source of ["clock", "random"] as const) {
    await Deno.writeFile(work.path("m.wasm"), await nondeterministicModule(source));
    succeed(await work.run("exec --bundle @r.plasm --manifest @job.json @m.wasm"));
    const rerun = await work.run("verify @r.plasm --rerun");
    succeed(rerun);
    assertEquals(rows(rerun.stdout, "rerun"), ["reproduced"]);
    assertEquals(rows(rerun.stdout, "sources"), []);
  }
});

Deno.test("plasm verify --rerun of a receipt repeats the options of the run", async () => {
  await using work = await Workspace.create();
  const options = "--input @data:/data --memory-mb 100";
  succeed(
    await work.run(`exec --receipt @r.json ${options} @hello.wasm -- x`, { stdin: STDIN }),
  );
  const files = "--module @hello.wasm --stdin @in";
  const verified = await work.run(`verify @r.json --rerun ${files} ${options} -- x`);
  succeed(verified);
  assertEquals(rows(verified.stdout, "rerun"), ["reproduced"]);
  for (
    const [line, code, message] of [
      [`--rerun ${files} ${options} -- y`, 65, "the manifest of these options hashes to sha256:"],
      [`--rerun ${files} --memory-mb 100 -- x`, 65, "the manifest of these options hashes to"],
      [`--rerun --stdin @in`, 2, "the module is not known"],
      [`--rerun --module @hello.wasm ${options} -- x`, 2, "the job had standard input"],
      [`--rerun ${files} --stdin @hello.wasm`, 2, "cannot be repeated"],
      [`--rerun --module @hello.wasm --stdin @hello.wasm ${options} -- x`, 76, "stdin_hash is"],
      [`${options}`, 2, "without --rerun"],
      [`-- x`, 2, "Cannot use arguments after -- without --rerun"],
      [`--rerun ${files} --arch x86_64`, 2, "Cannot use --arch without --remote"],
    ] as const
  ) {
    const refused = await work.run(`verify @r.json ${line}`);
    assertEquals([refused.code, refused.stdout], [code, ""], refused.stderr);
    assertStringIncludes(refused.stderr.replaceAll("\n", " "), message);
  }
});

Deno.test("plasm verify refuses a bundle that was changed, and options that its manifest decides", async () => {
  await using work = await Workspace.create();
  succeed(await work.run("exec --bundle @r.plasm @hello.wasm", { stdin: STDIN }));
  const bundle = await Deno.readFile(work.path("r.plasm"));
  for (const at of [0, 600, bundle.length - 1030, bundle.length - 1]) {
    const changed = bundle.slice();
    changed[at]! ^= 1;
    await Deno.writeFile(work.path("changed.plasm"), changed);
    for (const options of ["", " --rerun"]) {
      const { code, stdout } = await work.run(`verify @changed.plasm${options}`);
      assertEquals([code, stdout], [76, ""], `byte ${at}`);
    }
  }
  await Deno.writeFile(work.path("cut.plasm"), bundle.subarray(0, bundle.length - 1));
  const cut = await work.run("verify @cut.plasm");
  assertEquals(cut.code, 76);
  assertStringIncludes(cut.stderr, "Cannot read bundle: it ends early");
  const other = await work.run("verify @r.plasm --rerun --memory-mb 100");
  assertEquals(other.code, 2);
  assertStringIncludes(other.stderr, "Cannot use --memory-mb with a bundle");
  const stdin = await work.run("verify @r.plasm --stdin @hello.wasm");
  assertEquals(stdin.code, 76);
});

Deno.test("plasm exec refuses a bundle that it cannot write, before the job runs", async () => {
  await using work = await Workspace.create();
  await new Deno.Command("mkfifo", { args: [work.path("pipe")] }).output();
  for (
    const [path, message] of [
      ["@missing/r.plasm", "file not found"],
      ["@data", "it is a directory"],
      ["@pipe", "it is not a regular file"],
    ] as const
  ) {
    const { code, stdout, stderr } = await work.run(`exec --bundle ${path} @hello.wasm`);
    assertEquals([code, stdout], [2, ""]);
    assertStringIncludes(stderr, `Cannot write bundle: ${message}`);
  }
  const piped = await work.run("exec --pipe --bundle @r.plasm @hello.wasm");
  assertEquals(piped.code, 2);
  assertStringIncludes(piped.stderr, "Cannot use --bundle with --pipe");
});

Deno.test("plasm receipt exports receipts of two nodes as one envelope and imports it", async () => {
  await using work = await Workspace.create();
  succeed(await work.run("exec --bundle @r.plasm @hello.wasm", { stdin: STDIN }));
  succeed(
    await work.run("verify @r.plasm --rerun --receipt @mine.json", { state: "verifier" }),
  );
  const exported = await work.run("receipt export @r.plasm @mine.json --format in-toto");
  succeed(exported);
  await Deno.writeTextFile(work.path("e.json"), exported.stdout);
  const imported = await work.run("receipt import - --json", { stdin: exported.stdout });
  succeed(imported);
  const mine = await work.receipt("mine.json");
  const { claim, signers } = JSON.parse(imported.stdout);
  assertEquals(claim, mine.claim);
  assertEquals(signers.length, 2);
  const { public_key: key, peer_id: peer } = mine.run.node;
  const text = await work.run(`receipt import @e.json --key ${key} --peer ${peer}`);
  succeed(text);
  const [unknown] = signers.filter(({ peer_id }: { peer_id: string }) => peer_id !== peer);
  const expected = [peer, `${unknown.peer_id} (not verified, use --key or --peer)`];
  assertEquals(rows(text.stdout, "signer").sort(), expected.sort());
  await Deno.writeFile(work.path("out"), STDOUT);
  const files = "--module @hello.wasm --stdout @out";
  succeed(await work.run(`receipt import @e.json ${files}`));
  const other = await work.run("receipt import @e.json --stdout @hello.wasm");
  assertEquals([other.code, other.stdout], [76, ""]);
  assertStringIncludes(other.stderr, "Cannot trust claim: stdout.hash is");
  const stranger = (await ephemeralIdentity()).publicKey;
  const refused = await work.run(`receipt import @e.json --key ${stranger}`);
  assertEquals(refused.code, 76);
  assertStringIncludes(refused.stderr, "signatures has none by");
  assertStringIncludes(refused.stderr, stranger);
});

Deno.test("plasm receipt export exits with 76 and names the first difference of two claims", async () => {
  await using work = await Workspace.create();
  succeed(await work.run("exec --receipt @a.json @hello.wasm", { stdin: STDIN }));
  succeed(await work.run("exec --receipt @b.json @hello.wasm", { stdin: "other" }));
  const { code, stdout, stderr } = await work.run("receipt export @a.json @b.json");
  assertEquals([code, stdout], [76, ""]);
  assertStringIncludes(stderr.replaceAll("\n", " "), "Cannot combine receipts: stdin_hash is");
});

Deno.test("plasm receipt show prints a receipt and a bundle, and refuses a forged one", async () => {
  await using work = await Workspace.create();
  succeed(
    await work.run("exec --receipt @r.json --bundle @r.plasm @hello.wasm", { stdin: STDIN }),
  );
  const receipt = await work.receipt("r.json");
  const shown = await work.run("receipt show @r.json");
  succeed(shown);
  const { claim, run } = receipt;
  for (const text of [claim.manifest_hash, claim.stdout.hash, run.nonce, run.node.public_key]) {
    assertStringIncludes(shown.stdout, text);
  }
  const bundle = await Deno.readFile(work.path("r.plasm"));
  assertEquals((await work.run("receipt show -", { stdin: bundle })).stdout, shown.stdout);
  const json = await work.run("receipt show @r.plasm --json");
  assertEquals(JSON.parse(json.stdout), receipt);
  await Deno.writeTextFile(
    work.path("f.json"),
    JSON.stringify({ ...receipt, claim: { ...claim, exit_code: 1 } }),
  );
  const forged = await work.run("receipt show @f.json");
  assertEquals([forged.code, forged.stdout], [76, ""]);
});

Deno.test("plasm receipt refuses unknown actions, options of another action and too many files", async () => {
  await using work = await Workspace.create();
  for (
    const [line, message] of [
      ["sign @in", "Unknown argument: sign"],
      ["show", "Missing argument"],
      ["show @in --format in-toto", "Cannot use --format with show"],
      ["export @in --key 00", "Cannot use --key with export"],
      ["show @in --stdout @in", "Cannot use --stdout with show"],
      ["export @in --format jws", "Cannot use --format jws"],
      ["import @in @in", "Unexpected argument"],
      ["export - -", "Cannot read standard input: - is named twice"],
    ] as const
  ) {
    const { code, stderr } = await work.run(`receipt ${line}`);
    assertEquals(code, 2, stderr);
    assertStringIncludes(stderr, message);
  }
  const { code } = await work.run("receipt import @in");
  assertEquals(code, 76);
});

Deno.test("plasm exec --daemon --bundle writes a bundle that verify --rerun reproduces", async () => {
  await using work = await Workspace.create();
  await using _daemon = await DaemonProcess.start({ dir: work.dir });
  const env = environment(work.dir);
  for (const json of [[], ["--json"]]) {
    const ran = await plasm(
      [
        ...["exec", "--daemon", "--bundle", work.path("r.plasm"), ...json],
        ...["--input", `${work.path("data")}:data`, work.path("hello.wasm"), "--", "x"],
      ],
      { stdin: STDIN, env },
    );
    succeed(ran);
    const rerun = await work.run("verify @r.plasm --rerun");
    succeed(rerun);
    assertEquals(rows(rerun.stdout, "rerun"), ["reproduced"]);
    const { contents, receipt } = await verifyBundle(
      await Deno.readFile(work.path("r.plasm")),
      {},
      { withContents: true },
    );
    assertEquals(contents.get(receipt.claim.stdout.hash), STDOUT);
  }
  await Deno.writeFile(work.path("m.wasm"), await writer());
  for (const json of [[], ["--json"]]) {
    const output = ["--force", "--output", `out/:${work.path("out")}`];
    const args = ["exec", "--daemon", "--bundle", work.path("r.plasm"), ...output, ...json];
    succeed(await plasm([...args, work.path("m.wasm")], { env }));
    await checkOutput(work);
  }
});

Deno.test(
  "plasm exec --remote --bundle and verify --rerun --remote use other nodes",
  LIBP2P,
  async () => {
    await using work = await Workspace.create();
    await using node = await realNode();
    const remote = `--remote --bootstrap ${node.bootstrap[0]}`;
    succeed(await work.run(`exec ${remote} --bundle @r.plasm @hello.wasm`, { stdin: STDIN }));
    const here = await work.run("verify @r.plasm --rerun");
    succeed(here);
    assertEquals(rows(here.stdout, "rerun"), ["reproduced"]);
    const { peerId } = node.daemon.identity;
    succeed(await work.run("exec --bundle @own.plasm @hello.wasm", { stdin: STDIN }));
    const there = await work.run(
      `verify @own.plasm --rerun ${remote} --peer ${peerId} --receipt @again.json`,
    );
    succeed(there);
    assertEquals(rows(there.stdout, "rerun"), ["reproduced"]);
    assertEquals(rows(there.stdout, "run by"), [peerId]);
    const again = await work.receipt("again.json");
    assertEquals(again.run.node.peer_id, peerId);
    const stdout = STDOUT.slice();
    stdout[11]! ^= 1;
    await work.forge(
      "forged.plasm",
      { stdout: { hash: await sha256(stdout), bytes: stdout.length } },
      { stdout },
    );
    const forged = await work.run(`verify @forged.plasm --rerun ${remote}`);
    assertEquals(forged.code, 76, forged.stderr);
    assertEquals(rows(forged.stdout, "byte"), ["11, counted from 0"]);
    assertEquals(rows(forged.stdout, "rerun"), ["different"]);

    await Deno.writeFile(work.path("m.wasm"), await writer());
    const output = `--output out/:${work.path("out")}`;
    succeed(await work.run(`exec ${remote} --bundle @r.plasm ${output} @m.wasm`));
    await checkOutput(work);
    const outputs = new Map([["out/a", new TextEncoder().encode("fiLe")]]);
    await work.forge(
      "files.plasm",
      { outputs: { "out/a": { hash: await sha256(outputs.get("out/a")!), bytes: 4 } } },
      { stdin: undefined, stdout: undefined, outputs },
    );
    const files = await work.run(`verify @files.plasm --rerun ${remote}`);
    assertEquals([files.code, rows(files.stdout, "byte")], [76, ["2, counted from 0"]]);
  },
);
