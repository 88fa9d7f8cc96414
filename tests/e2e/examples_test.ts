import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { withTempDir } from "../fixtures/plasm.ts";

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);

async function deno(
  args: string[],
  cwd: string,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--quiet", ...args],
    cwd,
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("examples/library runs a job", async () => {
  const { code, stdout, stderr } = await deno(
    ["--allow-read", "--allow-run", "--unstable-worker-options", "examples/library/run_job.ts"],
    ROOT,
  );
  assertEquals(code, 0, stderr);
  assertMatch(stdout, /^dlroW ,olleH\nexited with code 0 after \d+ ms\n$/);
});

Deno.test("another Deno project imports the library by its name", async () => {
  await withTempDir(async (dir) => {
    const { imports } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
    // As from a registry: the project knows the library by name, and the library its dependencies.
    await Deno.writeTextFile(
      `${dir}/deno.json`,
      JSON.stringify({
        imports: { ...imports, "@plasm/plasm": `${ROOT}mod.ts` },
        links: ["assert", "cli", "jsonc"].map((name) => `${ROOT}scripts/std/${name}`),
      }),
    );
    await Deno.copyFile(`${ROOT}examples/library/run_job.ts`, `${dir}/run_job.ts`);
    const { code, stdout, stderr } = await deno(
      [
        "--allow-read",
        "--allow-run",
        "--unstable-worker-options",
        "run_job.ts",
        `${ROOT}examples/hello/hello.wasm`,
      ],
      dir,
    );
    assertEquals(code, 0, stderr);
    assertStringIncludes(stdout, "dlroW ,olleH");
  });
});

/** The demo's arguments after `deno run`, but for what deno() gives: 2.7.11 takes a flag once. */
const DEMO = (JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)).tasks.demo.command as string)
  .split(" ").slice(2).filter((flag) => flag !== "--no-prompt");

Deno.test("the demo finds a node, runs a job there, verifies its receipt and refuses a forged one", async () => {
  const { code, stdout, stderr } = await deno(DEMO, ROOT);
  assertEquals(code, 0, stderr);
  assertMatch(stdout, /^found +12D3KooW\w+ in the DHT/m);
  assertMatch(stdout, /^sent +\d{5} bytes$/m);
  assertMatch(stdout, /^output +dlroW ,olleH$/m);
  assertMatch(stdout, /^receipt +verified: job_/m);
  assertMatch(stdout, /^forged +refused: .*signature/m);
});

Deno.test("the demo leaves nothing behind when it is interrupted", async () => {
  const before = await demoDirs();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--quiet", ...DEMO],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let seen = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    // Its nodes run by then.
    if (!seen.includes("network") && `${seen}${text}`.includes("network")) child.kill("SIGINT");
    seen += text;
  }
  assertEquals((await child.status).code, 130, seen);
  assertEquals((await demoDirs()).difference(before), new Set());
});

async function demoDirs(): Promise<Set<string>> {
  const names = await Array.fromAsync(Deno.readDir("/tmp"), ({ name }) => name);
  return new Set(names.filter((name) => name.startsWith("plasm-demo-")));
}
