/**
 * The commands there are. Each is imported only when it is called: loading what another needs would
 * cost more than most commands take.
 * @module
 */
import type { Command } from "./command.ts";

/** A command that is not loaded yet. */
export interface CommandEntry {
  name: string;
  summary: string;
  load: () => Promise<Command>;
}

/** All commands, in the order in which help names them. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "exec",
    summary: "Run a WASI module in a sandbox on this machine",
    load: async () => (await import("./exec.ts")).exec,
  },
  {
    name: "verify",
    summary: "Check what a receipt proves",
    load: async () => (await import("./verify.ts")).verify,
  },
  {
    name: "id",
    summary: "Print this node's identity",
    load: async () => (await import("./id.ts")).id,
  },
  {
    name: "completions",
    summary: "Print the completions of a shell",
    load: async () => (await import("./completions.ts")).completions,
  },
  {
    name: "version",
    summary: "Print the versions of plasm and its parts",
    load: async () => (await import("./version.ts")).version,
  },
];
