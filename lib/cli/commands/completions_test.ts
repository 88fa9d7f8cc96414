import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type CommandSpec, ParsedArgs } from "../command.ts";
import type { CliIo } from "../io.ts";
import { COMMANDS } from "./mod.ts";
import {
  allSpecs,
  bashCompletions,
  completions,
  fishCompletions,
  zshCompletions,
} from "./completions.ts";

const SPEC: CommandSpec = {
  name: "run",
  summary: "Run: one's own",
  usage: "",
  description: "",
  options: [
    { name: "mode", kind: "string", complete: ["fast", "slow"], help: "How [fast]: it's told" },
    { name: "file", kind: "string", complete: "file", repeat: true, help: "A file" },
    { name: "job", kind: "string", complete: { words: "jobs" }, help: "A job" },
    { name: "quiet", kind: "flag", help: "Print nothing" },
  ],
  positionals: { min: 0, max: 1, complete: ["here", "there"] },
  takesRest: true,
  examples: [],
};

const WITH_ACTIONS: CommandSpec = {
  ...SPEC,
  name: "sort",
  positionals: { min: 2, max: 9, actions: ["up", "down"], complete: "file" },
};

/** Runs a shell; undefined if it is not installed or the test has no permission. */
async function shell(program: string, args: string[]): Promise<string | undefined> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, {
      args,
      cwd: new URL("./", import.meta.url),
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  } catch (error) {
    const { NotFound, NotCapable } = Deno.errors;
    if (!(error instanceof NotFound || error instanceof NotCapable)) throw error;
    return undefined;
  }
}

const found = new Map<string, boolean>();
for (const program of ["bash", "zsh", "fish"]) {
  const installed = await shell(program, ["-c", ":"]) !== undefined;
  found.set(program, installed);
  if (!installed) console.warn(`SKIPPED: completions in ${program} (apt-get install ${program})`);
}

Deno.test("allSpecs() returns every command with the common options", async () => {
  const specs = await allSpecs();
  assertEquals(specs.map(({ name }) => name), COMMANDS.map(({ name }) => name));
  for (const { options } of specs) assertEquals(options.at(-1)?.name, "help");
});

Deno.test({
  name: "bashCompletions() completes commands, options, values and files in bash",
  ignore: !found.get("bash"),
  async fn() {
    const script = bashCompletions([SPEC, WITH_ACTIONS]);
    const complete = (...words: string[]) =>
      shell("bash", [
        "-c",
        `compopt() { :; }; eval "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _plasm
         printf '%s\\n' "\${COMPREPLY[@]}"`,
        "bash",
        script,
        "plasm",
        ...words,
      ]);
    assertEquals(await complete("r"), "run\n");
    assertEquals(await complete("run", "--"), "--mode\n--file\n--job\n--quiet\n");
    assertEquals(await complete("run", "--mode", ""), "fast\nslow\n");
    assertEquals(await complete("run", "--file", "dae"), "daemon_command.ts\n");
    // plasm prints the words while the shell completes.
    const plasm = 'plasm() { [[ "$*" == "completions jobs" ]] && echo job_1 job_2; }';
    const jobs = await shell("bash", [
      "-c",
      `compopt() { :; }; ${plasm}; eval "$1"; COMP_WORDS=(plasm run --job ""); COMP_CWORD=3; _plasm
       printf '%s\\n' "\${COMPREPLY[@]}"`,
      "bash",
      script,
    ]);
    assertEquals(jobs, "job_1\njob_2\n");
    assertEquals(await complete("run", "t"), "there\n");
    assertEquals(await complete("run", "--", "ver"), "verify.ts\n");
    assertEquals(await complete("help", ""), "run\nsort\n");
    assertEquals(await complete("sort", ""), "up\ndown\n");
    assertEquals(await complete("sort", "--quiet", "u"), "up\n");
    assertEquals(await complete("sort", "up", "ver"), "verify.ts\n");
    assertEquals(await complete("sort", "up", "verify.ts", "dae"), "daemon_command.ts\n");
  },
});

Deno.test({
  name: "fishCompletions() completes commands, options, values and files in fish",
  ignore: !found.get("fish"),
  async fn() {
    const script = fishCompletions([SPEC, WITH_ACTIONS]);
    const complete = (line: string) =>
      shell("fish", ["--no-config", "-c", `${script}\ncomplete -C '${line}'`]);
    assertEquals(await complete("plasm ru"), "run\tRun: one's own\n");
    assertEquals(await complete("plasm run --mo"), "--mode\tHow [fast]: it's told\n");
    assertEquals(
      await complete("plasm run --mode "),
      "fast\tHow [fast]: it's told\nslow\tHow [fast]: it's told\n",
    );
    assertStringIncludes(
      await complete("plasm run --file ver") ?? "",
      "verify.ts",
    );
    assertEquals(await complete("plasm sort d"), "down\n");
    assertEquals(await complete("plasm sort up ver"), "verify.ts\n");
  },
});

Deno.test({
  name: "zshCompletions() escapes special characters of descriptions",
  ignore: !found.get("zsh"),
  async fn() {
    const script = zshCompletions([SPEC]);
    assertEquals(
      await shell("zsh", ["-f", "-c", 'compdef() { print -r -- "$@" }; eval "$1"', "zsh", script]),
      "_plasm plasm\n",
    );
    // The arguments of _arguments: its syntax characters are escaped.
    const described = await shell("zsh", [
      "-f",
      "-c",
      'compdef() { :; }; _arguments() { print -rl -- "$@" }; eval "$1"; words=(plasm run --m); CURRENT=3; _plasm',
      "zsh",
      script,
    ]);
    assertEquals(
      described?.split("\n")[0],
      "--mode=[How \\[fast\\]\\: it's told]:VALUE:(fast slow)",
    );
    const sort = await shell("zsh", [
      "-f",
      "-c",
      'compdef() { :; }; _arguments() { print -rl -- "$@" }; eval "$1"; words=(plasm sort u); CURRENT=3; _plasm',
      "zsh",
      zshCompletions([WITH_ACTIONS]),
    ]);
    const positionals = sort?.split("\n").filter((line) => /^[1*]:/.test(line));
    assertEquals(positionals, ["1:action:(up down)", "*:argument:_files", "*:argument:_files"]);
  },
});

Deno.test("completions prints the keys of the configuration for --set, and nothing without a daemon", async () => {
  const text = async (word: string): Promise<string> => {
    let printed = "";
    const io = {
      env: () => undefined,
      signal: new AbortController().signal,
      write: (data: string) => Promise.resolve(void (printed += data)),
    };
    const socket = `${Deno.cwd()}/no-such.sock`;
    const args = new ParsedArgs(new Map([["socket", [socket]]]), { positionals: [word] });
    assertEquals(await completions.run(args, io as unknown as CliIo), 0);
    return printed;
  };
  const keys = (await text("keys")).trim().split("\n");
  assert(keys.includes("jobs.queue_max="));
  assertEquals(await text("jobs"), "");
  assertEquals(await text("peers"), "");
});

Deno.test("scripts offer job ids, peer ids and configuration keys where commands use them", async () => {
  const specs = await allSpecs();
  const words = (name: string): unknown =>
    specs.find((spec) => spec.name === name)?.positionals.complete;
  for (const name of ["status", "result", "logs", "cancel"]) {
    assertEquals(words(name), { words: "jobs" });
  }
  for (const generate of [bashCompletions, zshCompletions, fishCompletions]) {
    const script = generate(specs);
    for (const kind of ["jobs", "peers", "keys"]) {
      assertStringIncludes(script, `plasm completions ${kind} 2>/dev/null`);
    }
  }
});
