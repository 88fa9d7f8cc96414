/**
 * Holds the direction of dependencies: what each room of lib may import.
 * @module
 */
import { assertEquals } from "@std/assert";

const LIB = new URL("../lib/", import.meta.url);

/** Files directly in lib, which every room may use, and what they themselves use. */
const BASE = "base";

/** Room → rooms it may import besides itself; the figure in ARCHITECTURE.md says the same. */
const ALLOWED: Record<string, readonly string[]> = {
  base: ["job", "config"],
  config: [BASE, "job"],
  job: [BASE],
  sandbox: [BASE, "job"],
  network: [BASE, "job"],
  protocol: [BASE, "job", "sandbox", "network"],
  client: [BASE, "job"],
  daemon: [BASE, "config", "job", "sandbox", "network", "protocol"],
  cli: [BASE, "config", "job", "sandbox", "network", "protocol", "client", "daemon"],
};

/** What job may use of lib's own files: documents know errors, how to print them, and nothing else. */
const JOB_MAY_USE = new Set(["errors.ts", "error_codes.ts", "printable.ts"]);

async function* sources(dir: URL): AsyncGenerator<URL> {
  for await (const { name, isDirectory } of Deno.readDir(dir)) {
    if (isDirectory) yield* sources(new URL(`${name}/`, dir));
    else if (name.endsWith(".ts") && !/_test\.ts$|^testing\.ts$/.test(name)) {
      yield new URL(name, dir);
    }
  }
}

/** The room of a file, and its path below lib. */
function locate(url: URL): { room: string; path: string } {
  const path = url.href.slice(LIB.href.length);
  return { room: path.includes("/") ? path.split("/")[0]! : BASE, path };
}

Deno.test("every import in lib follows the arrows of the architecture", async () => {
  const wrong: string[] = [];
  for await (const file of sources(LIB)) {
    const from = locate(file);
    const text = await Deno.readTextFile(file);
    for (const [, specifier] of text.matchAll(/(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+\.ts)"/g)) {
      const target = new URL(specifier!, file);
      if (!target.href.startsWith(LIB.href)) continue;
      const to = locate(target);
      if (to.room === from.room) continue;
      const allowed = ALLOWED[from.room]?.includes(to.room) &&
        (from.room !== "job" || JOB_MAY_USE.has(to.path));
      if (!allowed) wrong.push(`${from.path} -> ${to.path}`);
    }
  }
  assertEquals(wrong, []);
});
