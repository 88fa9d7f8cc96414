/**
 * Runs tests of Go's standard library, compiled for wasip1; skipped with a message if Go or its sources are missing.
 *
 * Go's own test runs use wasmtime, under which none of them fails.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { plasm } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { outputOf } from "../fixtures/optional_program.ts";

/** Packages whose tests use files and streams. Those of time and sync depend on the machine's load. */
const PACKAGES = [
  ...["bufio", "fmt", "io", "io/fs", "os", "path/filepath", "strconv", "strings"],
];

/** Fewest tests that must pass, without subtests: 645 do with Go 1.26.8. */
const FLOOR = 600;

/** Paths below GOROOT that tests read, in addition to their package. */
const SHARED = ["go.env", "lib/time", "src/unicode"];

/** Files of GOROOT whose names a test of `os` expects. Go from PyPI lacks them, so an empty file stands for each. */
const NAMED = ["CONTRIBUTING.md", "LICENSE"];

/** Returns GOROOT if Go and the sources of its tests are installed. */
async function goRoot(): Promise<string | undefined> {
  const found = await outputOf(new Deno.Command("go", { args: ["env", "GOROOT"], stderr: "null" }));
  if (found?.success !== true) return undefined;
  const root = new TextDecoder().decode(found.stdout).trim();
  const info = await Deno.stat(`${root}/src/os/os_test.go`).catch(() => undefined);
  return info === undefined ? undefined : root;
}

async function compile(name: string, output: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("go", {
    args: ["test", "-c", "-o", output, name],
    env: { GOOS: "wasip1", GOARCH: "wasm", GOFLAGS: "", GOTOOLCHAIN: "local" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
}

Deno.test("plasm exec runs the tests of Go's standard library", async (t) => {
  const root = await goRoot();
  if (root === undefined) {
    console.warn("SKIPPED: Go or the sources of its standard library are not installed");
    return;
  }
  await using temp = await tempDir();
  const empty = `${temp.path}/empty`;
  await Deno.writeTextFile(empty, "");
  const totals = { passed: 0, skipped: 0, failed: 0 };
  const count = (text: string, result: string) =>
    text.match(new RegExp(`^--- ${result}:`, "gm"))?.length ?? 0;
  for (const name of PACKAGES) {
    await t.step(name, async () => {
      const module = `${temp.path}/${name.replaceAll("/", "_")}.wasm`;
      await compile(name, module);
      const directory = `${root}/src/${name}`;
      const inputs = [
        ...[directory, ...SHARED.map((path) => `${root}/${path}`)].map((path) => `${path}:${path}`),
        ...NAMED.map((name) => `${empty}:${root}/${name}`),
      ];
      const { code, stdout, stderr } = await plasm([
        "exec",
        ...["--memory-mb", "1024", "--timeout", "300"],
        ...inputs.flatMap((input) => ["--input", input]),
        ...["--env", `PWD=${directory}`, module, "--", "-test.v", "-test.short"],
      ]);
      totals.passed += count(stdout, "PASS");
      totals.skipped += count(stdout, "SKIP");
      totals.failed += count(stdout, "FAIL");
      const failures = stdout.split("\n").filter((line) => line.includes("--- FAIL"));
      assertEquals({ failures, code }, { failures: [], code: 0 }, stderr);
    });
  }
  const { passed, skipped, failed } = totals;
  console.log(`Go's std: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  assert(passed >= FLOOR, `${passed} tests passed, at least ${FLOOR} must`);
});
