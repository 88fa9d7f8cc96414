/**
 * Runs the examples of the documents and every example of `plasm COMMAND --help`, which plasm(1) has too.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { COMMON_OPTIONS } from "../../lib/cli/args.ts";
import { COMMANDS } from "../../lib/cli/commands/mod.ts";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";
import { assemble } from "../fixtures/hostile/wat.ts";
import { fileGuest, type FileStep } from "../fixtures/file_guest.ts";
import { plasm, programCommand } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";
import { succeeds } from "../fixtures/optional_program.ts";

const HELLO = new URL("../../examples/hello/hello.wasm", import.meta.url);

/** Examples that run until they are stopped, replace the test's daemon or need a network; each has tests elsewhere. */
const ELSEWHERE: Record<string, string> = {
  "plasm daemon": "tests/e2e/daemon/service_test.ts",
  "plasm dashboard": "tests/e2e/dashboard_test.ts",
  "plasm dashboard --open": "lib/cli/open_browser_test.ts",
  "plasm mcp --http 0 --remote": "tests/e2e/mcp_test.ts",
  "plasm daemon --state-dir /tmp/node --set jobs.concurrency=1": "tests/e2e/daemon/service_test.ts",
  "plasm exec --remote --arch aarch64 hello.wasm < in > out": "tests/e2e/exec_remote_test.ts",
  "plasm map --remote --agree 2/3 --deterministic --stdin {} hello.wasm ::: in in.csv":
    "tests/integration/remote/map_agreed_test.ts",
  "plasm exec --remote --agree 2/3 --deterministic hello.wasm < in > out":
    "tests/e2e/exec_agreed_test.ts",
  "plasm verify evidence.json --arbitrate --module hello.wasm --stdin in":
    "tests/e2e/exec_agreed_test.ts",
  "plasm receipt evidence a.json b.json > evidence.json": "tests/e2e/exec_agreed_test.ts",
  "plasm exec https://example.com/tool.wasm#sha256=$HASH": "tests/e2e/module_references_test.ts",
  "plasm modules pull oci://ghcr.io/example/tool:1.2": "tests/interop/docker_registry_test.ts",
  "plasm discover --arch aarch64 --limit 3": "tests/e2e/discover_command_test.ts",
  "plasm discover --capability simd --min-memory 2048 --json": "tests/e2e/discover_command_test.ts",
  "plasm peers --json": "tests/e2e/discover_command_test.ts",
  "sudo plasm backup /root/plasm-backup": "tests/e2e/daemon/service_test.ts",
};

/** Any valid peer id. */
const PEER = "12D3KooWGzBvAtN8Z2sJrrfuH4nQwBZ8mcxLnWMmJUMrZJBCmyRb";

/** A library that adds two numbers. */
const ADD = `(module (func (export "add") (param i32 i32) (result i32)
  (i32.add (local.get 0) (local.get 1))))`;

/** Quotes a word for the shell. */
const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

async function examples(): Promise<string[]> {
  const calls: string[] = [];
  for (const entry of COMMANDS) {
    const { spec } = await entry.load();
    calls.push(...(spec.examples ?? []).map(({ call }) => call));
  }
  return calls;
}

/** Creates the files that the examples name, and a command `plasm`. */
async function prepare(dir: string): Promise<void> {
  for (const name of ["hello", "app", "fmt", "count"]) {
    await Deno.copyFile(HELLO, `${dir}/${name}.wasm`);
  }
  const site: FileStep[] = [{ mkdir: "public" }, { write: "public/index.html", text: "<p>" }];
  await Deno.writeFile(`${dir}/build.wasm`, await fileGuest(site));
  await Deno.writeFile(`${dir}/math.wasm`, await assemble(ADD));
  await Deno.writeFile(`${dir}/cc.wasm`, await fileGuest([{ write: "a.o", text: "object" }]));
  for (const name of ["in", "in.csv", "a.c"]) {
    await Deno.writeTextFile(`${dir}/${name}`, "Hello, World");
  }
  for (const name of ["data", "site", "src", "build", "modules"]) {
    await Deno.mkdir(`${dir}/${name}`);
    await Deno.writeTextFile(`${dir}/${name}/a.txt`, "a");
  }
  await Deno.mkdir(`${dir}/.config/fish/completions`, { recursive: true });
  await Deno.mkdir(`${dir}/bin`);
  const command = programCommand().map(quote).join(" ");
  await Deno.writeTextFile(`${dir}/bin/plasm`, `#!/bin/sh\nexec ${command} "$@"\n`, {
    mode: 0o755,
  });
  const { code } = await new Deno.Command("gzip", { args: ["-k", "in"], cwd: dir }).output();
  assertEquals(code, 0);
  await Deno.rename(`${dir}/in.gz`, `${dir}/log.gz`);
}

/** Runs a line of shell in the directory, with its command `plasm`. */
async function bash(line: string, dir: string): Promise<{ code: number; text: string }> {
  const { HOME: home = dir, DENO_DIR = `${home}/.cache/deno` } = Deno.env.toObject();
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-e", "-c", line],
    cwd: dir,
    clearEnv: true,
    env: {
      ...environment(dir),
      HOME: dir,
      DENO_DIR,
      NO_COLOR: "1",
      PATH: `${dir}/bin:${Deno.env.get("PATH")}`,
    },
    stdin: "null",
  }).output();
  return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

Deno.test("the shell examples of the README succeed and print what it says", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await prepare(dir);
  await Deno.mkdir(`${dir}/examples/hello`, { recursive: true });
  await Deno.copyFile(HELLO, `${dir}/examples/hello/hello.wasm`);
  await Deno.copyFile(`${dir}/log.gz`, `${dir}/in.gz`);
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const block = (heading: string): string =>
    /```sh\n([^]*?)```/.exec(readme.split(`### ${heading}\n`)[1]!)![1]!;
  const job = await bash(block("One job"), dir);
  assertEquals(job.code, 0, job.text);
  assertStringIncludes(job.text, "dlroW ,olleHreceipt verified\n");
  await using _daemon = await DaemonProcess.start({ dir });
  const lines = block("A daemon").replace(/^plasm daemon .*\n/, "");
  const { code, text } = await bash(lines, dir);
  assertEquals(code, 0, text);
  assertStringIncludes(text, "dlroW ,olleH");
});

Deno.test("the shell examples of docs/receipts.md succeed", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await prepare(dir);
  const text = await Deno.readTextFile(new URL("../../docs/receipts.md", import.meta.url));
  const { code, text: printed } = await bash(/```sh\n([^]*?)```/.exec(text)![1]!, dir);
  assertEquals(code, 0, printed);
  for (const found of ["reproduced", "receipt verified", "envelope verified"]) {
    assertStringIncludes(printed, found);
  }
});

Deno.test("the shell examples of docs/map.md succeed", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await prepare(dir);
  for (const name of ["a.log", "pic.png"]) await Deno.writeTextFile(`${dir}/${name}`, "Hello");
  const webp = await fileGuest([{ write: "out.webp", text: "picture" }]);
  await Deno.writeFile(`${dir}/webp.wasm`, webp);
  const text = await Deno.readTextFile(new URL("../../docs/map.md", import.meta.url));
  const { code, text: printed } = await bash(/```sh\n([^]*?)```/.exec(text)![1]!, dir);
  assertEquals(code, 0, printed);
  assertStringIncludes(printed, "olleH");
  assertEquals(await Deno.readTextFile(`${dir}/pic.webp`), "picture");
});

Deno.test("commands and options that documents name exist", async () => {
  const specs = new Map<string, ReadonlySet<string>>();
  for (const entry of COMMANDS) {
    const { spec } = await entry.load();
    const options = [...spec.options, ...COMMON_OPTIONS];
    specs.set(
      entry.name,
      new Set(options.flatMap(({ name, short }) => [`--${name}`, `-${short ?? "h"}`])),
    );
  }
  const root = new URL("../../", import.meta.url);
  const documents = [...Deno.readDirSync(new URL("docs/", root))].map(({ name }) => `docs/${name}`);
  let count = 0;
  for (const name of [...documents, "README.md", "examples/php/README.md"]) {
    if (!name.endsWith(".md")) continue;
    const text = await Deno.readTextFile(new URL(name, root));
    // In code between backticks, and at the start of a line or after a pipe in a block.
    for (const [line] of text.matchAll(/(?<=`|^|\| |\$\()plasm [a-z][^`\n|]*/gm)) {
      const [, command = "", ...words] = line.replace(/ -- .*| #.*/, "").split(/\s+/);
      const known = specs.get(command);
      assert(known !== undefined || !text.includes(`\`${line}`), `${name}: ${line}`);
      if (known === undefined) continue;
      const unknown = words.find((word) =>
        /^--?[a-z]/.test(word) && !known.has(word.replace(/[=,.;)'"].*$/, ""))
      );
      assertEquals(unknown, undefined, `${name}: ${line}`);
      count++;
    }
  }
  assert(count > 50, `${count} commands were found`);
});

/** Commands of docs/operations.md that run until they are stopped or need another node. */
const OPERATED_ELSEWHERE = [
  ...["plasm exec", "plasm exec --remote", "plasm daemon"],
  ...["plasm modules pull --daemon", "plasm verify", "plasm dashboard"],
];

Deno.test("the commands and configurations of docs/operations.md are accepted by a node", async (t) => {
  await using temp = await tempDir();
  const dir = temp.path;
  await prepare(dir);
  // Only plasm is run with other rights, and nothing of the machine is changed.
  await Deno.writeTextFile(`${dir}/bin/sudo`, '#!/bin/sh\n[ "$1" != plasm ] || exec "$@"\n', {
    mode: 0o755,
  });
  const text = await Deno.readTextFile(new URL("../../docs/operations.md", import.meta.url));
  const blocks = (language: string): string[] =>
    [...text.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, "g"))].map(([, body]) =>
      body!
    );
  const inline = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);
  const configs = [
    ...blocks("jsonc").map((body) => body.replace("12D3KooW…", PEER)),
    ...inline.filter((code) => /^"\w+": \{/.test(code)).map((code) => `{ ${code} }`),
  ];
  assert(configs.length >= 4, `${configs.length} configurations were found`);
  for (const [n, config] of configs.entries()) {
    await Deno.writeTextFile(`${dir}/config${n}.jsonc`, config);
    const { code, text } = await bash(`plasm config check --config config${n}.jsonc`, dir);
    assertEquals(code, 0, text);
  }
  await Deno.mkdir(`${dir}/plasm`);
  await Deno.writeTextFile(`${dir}/plasm/config.jsonc`, "{}");
  await using _daemon = await DaemonProcess.start({
    dir,
    set: {
      "network.enabled": "true",
      "network.listen": "/ip4/127.0.0.1/tcp/0",
      "network.bootstrap": "[]",
      "network.mdns": "false",
      "network.upnp": "false",
    },
  });
  const submitted = await plasm(["submit", `${dir}/hello.wasm`], {
    stdin: "hi",
    env: environment(dir),
  });
  const lines = [
    ...blocks("sh").filter((body) => !body.includes("npx ")).flatMap((body) =>
      body.trimEnd().split("\n")
    ),
    ...inline.filter((code) => /^plasm [a-z]/.test(code) && code !== "plasm backup DIR"),
  ];
  assertEquals(OPERATED_ELSEWHERE.filter((line) => !lines.includes(line)), []);
  for (const line of new Set(lines)) {
    if (OPERATED_ELSEWHERE.includes(line)) continue;
    await t.step(line, async () => {
      const { code, text } = await bash(
        line.replace(/\bJOB\b/, submitted.stdout.trim()).replace("/root/", `${dir}/`),
        dir,
      );
      // `doctor` reports what it finds on this machine; only a usage error is a false example.
      if (line.startsWith("plasm doctor")) assert(code !== 2, text);
      else assertEquals(code, 0, text);
    });
  }
});

Deno.test("every example of the help texts succeeds on a node with the default configuration", async (t) => {
  await using temp = await tempDir();
  const dir = temp.path;
  await prepare(dir);
  await using _daemon = await DaemonProcess.start({ dir });
  const env = environment(dir);
  const submitted = await plasm(["submit", `${dir}/hello.wasm`], { stdin: "hi", env });
  assertEquals(submitted.code, 0, submitted.stderr);
  const job = submitted.stdout.trim();
  const config = `${dir}/config.jsonc`;
  await Deno.writeTextFile(config, "{}");
  const calls = await examples();
  assertEquals(Object.keys(ELSEWHERE).filter((call) => !calls.includes(call)), []);
  const hasJq = await succeeds(new Deno.Command("jq", { args: ["--version"] }));
  for (const call of calls) {
    if (call in ELSEWHERE) continue;
    if (call.includes("jq ") && !hasJq) {
      console.warn(`SKIPPED: ${call}: jq is not installed`);
      continue;
    }
    await t.step(call, async () => {
      const line = call.replace(/\bJOB\b/, job).replace("/etc/plasm/config.jsonc", config);
      const { code, text } = await bash(line, dir);
      // `doctor` reports what it finds on this machine; only a usage error is a false example.
      if (call === "plasm doctor") assert(code !== 2, text);
      else assertEquals(code, 0, text);
    });
  }
});
