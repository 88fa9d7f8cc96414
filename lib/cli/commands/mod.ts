/**
 * Registry of commands. Each command is imported on demand: loading all of them would take longer than most commands run.
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
    name: "map",
    group: "run",
    summary: "Run a module over many items",
    load: async () => (await import("./map.ts")).map,
  },
  {
    name: "submit",
    group: "run",
    summary: "Submit a job to the daemon",
    load: async () => (await import("./submit.ts")).submit,
  },
  {
    name: "modules",
    group: "run",
    summary: "List, fetch and delete modules of the cache",
    load: async () => (await import("./modules_command.ts")).modules,
  },
  {
    name: "result",
    group: "run",
    summary: "Wait for a job and print its output",
    load: async () => (await import("./jobs_commands.ts")).result,
  },
  {
    name: "logs",
    group: "run",
    summary: "Print the output of a job, also while it runs",
    load: async () => (await import("./jobs_commands.ts")).logs,
  },
  {
    name: "status",
    group: "run",
    summary: "Show the status of a job or of the daemon",
    load: async () => (await import("./jobs_commands.ts")).status,
  },
  {
    name: "cancel",
    group: "run",
    summary: "Cancel jobs of the daemon",
    load: async () => (await import("./jobs_commands.ts")).cancel,
  },
  {
    name: "jobs",
    group: "run",
    summary: "List jobs of the daemon, newest first",
    load: async () => (await import("./jobs_commands.ts")).jobs,
  },
  {
    name: "daemon",
    group: "daemon",
    summary: "Run a node: a queue, a store and an API for jobs",
    load: async () => (await import("./daemon_command.ts")).daemon,
  },
  {
    name: "reload",
    group: "daemon",
    summary: "Apply a changed configuration to the running daemon",
    load: async () => (await import("./reload.ts")).reload,
  },
  {
    name: "backup",
    group: "daemon",
    summary: "Copy the state of the daemon, also while it runs",
    load: async () => (await import("./backup_command.ts")).backup,
  },
  {
    name: "config",
    group: "daemon",
    summary: "Check, print or describe the configuration",
    load: async () => (await import("./config_command.ts")).config,
  },
  {
    name: "dashboard",
    group: "daemon",
    summary: "Serve a page that shows the daemon",
    load: async () => (await import("./dashboard_command.ts")).dashboard,
  },
  {
    name: "discover",
    group: "network",
    summary: "Find nodes of the network that run jobs",
    load: async () => (await import("./network_commands.ts")).discover,
  },
  {
    name: "peers",
    group: "network",
    summary: "List the peers that the daemon is connected to",
    load: async () => (await import("./network_commands.ts")).peers,
  },
  {
    name: "verify",
    group: "receipts",
    summary: "Verify a receipt, also by running its job again",
    load: async () => (await import("./verify.ts")).verify,
  },
  {
    name: "receipt",
    group: "receipts",
    summary: "Print a receipt, or exchange it with other tools",
    load: async () => (await import("./receipt_command.ts")).receipt,
  },
  {
    name: "id",
    group: "receipts",
    summary: "Print the daemon's identity, or your own",
    load: async () => (await import("./node_commands.ts")).id,
  },
  {
    name: "doctor",
    group: "other",
    summary: "Diagnose this installation and the running daemon",
    load: async () => (await import("./doctor.ts")).doctor,
  },
  {
    name: "mcp",
    group: "other",
    summary: "Serve agents over the Model Context Protocol",
    load: async () => (await import("./mcp.ts")).mcp,
  },
  {
    name: "completions",
    group: "other",
    summary: "Print the completion script of a shell",
    load: async () => (await import("./completions.ts")).completions,
  },
  {
    name: "version",
    group: "other",
    summary: "Print the versions of plasm and its parts",
    load: async () => (await import("./node_commands.ts")).version,
  },
];
