import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { CommandSpec } from "../command.ts";
import { COMMANDS } from "./mod.ts";
import { allSpecs } from "./completions.ts";
import { bashCompletions } from "../completions/bash.ts";
import { fishCompletions } from "../completions/fish.ts";
import { zshCompletions } from "../completions/zsh.ts";

const SPEC: CommandSpec = {
  name: "run",
  summary: "Run: one's own",
  usage: "",
  description: "",
  options: [
    { name: "mode", kind: "string", complete: ["fast", "slow"], help: "How [fast]: it's told" },
    { name: "file", kind: "string", complete: "file", repeat: true, help: "A file" },
    { name: "quiet", kind: "flag", help: "Print nothing" },
  ],
  positionals: { min: 0, max: 1, complete: ["here", "there"] },
  takesRest: true,
  examples: [],
};

/** Runs a shell; undefined where it is not installed or may not be started. */
async function shell(program: string, args: string[]): Promise<string | undefined> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(program, {
      args,
      cwd: new URL("../completions/", import.meta.url),
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

Deno.test("allSpecs() names every command, with the common options", async () => {
  const specs = await allSpecs();
  assertEquals(specs.map(({ name }) => name), COMMANDS.map(({ name }) => name));
  for (const { options } of specs) assertEquals(options.at(-1)?.name, "help");
});

Deno.test({
  name: "bashCompletions() makes bash offer commands, options, values and files",
  ignore: !found.get("bash"),
  async fn() {
    const script = bashCompletions([SPEC]);
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
    assertEquals(await complete("run", "--"), "--mode\n--file\n--quiet\n");
    assertEquals(await complete("run", "--mode", ""), "fast\nslow\n");
    assertEquals(await complete("run", "--file", "bas"), "bash.ts\n");
    assertEquals(await complete("run", "t"), "there\n");
    assertEquals(await complete("run", "--", "zs"), "zsh.ts\n");
    assertEquals(await complete("help", ""), "run\n");
  },
});

Deno.test({
  name: "fishCompletions() makes fish offer commands, options, values and files",
  ignore: !found.get("fish"),
  async fn() {
    const script = fishCompletions([SPEC]);
    const complete = (line: string) =>
      shell("fish", ["--no-config", "-c", `${script}\ncomplete -C '${line}'`]);
    assertEquals(await complete("plasm ru"), "run\tRun: one's own\n");
    assertEquals(await complete("plasm run --mo"), "--mode\tHow [fast]: it's told\n");
    assertEquals(
      await complete("plasm run --mode "),
      "fast\tHow [fast]: it's told\nslow\tHow [fast]: it's told\n",
    );
    assertStringIncludes(
      await complete("plasm run --file bas") ?? "",
      "bash.ts",
    );
  },
});

Deno.test({
  name: "zshCompletions() is a script that zsh takes, whatever a description contains",
  ignore: !found.get("zsh"),
  async fn() {
    const script = zshCompletions([SPEC]);
    assertEquals(
      await shell("zsh", ["-f", "-c", 'compdef() { print -r -- "$@" }; eval "$1"', "zsh", script]),
      "_plasm plasm\n",
    );
    // What _arguments is told for the options: its own syntax characters are escaped.
    const told = await shell("zsh", [
      "-f",
      "-c",
      'compdef() { :; }; _arguments() { print -rl -- "$@" }; eval "$1"; words=(plasm run --m); CURRENT=3; _plasm',
      "zsh",
      script,
    ]);
    assertEquals(told?.split("\n")[0], "--mode=[How \\[fast\\]\\: it's told]:VALUE:(fast slow)");
  },
});
