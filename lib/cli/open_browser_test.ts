import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import config from "../../deno.json" with { type: "json" };
import { PlasmError } from "../core/errors/mod.ts";
import { tempDir } from "../../tests/fixtures/temp_dir.ts";
import { BROWSER_OPENER, openInBrowser } from "./open_browser.ts";

const URL_WITH_TOKEN = `http://127.0.0.1:1/?token=${"a".repeat(64)}`;

/** Writes a program that stands for the opener. */
async function opener(dir: string, script: string): Promise<string> {
  const program = `${dir}/opener`;
  await Deno.writeTextFile(program, `#!/bin/sh\n${script}\n`, { mode: 0o700 });
  return program;
}

Deno.test("openInBrowser() passes the address in a private file, and no part of it as an argument", async () => {
  await using temp = await tempDir();
  const { path: dir } = temp;
  const runtimeDir = `${dir}/run`;
  await Deno.mkdir(runtimeDir);
  // The opener ends when the test has read the pipe.
  await new Deno.Command("mkfifo", { args: [`${dir}/seen`] }).output();
  const program = await opener(dir, `exec > ${dir}/seen; echo "$@"; stat -c %a "$1"; cat "$1"`);
  const problems: PlasmError[] = [];
  const opened = await openInBrowser(URL_WITH_TOKEN, {
    runtimeDir,
    program,
    onFailure: (error) => problems.push(error),
  });
  const [path = "", mode, ...page] = (await Deno.readTextFile(`${dir}/seen`)).split("\n");
  assert(path.startsWith(`${runtimeDir}/plasm-`) && path.endsWith("/dashboard.html"), path);
  assertEquals(mode, "600");
  assertStringIncludes(page.join("\n"), `content="0; url=${URL_WITH_TOKEN}"`);
  await opened[Symbol.asyncDispose]();
  assertEquals(await Array.fromAsync(Deno.readDir(runtimeDir)), []);
  assertEquals(problems, []);
});

Deno.test("openInBrowser() names the package when the program is missing, and reports when it fails", async () => {
  await using temp = await tempDir();
  const { path: dir } = temp;
  const failed = Promise.withResolvers<PlasmError>();
  const options = { runtimeDir: dir, onFailure: failed.resolve };
  const error = await assertRejects(
    () => openInBrowser(URL_WITH_TOKEN, { ...options, program: `${dir}/none` }),
    PlasmError,
    "is not installed",
  );
  assertStringIncludes(error.hint ?? "", "xdg-utils");
  assertEquals(await Array.fromAsync(Deno.readDir(dir)), []);
  const program = await opener(dir, "exit 3");
  await using _opened = await openInBrowser(URL_WITH_TOKEN, { ...options, program });
  // The opener alone keeps no process alive.
  const alive = setInterval(() => {}, 1000);
  assertStringIncludes((await failed.promise).message, "ended with status 3");
  clearInterval(alive);
});

Deno.test("the program may run the opener, by its whole path", () => {
  const [, allowed = ""] = /--allow-run=(\S+)/.exec(config.tasks.plasm.command) ?? [];
  assert(allowed.split(",").includes(BROWSER_OPENER), allowed);
});
