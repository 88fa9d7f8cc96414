/**
 * The binaries that `deno task compile` made, each on this machine or, where binfmt_misc and
 * qemu-user-static are set up, emulated. The command line's own tests run on a binary by
 * `PLASM_BINARY=dist/TARGET/plasm`; here is what only a binary can get wrong.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { sha256 } from "../../scripts/compile/checksums.ts";
import { binaryFile, DIST, LINUX_TARGETS } from "../../scripts/compile/targets.ts";
import { assemble } from "../fixtures/hostile/wat.ts";
import { plasm, type PlasmOptions, type PlasmResult, withTempDir } from "../fixtures/plasm.ts";

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);

/** What an administrator may be asked to download and install. */
const MAX_BYTES = 105e6;

const ENDLESS = '(module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l))))';

interface Binary {
  triple: string;
  file: string;
  /** Why it cannot be tested; undefined where it can. */
  reason: string | undefined;
}

const binaries: Binary[] = [];
for (const target of LINUX_TARGETS) {
  const file = decodeURIComponent(binaryFile(target).pathname);
  const reason = await whyNot(file);
  if (reason !== undefined) console.warn(`SKIPPED: the binary of ${target.triple}: ${reason}`);
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

  test("is small enough and is what SHA256SUMS says", async () => {
    const bytes = await Deno.readFile(file);
    assert(bytes.length <= MAX_BYTES, `${bytes.length} bytes`);
    const sums = await Deno.readTextFile(new URL("SHA256SUMS", DIST));
    assertStringIncludes(sums, `${await sha256(bytes)}  ${triple}/plasm\n`);
  });

  test("has only the permissions it needs baked in", async () => {
    const text = new TextDecoder("latin1").decode(await Deno.readFile(file));
    const at = text.lastIndexOf('"permissions":{');
    const baked = JSON.parse(text.slice(at + 14, text.indexOf("}", at) + 1));
    const open = Object.keys(baked).filter((name) =>
      name.startsWith("allow_") && baked[name]?.length === 0
    );
    assertEquals(open.sort(), ["allow_net", "allow_read", "allow_write"]);
    assertEquals(
      [baked.allow_ffi, baked.deny_ffi, baked.deny_import, baked.prompt],
      [null, [], [], false],
    );
    assertMatch(text.slice(at), /"v8_flags":\[[^\]]*"--wasm-tier-mask-for-testing=-1"/);
  });

  test("names its parts and its commit", async () => {
    const { code, stdout } = await on(binary, ["version", "--json"]);
    const { plasm, target, commit, ...rest } = JSON.parse(stdout);
    assertEquals([code, plasm, target], [0, config.version, triple]);
    assertMatch(commit, /^[0-9a-f]{40}(-dirty)?$/);
    assertEquals(Object.keys(rest).sort(), ["deno", "v8"]);
  });

  test("runs a job, and every other binary accepts its receipt", async () => {
    await withTempDir(async (dir) => {
      const env = { PLASM_STATE_DIR: `${dir}/state` };
      const receipt = `${dir}/receipt.json`;
      const run = await on(binary, ["exec", "--receipt", receipt, HELLO], { stdin: "Hi", env });
      assertEquals([run.code, run.stdout, run.stderr], [0, "iH", ""]);
      const { runtime } = JSON.parse(await Deno.readTextFile(receipt));
      assertEquals(runtime.arch, triple.split("-")[0]);
      await Deno.writeTextFile(`${dir}/out`, run.stdout);
      const args = ["verify", receipt, "--module", HELLO, "--stdout", `${dir}/out`];
      for (const other of binaries.filter(({ reason }) => reason === undefined)) {
        const { code, stderr } = await on(other, args);
        assertEquals([code, stderr], [0, ""], other.triple);
      }
      await Deno.writeTextFile(`${dir}/out`, "Hi");
      const refused = await on(binary, args);
      assertEquals(refused.code, 76);
      assertStringIncludes(refused.stderr, "stdout_hash");
    });
  });

  test("stops a job that does not end, and refuses what is no module", async () => {
    await withTempDir(async (dir) => {
      await Deno.writeFile(`${dir}/endless.wasm`, await assemble(ENDLESS));
      const endless = await on(binary, ["exec", "--timeout", "1", `${dir}/endless.wasm`]);
      assertEquals(endless.code, 124, endless.stderr);
      assertEquals((await on(binary, ["exec", `${dir}/state`])).code, 65);
      assertEquals((await on(binary, ["exec", "--nonsense"])).code, 2);
    });
  });

  test("keeps no cache where others could put one for it to run", async () => {
    await withTempDir(async (dir) => {
      const { code } = await on(binary, ["version"], { env: { TMPDIR: dir } });
      assertEquals([code, [...Deno.readDirSync(dir)]], [0, []]);
    });
  });

  test("does not take bytes that are not UTF-8 for others", async () => {
    // Deno.Command cannot pass such bytes. The runtime itself gives up on them, with its own status.
    const { code, stdout } = await new Deno.Command("bash", {
      args: ["-c", `"$1" exec "$2" -- $'\\xff'`, "bash", file, HELLO],
    }).output();
    assert(code !== 0, `exited with ${code}`);
    assertEquals(stdout.length, 0);
  });
}
