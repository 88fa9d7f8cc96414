import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { startNode } from "../../scripts/demo/nodes.ts";
import { emptyProject } from "../fixtures/library/project.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

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
    ["--allow-read", "--allow-run=/proc/self/exe", "examples/library/run_job.ts"],
    ROOT,
  );
  assertEquals(code, 0, stderr);
  assertMatch(stdout, /^dlroW ,olleH\nexited with code 0 after \d+ ms\n$/);
});

Deno.test("examples/library runs a job on another node and reports when it has none", async () => {
  const flags = [
    ...["--allow-read", "--allow-net", "--unstable-net", "examples/library/run_remote_job.ts"],
  ];
  {
    await using temp = await tempDir();
    const dir = temp.path;
    await using node = await startNode({ dir: `${dir}/node`, set: {} });
    const { code, stdout, stderr } = await deno([...flags, node.addresses[0]!], ROOT);
    assertEquals(code, 0, stderr);
    assertMatch(stdout, /^dlroW ,olleH\nexited with code 0 on 12D3KooW\w+\n$/);
  }
  const { code, stderr } = await deno(flags, ROOT);
  assertEquals(code, 2);
  assertStringIncludes(stderr, "Cannot find nodes: no bootstrap node");
});

Deno.test("an empty project runs the examples of the library", async () => {
  await using project = await emptyProject();
  const example = await Deno.readTextFile(`${ROOT}examples/library/run_job.ts`);
  await project.write("run_job.ts", example);
  const { code, stdout, stderr } = await project.deno([
    ...["run", "--no-prompt", "--allow-read", "--allow-run=/proc/self/exe"],
    ...["run_job.ts", `${ROOT}examples/hello/hello.wasm`],
  ]);
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "dlroW ,olleH");
});

/** The demo's flags after `deno run`, without those that deno() adds: 2.7.11 rejects duplicates. */
const DEMO = (JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)).tasks.demo.command as string)
  .split(" ").slice(2).filter((flag) => flag !== "--no-prompt");

Deno.test("the demo finds a node, runs a job, verifies its receipt and rejects a forged one", async () => {
  const { code, stdout, stderr } = await deno(DEMO, ROOT);
  assertEquals(code, 0, stderr);
  assertMatch(stdout, /^found +12D3KooW\w+ in the DHT/m);
  assertMatch(stdout, /^sent +\d{5} bytes$/m);
  assertMatch(stdout, /^output +dlroW ,olleH$/m);
  assertMatch(stdout, /^receipt +verified: job_/m);
  assertMatch(stdout, /^forged +refused: .*signature/m);
});

Deno.test("the demo removes processes and files when it is interrupted", async () => {
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
    // By then its nodes are running.
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
