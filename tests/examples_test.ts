import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { withTempDir } from "./plasm.ts";

const ROOT = decodeURIComponent(new URL("../", import.meta.url).pathname);

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

Deno.test("the demo ends with a verified receipt and refuses a forged one", async () => {
  const config = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const [, , ...flags] = config.tasks.demo.command.split(" ") as string[];
  const args = flags.filter((flag) => flag !== "--no-prompt");
  const { code, stdout, stderr } = await deno(args, ROOT);
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "dlroW ,olleH");
  assertMatch(stdout, /^receipt +verified: job_/m);
  assertMatch(stdout, /^forged +refused: .*signature/m);
});
