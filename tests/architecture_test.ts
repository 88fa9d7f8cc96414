/**
 * Checks the architecture of lib: which component may import which, and that imports between components go through `mod.ts`.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";

const LIB = new URL("../lib/", import.meta.url);

/** Top-level component → top-level components that it may import; ARCHITECTURE.md has the same arrows. */
const ALLOWED: Record<string, readonly string[]> = {
  util: [],
  core: ["util"],
  wasm: ["util", "core"],
  wasi: ["util", "core", "wasm"],
  sandbox: ["util", "core", "wasm", "wasi"],
  config: ["util", "core"],
  api: ["util", "core"],
  modules: ["util", "core"],
  p2p: ["util", "core"],
  remote: ["util", "core", "sandbox", "p2p"],
  quorum: ["util", "core", "sandbox", "p2p", "remote"],
  client: ["util", "core", "api"],
  map: ["util", "core", "sandbox", "p2p", "remote", "quorum", "api", "client"],
  mcp: ["util", "core", "api", "sandbox", "modules", "remote", "quorum", "client"],
  daemon: ["util", "core", "config", "api", "sandbox", "modules", "p2p", "remote", "quorum"],
  cli: [
    "util",
    "core",
    "config",
    "api",
    "wasm",
    "sandbox",
    "modules",
    "p2p",
    "remote",
    "quorum",
    "client",
    "map",
    "daemon",
    "mcp",
  ],
};

/** Folders that run in separate processes or threads and communicate only by messages. */
const SEPARATE = ["sandbox/host/", "sandbox/child/", "sandbox/worker/"];

/** Import of one file in lib by another; paths are relative to lib. */
interface Edge {
  from: string;
  to: string;
  /** Whether it is a dynamic `import()`. */
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

/** Formats an import for assertion messages. */
const show = ({ from, to }: Edge): string => `${from} -> ${to}`;

/** Returns files on an import cycle. Dynamic imports do not count: they run after both files have loaded. */
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

/** Specifiers that a source imports statically at run time: neither types nor `import()`. */
function staticSpecifiers(text: string): string[] {
  const pattern = /^(?:import|export)\s+(type\s+)?(?:([^"';]*?)\s*from\s+)?"([^"]+)"/gm;
  const isType = (clause: string): boolean =>
    /^\{.*\}$/s.test(clause) &&
    clause.slice(1, -1).split(",").map((name) => name.trim()).filter((name) => name !== "")
      .every((name) => name.startsWith("type "));
  return [...text.matchAll(pattern)]
    .filter(([, type, clause]) => type === undefined && !isType(clause?.trim() ?? ""))
    .map(([, , , specifier]) => specifier!);
}

/** Packages of libp2p; loading them takes hundreds of milliseconds. */
const LIBP2P =
  /^(?:npm:)?(?:libp2p|@libp2p\/[^@]+|@chainsafe\/libp2p-[^@]+|datastore-core)(?:[@/].*)?$/;

/** Shortest chain of static run-time imports from each entry to a package of libp2p. `files` maps paths to texts. */
function libp2pChains(files: ReadonlyMap<string, string>, entries: readonly string[]): string[] {
  return entries.flatMap((entry) => {
    const seen = new Set([entry]);
    const queue = [[entry]];
    for (const chain of queue) {
      const path = chain.at(-1)!;
      for (const specifier of staticSpecifiers(files.get(path) ?? "")) {
        if (LIBP2P.test(specifier)) return [[...chain, specifier].join(" -> ")];
        if (!specifier.startsWith(".")) continue;
        const next = new URL(specifier, new URL(path, "file:///")).pathname.slice(1);
        if (!seen.has(next)) queue.push([...chain, next]);
        seen.add(next);
      }
    }
    return [];
  });
}

/** Returns names that occur more than once in a list of [name, place]. */
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

Deno.test("lib has no import cycles", () => {
  assertEquals(findCycles(EDGES), []);
});

Deno.test("findCycles() finds a cycle and ignores dynamic imports", () => {
  const edge = (from: string, to: string, dynamic = false): Edge => ({ from, to, dynamic });
  assertEquals(findCycles([edge("a", "b"), edge("b", "c"), edge("c", "a")]).length, 1);
  assertEquals(findCycles([edge("a", "b"), edge("b", "a", true)]), []);
});

Deno.test("lib has no duplicate file names", () => {
  const names = [...FILES.keys()].filter((path) => !path.endsWith("/mod.ts"))
    .map((path) => [path.slice(path.lastIndexOf("/") + 1), path] as const);
  assertEquals(duplicates(names), []);
});

Deno.test("lib has no duplicate export names", () => {
  const declaration =
    /^export (?:declare )?(?:abstract )?(?:async )?(function\*?|class|const|let|interface|type|enum) ([\w$]+)/gm;
  const names = [...FILES].flatMap(([path, text]) => {
    const declared = [...text.matchAll(declaration)].map(([, kind, name]) => ({
      kind,
      name: name!,
    }));
    // Overloads declare one function several times in one file.
    const functions = new Set(declared.filter(({ kind }) => kind === "function"));
    const others = declared.filter((one) => !functions.has(one));
    const unique = new Set([...functions].map(({ name }) => name));
    return [...unique, ...others.map(({ name }) => name)].map((name) => [name, path] as const);
  });
  assertEquals(duplicates(names), []);
});

Deno.test("the entry points and the commands load libp2p on demand only", async () => {
  const files = new Map([...FILES].map(([path, text]) => [`lib/${path}`, text]));
  const roots = ["main.ts", "mod.ts"];
  for (const path of roots) {
    files.set(path, await Deno.readTextFile(new URL(`../${path}`, import.meta.url)));
  }
  const commands = [...files.keys()].filter((path) => path.startsWith("lib/cli/commands/"));
  assert(commands.length > 10);
  assertEquals(libp2pChains(files, [...roots, ...commands]), []);
  assertEquals(libp2pChains(files, ["lib/p2p/mod.ts"]).length, 1);
});

Deno.test("libp2pChains() finds static imports, and ignores types and imports on demand", () => {
  const chains = (...imports: string[]): string[] => {
    const files = new Map([["a.ts", 'export * from "./b/mod.ts";'], [
      "b/mod.ts",
      imports.join("\n"),
    ]]);
    return libp2pChains(files, ["a.ts"]);
  };
  for (
    const line of [
      'import { createLibp2p, type Libp2p } from "libp2p";',
      'import {\n  type PeerId,\n  peerIdFromString,\n} from "@libp2p/peer-id";',
      'import * as noise from "@chainsafe/libp2p-noise/crypto";',
      'import "npm:libp2p@^3.3.11";',
      'export { yamux } from "@libp2p/yamux";',
    ]
  ) {
    assertEquals(chains('import { a } from "../a.ts";', line).length, 1, line);
  }
  for (
    const line of [
      'import type { Libp2p } from "libp2p";',
      'import { type Libp2p, type Libp2pInit } from "libp2p";',
      'export type { Libp2p } from "libp2p";',
      'const { createLibp2p } = await import("libp2p");',
      'import { hash } from "libp2p-other";',
    ]
  ) {
    assertEquals(chains(line), [], line);
  }
});
