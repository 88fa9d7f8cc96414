/**
 * Runs components that other tools make: jco's adapter over programs of wasi-libc and Zig, componentize-js and
 * componentize-py; skipped with a message where a tool is missing.
 * @module
 */
import { assertEquals } from "@std/assert";
import { plasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { outputOf } from "../fixtures/optional_program.ts";

const FIXTURES = decodeURIComponent(new URL("../fixtures/", import.meta.url).pathname);
const COMPONENTS = `${FIXTURES}components/`;

/** Runs a program; undefined if it cannot be started or fails. */
async function run(program: string, args: string[], cwd?: string): Promise<string | undefined> {
  const command = new Deno.Command(program, {
    args,
    stderr: "piped",
    ...(cwd === undefined ? {} : { cwd }),
  });
  const output = await outputOf(command);
  if (output?.success) return new TextDecoder().decode(output.stdout);
  if (output !== undefined) console.warn(new TextDecoder().decode(output.stderr).slice(0, 2000));
  return undefined;
}

/** Runs a script or package of npm outside the project, so that its lock file does not change. */
function npm(script: string, ...args: string[]): Promise<string | undefined> {
  return run(Deno.execPath(), ["run", "-A", "--no-lock", "--no-config", "-q", script, ...args]);
}

/** Wraps a module of preview1 with the adapter to WASI 0.2; returns whether jco can be had. */
async function adapt(module: string, component: string): Promise<boolean> {
  const jco = "npm:@bytecodealliance/jco@1.35.0";
  return await npm(jco, "new", module, "--wasi-command", "-o", component) !== undefined;
}

/** Programs in C by the name of their source, as in wasi_libc_test.ts. Each checks itself. */
const PROGRAMS: Record<string, { options?: string[]; args?: string[]; stdout?: string }> = {
  files: {},
  stdio: { stdout: "0,1,2,3,4,5,6,7,8,9," },
  devices: { stdout: "to stdout" },
  process: {
    options: ["--argv0", "program", "--env", "KEY=va=lue", "--input", "data"],
    args: ["one two", ""],
  },
  // As many scenarios as without the adapter.
  preview1: { stdout: "52 of 52\n" },
};

Deno.test("plasm exec runs programs of wasi-libc with the adapter to WASI 0.2", async (t) => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.mkdir(`${dir}/data`);
  await Deno.writeTextFile(`${dir}/data/file`, "text");
  await Deno.utime(`${dir}/data/file`, 1_000_000_000, 1_000_000_000);
  for (const [name, { options = [], args = [], stdout = "" }] of Object.entries(PROGRAMS)) {
    const module = `${dir}/${name}.module.wasm`;
    const source = `${FIXTURES}interop/wasi_libc/${name}.c`;
    const flags = ["--target=wasm32-wasi", "-O2", "-w", "-DADAPTED", source, "-o", module];
    if (await run("clang", flags) === undefined) {
      console.warn("SKIPPED: clang, lld or wasi-libc is not installed");
      return;
    }
    if (!await adapt(module, `${dir}/${name}.wasm`)) {
      console.warn("SKIPPED: npm's @bytecodealliance/jco cannot be had");
      return;
    }
    await t.step(name, async () => {
      const result = await plasm(["exec", ...options, `${dir}/${name}.wasm`, "--", ...args], {
        stdin: "input\n",
        cwd: dir,
      });
      // The adapter turns every exit code but 0 into 1.
      const code = name === "process" ? 1 : 0;
      assertEquals([result.code, result.stdout], [code, stdout], result.stderr);
    });
  }
});

Deno.test("plasm exec runs a program of Zig's C compiler with the adapter to WASI 0.2", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const source = `${FIXTURES}interop/wasi_libc/files.c`;
  const zig = ["-m", "ziglang", "cc", "-target", "wasm32-wasi", "-O2", "-w"];
  if (await run("python3", [...zig, source, "-o", `${dir}/module.wasm`]) === undefined) {
    console.warn("SKIPPED: PyPI's ziglang is not installed");
    return;
  }
  if (!await adapt(`${dir}/module.wasm`, `${dir}/files.wasm`)) {
    console.warn("SKIPPED: npm's @bytecodealliance/jco cannot be had");
    return;
  }
  const { code, stdout, stderr } = await plasm(["exec", `${dir}/files.wasm`]);
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: "", stderr: "" });
});

Deno.test("plasm exec runs a component of componentize-js", async () => {
  await using temp = await tempDir();
  const component = `${temp.path}/program.wasm`;
  const made = await npm(
    `${COMPONENTS}componentize.mjs`,
    "npm:@bytecodealliance/componentize-js@0.23.0",
    `${COMPONENTS}program.js`,
    `${COMPONENTS}command.wit`,
    component,
  );
  if (made === undefined) {
    console.warn("SKIPPED: npm's @bytecodealliance/componentize-js cannot be had");
    return;
  }
  const { code, stdout, stderr } = await plasm(["exec", component, "--", "one", "two"]);
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: "ONE TWO\n", stderr: "done\n" });
});

Deno.test("plasm exec runs a component of componentize-py", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.mkdir(`${dir}/wit`);
  await Deno.copyFile(`${COMPONENTS}command.wit`, `${dir}/wit/command.wit`);
  await Deno.copyFile(`${COMPONENTS}program.py`, `${dir}/program.py`);
  const args = ["-d", "wit", "-w", "command", "componentize", "program", "-o", "program.wasm"];
  if (await run("componentize-py", args, dir) === undefined) {
    console.warn("SKIPPED: PyPI's componentize-py is not installed");
    return;
  }
  const { code, stdout, stderr } = await plasm(
    ["exec", "--deterministic", `${dir}/program.wasm`, "--", "one", "two"],
  );
  assertEquals({ code, stdout }, { code: 0, stdout: "ONE TWO\n" }, stderr);
  assertEquals(stderr.includes("done\n"), true, stderr);
});
