/**
 * Tests the compiled binaries, natively or, with binfmt_misc and qemu-user-static, emulated. The command-line tests
 * also run on a binary with `PLASM_BINARY=dist/TARGET/plasm`; this file covers what only a binary can get wrong.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { sha256 } from "../../scripts/compile/checksums.ts";
import { binaryFile, DIST, LINUX_TARGETS } from "../../scripts/compile/targets.ts";
import { assemble } from "../fixtures/hostile/wat.ts";
import { plasm, type PlasmOptions, type PlasmResult } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);

/** Maximum size of a binary. */
const MAX_BYTES = 105e6;

const ENDLESS = '(module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l))))';

interface Binary {
  triple: string;
  file: string;
  /** Reason to skip the tests; undefined if they can run. */
  reason: string | undefined;
}

const binaries: Binary[] = [];
for (const target of LINUX_TARGETS) {
  const file = decodeURIComponent(binaryFile(target).pathname);
  const reason = await whyNot(file);
  if (reason !== undefined) console.warn(`SKIPPED: binary for ${target.triple}: ${reason}`);
  binaries.push({ triple: target.triple, file, reason });
}

async function whyNot(file: string): Promise<string | undefined> {
  try {
    const { success } = await new Deno.Command(file, { args: ["version"] }).output();
    return success ? undefined : "it does not start";
  } catch (error) {
    const { NotFound } = Deno.errors;
    return error instanceof NotFound ? "not compiled (deno task compile)" : `${error}`;
  }
}

function on(binary: Binary, args: string[], options: PlasmOptions = {}): Promise<PlasmResult> {
  return plasm(args, { ...options, program: [binary.file] });
}

for (const binary of binaries) {
  const { triple, file } = binary;
  const test = (name: string, fn: () => Promise<void>) =>
    Deno.test({ name: `${triple}: ${name}`, ignore: binary.reason !== undefined, fn });

  test("is within the size limit and matches SHA256SUMS", async () => {
    const bytes = await Deno.readFile(file);
    assert(bytes.length <= MAX_BYTES, `${bytes.length} bytes`);
    const sums = await Deno.readTextFile(new URL("SHA256SUMS", DIST));
    assertStringIncludes(sums, `${await sha256(bytes)}  ${triple}/plasm\n`);
  });

  test("embeds only the required permissions", async () => {
    const text = new TextDecoder("latin1").decode(await Deno.readFile(file));
    const at = text.lastIndexOf('"permissions":{');
    const baked = JSON.parse(text.slice(at + 14, text.indexOf("}", at) + 1));
    const open = Object.keys(baked).filter((name) =>
      name.startsWith("allow_") && baked[name]?.length === 0
    );
    assertEquals(open.sort(), ["allow_net", "allow_read", "allow_write"]);
    assertEquals({
      allowFfi: baked.allow_ffi,
      denyFfi: baked.deny_ffi,
      denyImport: baked.deny_import,
      prompt: baked.prompt,
    }, { allowFfi: null, denyFfi: [], denyImport: [], prompt: false });
    assertMatch(text.slice(at), /"v8_flags":\[[^\]]*"--wasm-tier-mask-for-testing=-1"/);
  });

  test("prints its components and commit", async () => {
    const { code, stdout } = await on(binary, ["version", "--json"]);
    const { plasm, target, commit, ...rest } = JSON.parse(stdout);
    assertEquals({ code, plasm, target }, { code: 0, plasm: config.version, target: triple });
    assertMatch(commit, /^[0-9a-f]{40}(-dirty)?$/);
    assertEquals(Object.keys(rest).sort(), ["deno", "v8"]);
  });

  test("runs a job whose receipt every other binary accepts", async () => {
    await using temp = await tempDir();
    const dir = temp.path;
    const env = { PLASM_STATE_DIR: `${dir}/state` };
    const receipt = `${dir}/receipt.json`;
    const run = await on(binary, ["exec", "--receipt", receipt, HELLO], { stdin: "Hi", env });
    assertEquals({ code: run.code, stdout: run.stdout, stderr: run.stderr }, {
      code: 0,
      stdout: "iH",
      stderr: "",
    });
    const { runtime } = JSON.parse(await Deno.readTextFile(receipt)).run;
    assertEquals(runtime.arch, triple.split("-")[0]);
    await Deno.writeTextFile(`${dir}/out`, run.stdout);
    const args = ["verify", receipt, "--module", HELLO, "--stdout", `${dir}/out`];
    for (const other of binaries.filter(({ reason }) => reason === undefined)) {
      const { code, stderr } = await on(other, args);
      assertEquals({ code, stderr }, { code: 0, stderr: "" }, other.triple);
    }
    await Deno.writeTextFile(`${dir}/out`, "Hi");
    const refused = await on(binary, args);
    assertEquals(refused.code, 76);
    assertStringIncludes(refused.stderr, "claim.stdout.hash");
  });

  test("stops an endless job and rejects a file that is not a module", async () => {
    await using temp = await tempDir();
    const dir = temp.path;
    await Deno.writeFile(`${dir}/endless.wasm`, await assemble(ENDLESS));
    const endless = await on(binary, ["exec", "--timeout", "1", `${dir}/endless.wasm`]);
    assertEquals(endless.code, 124, endless.stderr);
    assertEquals((await on(binary, ["exec", `${dir}/state`])).code, 65);
    assertEquals((await on(binary, ["exec", "--nonsense"])).code, 2);
  });

  test("uses no code cache in a shared directory", async () => {
    await using temp = await tempDir();
    const dir = temp.path;
    const { code } = await on(binary, ["version"], { env: { TMPDIR: dir } });
    assertEquals({ code, files: [...Deno.readDirSync(dir)] }, { code: 0, files: [] });
  });

  test("rejects arguments that are not UTF-8", async () => {
    // Deno.Command cannot pass such bytes. The runtime rejects them with a different status.
    const { code, stdout } = await new Deno.Command("bash", {
      args: ["-c", `"$1" exec "$2" -- $'\\xff'`, "bash", file, HELLO],
    }).output();
    assert(code !== 0, `exited with ${code}`);
    assertEquals(stdout.length, 0);
  });
}
