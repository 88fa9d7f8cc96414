/**
 * Detects `using` declarations that esbuild's minifier would inline, which drops their disposal (evanw/esbuild#4482).
 * The bug affects only the compiled program, so no other test sees it.
 */
import { assertEquals } from "@std/assert";

const LIB = new URL("../../lib/", import.meta.url);

/** Matches a following statement where the minifier inlines: not a loop, a block or a function. */
const INLINED = /^(return|throw|const|let|await|yield|if|switch|[\w$.#[{(])/;
const SAFE = /^(for|while|do|try|function|async function|class|using|await using)\b/;

async function* sources(dir: URL): AsyncGenerator<URL> {
  for await (const { name, isDirectory } of Deno.readDir(dir)) {
    if (isDirectory) yield* sources(new URL(`${name}/`, dir));
    // Test code is not part of the program.
    else if (/(?<!testing|_test)\.ts$/.test(name)) yield new URL(name, dir);
  }
}

/** Returns the names of declarations that the minifier would inline. */
function inlined(source: string): string[] {
  const found: string[] = [];
  for (const match of source.matchAll(/^( *)(?:await )?using (\w+) = [^;]*;\n/gm)) {
    const [whole, indent, name] = match;
    const rest = source.slice(match.index + whole.length);
    const block = rest.slice(0, rest.search(new RegExp(`^(?!${indent}) *\\}`, "m")));
    const uses = block.match(new RegExp(`(?<![.\\w#])${name}\\b`, "g"))?.length ?? 0;
    const [next = ""] = block.replace(/^\s*(\/\/.*\n\s*)*/, "").split(/;\n/);
    const isNext = new RegExp(`(?<![.\\w#])${name}\\b`).test(next);
    if (uses === 1 && isNext && INLINED.test(next) && !SAFE.test(next)) found.push(name!);
  }
  return found;
}

Deno.test("inlined() finds declarations that the minifier inlines", () => {
  const source = (after: string): string => `function f() {\n  using x = open();\n${after}\n}\n`;
  assertEquals(inlined(source("  x.read();")), ["x"]);
  assertEquals(inlined(source("  // Why.\n  return await x.read();")), ["x"]);
  assertEquals(inlined(source("  x.read();\n  x.write();")), []);
  assertEquals(inlined(source("  for (const y of x.list()) y.read();")), []);
  assertEquals(inlined(source("  const y = 1;\n  x.read(y);")), []);
  assertEquals(inlined(source("  try {\n    x.read();\n  } catch {}")), []);
});

Deno.test("inlined() finds nothing in lib", async () => {
  const found: string[] = [];
  for await (const file of sources(LIB)) {
    const path = file.pathname.slice(LIB.pathname.length);
    for (const name of inlined(await Deno.readTextFile(file))) found.push(`${path}: ${name}`);
  }
  assertEquals(found, []);
});
