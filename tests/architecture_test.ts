/**
 * Checks the architecture of lib: which component may import which, and that imports between components go through `mod.ts`.
 *
 * @module
 */
import { assertEquals } from "@std/assert";

const LIB = new URL("../lib/", import.meta.url);

/** Top-level component → top-level components that it may import; ARCHITECTURE.md shows the same arrows. */
const ALLOWED: Record<string, readonly string[]> = {
  util: [],
  core: ["util"],
  wasm: ["util", "core"],
  wasi: ["util", "core", "wasm"],
  sandbox: ["util", "core", "wasm", "wasi"],
  config: ["util", "core"],
  api: ["util", "core"],
  p2p: ["util", "core"],
  remote: ["util", "core", "sandbox", "p2p"],
  client: ["util", "core", "api"],
  daemon: ["util", "core", "config", "api", "sandbox", "p2p", "remote"],
  cli: [
    "util",
    "core",
    "config",
    "api",
    "wasm",
    "sandbox",
    "p2p",
    "remote",
    "client",
    "daemon",
  ],
};

/** Folders that run in processes or threads of their own and share nothing but messages. */
const SEPARATE = ["sandbox/host/", "sandbox/child/", "sandbox/worker/"];

/** One import of one file of lib by another; paths are relative to lib. */
interface Edge {
  from: string;
  to: string;
  /** Whether it is loaded on demand by `import()`. */
  dynamic: boolean;
}

async function* sources(dir: URL): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(dir)) {
    const url = new URL(isDirectory ? `${name}/` : name, dir);
    if (isDirectory) yield* sources(url);
    else if (name.endsWith(".ts") && !name.endsWith("_test.ts")) {
      yield url.href.slice(LIB.href.length);
    }
  }
}

/** Imports in one source text. */
function importsOf(from: string, text: string): Edge[] {
  const pattern = /(?:\b(?:from|import)\s+|\b(import)\(\s*)"(\.{1,2}\/[^"]+\.ts)"/g;
  return [...text.matchAll(pattern)].map(([, dynamic, specifier]) => ({
    from,
    to: new URL(specifier!, new URL(from, LIB)).href.slice(LIB.href.length),
    dynamic: dynamic !== undefined,
  }));
}

const FILES = new Map<string, string>();
for await (const path of sources(LIB)) {
  FILES.set(path, await Deno.readTextFile(new URL(path, LIB)));
}
const EDGES = [...FILES].flatMap(([path, text]) => importsOf(path, text));

/** Innermost folder with a `mod.ts` that contains a file; that folder is the file's component. */
function componentOf(path: string): string {
  let dir = path.slice(0, path.lastIndexOf("/"));
  while (!FILES.has(`${dir}/mod.ts`) && dir.includes("/")) dir = dir.slice(0, dir.lastIndexOf("/"));
  return dir;
}

/** A short form for assertions. */
const show = ({ from, to }: Edge): string => `${from} -> ${to}`;

/** Files on a cycle of imports. `import()` on demand does not count: it runs after both files have loaded. */
function findCycles(edges: readonly Edge[]): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to, dynamic } of edges) {
    if (!dynamic) next.set(from, [...(next.get(from) ?? []), to]);
  }
  const cycles: string[] = [];
  const state = new Map<string, "open" | "done">();
  const visit = (file: string, path: string[]): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      cycles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
      return;
    }
    state.set(file, "open");
    for (const other of next.get(file) ?? []) visit(other, [...path, file]);
    state.set(file, "done");
  };
  for (const file of next.keys()) visit(file, []);
  return cycles;
}

/** Names that stand more than once in a list of [name, place]. */
function duplicates(places: readonly (readonly [string, string])[]): string[] {
  const seen = new Map<string, string[]>();
  for (const [name, place] of places) seen.set(name, [...(seen.get(name) ?? []), place]);
  return [...seen].filter(([, list]) => list.length > 1).map(([name, list]) =>
    `${name}: ${list.join(", ")}`
  );
}

Deno.test("components import only the components that the architecture allows", () => {
  const top = (path: string): string => path.split("/")[0]!;
  const wrong = EDGES.filter(({ from, to }) =>
    FILES.has(to) && top(from) !== top(to) && !ALLOWED[top(from)]?.includes(top(to))
  );
  assertEquals(wrong.map(show), []);
  assertEquals([...FILES.keys()].filter((path) => ALLOWED[top(path)] === undefined), []);
});

Deno.test("every component has a mod.ts, and others import it through that file only", () => {
  const missing = Object.keys(ALLOWED).filter((name) => !FILES.has(`${name}/mod.ts`));
  assertEquals(missing, []);
  const wrong = EDGES.filter(({ from, to }) =>
    FILES.has(to) && !to.endsWith("/mod.ts") && !from.startsWith(`${componentOf(to)}/`)
  );
  assertEquals(wrong.map(show), []);
});

Deno.test("sandbox/host, sandbox/child and sandbox/worker never import each other", () => {
  const folder = (path: string): string | undefined =>
    SEPARATE.find((prefix) => path.startsWith(prefix));
  const wrong = EDGES.filter(({ from, to }) => {
    const [a, b] = [folder(from), folder(to)];
    return a !== undefined && b !== undefined && a !== b;
  });
  assertEquals(wrong.map(show), []);
});

Deno.test("no file of lib imports itself through others", () => {
  assertEquals(findCycles(EDGES), []);
});

Deno.test("findCycles() finds a cycle and ignores imports on demand", () => {
  const edge = (from: string, to: string, dynamic = false): Edge => ({ from, to, dynamic });
  assertEquals(findCycles([edge("a", "b"), edge("b", "c"), edge("c", "a")]).length, 1);
  assertEquals(findCycles([edge("a", "b"), edge("b", "a", true)]), []);
});

Deno.test("no file name stands twice in lib", () => {
  const names = [...FILES.keys()].filter((path) => !path.endsWith("/mod.ts"))
    .map((path) => [path.slice(path.lastIndexOf("/") + 1), path] as const);
  assertEquals(duplicates(names), []);
});

Deno.test("no exported name is declared twice in lib", () => {
  const declaration =
    /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|const|let|interface|type|enum) ([\w$]+)/gm;
  const names = [...FILES].flatMap(([path, text]) =>
    [...text.matchAll(declaration)].map(([, name]) => [name!, path] as const)
  );
  // Overloads are several declarations of one function in one file.
  const unique = new Map(names.map(([name, path]) => [`${name} ${path}`, [name, path] as const]));
  assertEquals(duplicates([...unique.values()]), []);
});
