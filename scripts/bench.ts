/**
 * Benchmarks plasm against baselines measured in the same run.
 *
 *     deno task bench [SECTION…] [--binary PLASM] [--json]
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import type { BenchRow, BenchSection } from "./bench/row.ts";

/** Sections, imported on demand: loading one must not affect another. */
const SECTIONS: Record<string, () => Promise<BenchSection>> = {
  cold: async () => (await import("./bench/cold.ts")).cold,
  files: async () => (await import("./bench/files.ts")).files,
  footprint: async () => (await import("./bench/footprint.ts")).footprint,
  cpu: async () => (await import("./bench/cpu.ts")).cpu,
  io: async () => (await import("./bench/io.ts")).io,
  rewriting: async () => (await import("./bench/rewriting.ts")).rewriting,
  growth: async () => (await import("./bench/growth.ts")).growth,
  jobs: async () => (await import("./bench/jobs.ts")).jobs,
  map: async () => (await import("./bench/map.ts")).map,
  mcp: async () => (await import("./bench/mcp.ts")).mcp,
  quorum: async () => (await import("./bench/quorum.ts")).quorum,
  remote: async () => (await import("./bench/remote.ts")).remote,
  socket: async () => (await import("./bench/socket.ts")).socket,
};

/** Sections that run only when named: they take long or modify the tree. */
const LONG: Record<string, () => Promise<BenchSection>> = {
  dashboard: async () => (await import("./bench/dashboard_page.ts")).dashboard,
  large: async () => (await import("./bench/large.ts")).large,
  join: async () => (await import("./bench/join.ts")).join,
  network: async () => (await import("./bench/network.ts")).network,
  soak: async () => (await import("./bench/soak.ts")).soak,
};

const { _: requested, ...flags } = parseArgs(Deno.args, { string: ["binary"], boolean: ["json"] });
const json = flags.json;
const names = requested.length === 0 ? Object.keys(SECTIONS) : requested.map(String);
const interrupted = new AbortController();
Deno.addSignalListener("SIGINT", () => interrupted.abort());

for (const name of names) {
  const load = SECTIONS[name] ?? LONG[name];
  if (load === undefined) {
    console.error(
      `Unknown section: ${name}; known: ${Object.keys({ ...SECTIONS, ...LONG }).join(", ")}`,
    );
    Deno.exit(2);
  }
  const section = await load();
  if (!json) console.log(`\n${name}`);
  const binary = flags.binary === undefined ? {} : { binary: String(flags.binary) };
  for await (const row of section({ signal: interrupted.signal, ...binary })) {
    console.log(json ? JSON.stringify({ section: name, ...row }) : line(row));
  }
}
Deno.exit(interrupted.signal.aborted ? 130 : 0);

function line({ what, measured, against, ratio, goal }: BenchRow): string {
  const parts = [`  ${what.padEnd(36)} ${measured.padStart(14)}`];
  if (against !== undefined) parts.push(against);
  if (ratio !== undefined) parts.push(`× ${ratio.toFixed(2)}`);
  if (goal !== undefined) parts.push(`(${goal})`);
  return parts.join("  ");
}
