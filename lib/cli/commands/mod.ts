/**
 * Registry of commands. Each one is imported when it is called: loading the others would take longer than most commands run.
 *
 * @module
 */
import type { Command } from "../command.ts";

/** Heading under which `plasm --help` lists a command. */
export type CommandGroup = "run" | "daemon" | "network" | "receipts" | "other";

/** A command that is not loaded yet. */
export interface CommandEntry {
  name: string;
  /** Heading in `plasm --help`. */
  group: CommandGroup;
  /** One line for `plasm --help`. */
  summary: string;
  /** Imports the command. */
  load: () => Promise<Command>;
}

/** All commands, in the order of `plasm --help`. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "exec",
    group: "run",
    summary: "Run a WASI module in a sandbox",
    load: async () => (await import("./exec.ts")).exec,
  },
  {
    name: "submit",
    group: "run",
    summary: "Submit a job to the daemon",
    load: async () => (await import("./submit.ts")).submit,
  },
  {
    name: "result",
    group: "run",
    summary: "Wait for a job and print its output",
    load: async () => (await import("./result.ts")).result,
  },
  {
    name: "logs",
    group: "run",
    summary: "Print the output of a job, also while it runs",
    load: async () => (await import("./logs.ts")).logs,
  },
  {
    name: "status",
    group: "run",
    summary: "Show the status of a job or of the daemon",
    load: async () => (await import("./status.ts")).status,
  },
  {
    name: "cancel",
    group: "run",
    summary: "Cancel jobs of the daemon",
    load: async () => (await import("./cancel.ts")).cancel,
  },
  {
    name: "jobs",
    group: "run",
    summary: "List jobs of the daemon, newest first",
    load: async () => (await import("./list_jobs.ts")).jobs,
  },
  {
    name: "daemon",
    group: "daemon",
    summary: "Run a node: a queue, a store and an API for jobs",
    load: async () => (await import("./daemon_command.ts")).daemon,
  },
  {
    name: "config",
    group: "daemon",
    summary: "Check, print or describe the configuration",
    load: async () => (await import("./config_command.ts")).config,
  },
  {
    name: "discover",
    group: "network",
    summary: "Find nodes of the network that run jobs",
    load: async () => (await import("./discover.ts")).discover,
  },
  {
    name: "peers",
    group: "network",
    summary: "List the peers that the daemon is connected to",
    load: async () => (await import("./peers.ts")).peers,
  },
  {
    name: "verify",
    group: "receipts",
    summary: "Verify a receipt",
    load: async () => (await import("./verify.ts")).verify,
  },
  {
    name: "id",
    group: "receipts",
    summary: "Print this node's identity",
    load: async () => (await import("./id.ts")).id,
  },
  {
    name: "doctor",
    group: "other",
    summary: "Diagnose this installation and the running daemon",
    load: async () => (await import("./doctor.ts")).doctor,
  },
  {
    name: "completions",
    group: "other",
    summary: "Print the completions of a shell",
    load: async () => (await import("./completions.ts")).completions,
  },
  {
    name: "version",
    group: "other",
    summary: "Print the versions of plasm and its parts",
    load: async () => (await import("./show_version.ts")).version,
  },
];
