/**
 * Measures what plasm costs, each figure beside what it is compared with in the same run.
 *
 *     deno task bench [SECTION…] [--binary PLASM] [--json]
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import type { BenchRow, BenchSection } from "./bench/row.ts";

/** Each is imported only when it is run: what one loads must not weigh on another. */
const SECTIONS: Record<string, () => Promise<BenchSection>> = {
  cold: async () => (await import("./bench/cold.ts")).cold,
  footprint: async () => (await import("./bench/footprint.ts")).footprint,
  cpu: async () => (await import("./bench/cpu.ts")).cpu,
  io: async () => (await import("./bench/io.ts")).io,
  growth: async () => (await import("./bench/growth.ts")).growth,
  jobs: async () => (await import("./bench/jobs.ts")).jobs,
  remote: async () => (await import("./bench/remote.ts")).remote,
  socket: async () => (await import("./bench/socket.ts")).socket,
};

/** Run only when asked for: they take long, or change the tree. */
const LONG: Record<string, () => Promise<BenchSection>> = {
  network: async () => (await import("./bench/network.ts")).network,
  soak: async () => (await import("./bench/soak.ts")).soak,
};

const { _: asked, ...flags } = parseArgs(Deno.args, { string: ["binary"], boolean: ["json"] });
const json = flags.json;
const names = asked.length === 0 ? Object.keys(SECTIONS) : asked.map(String);
const interrupted = new AbortController();
Deno.addSignalListener("SIGINT", () => interrupted.abort());

for (const name of names) {
  const load = SECTIONS[name] ?? LONG[name];
  if (load === undefined) {
    console.error(
      `Cannot run section: asked ${name}, there are ${
        Object.keys({ ...SECTIONS, ...LONG }).join(", ")
      }`,
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
