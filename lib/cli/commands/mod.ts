/**
 * The commands there are. Each is imported only when it is called: loading what another needs would
 * cost more than most commands take.
 * @module
 */
import type { Command } from "../command.ts";

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
    name: "daemon",
    summary: "Run a node: a queue, a store and an API for jobs",
    load: async () => (await import("./daemon_command.ts")).daemon,
  },
  {
    name: "submit",
    summary: "Give a job to the daemon",
    load: async () => (await import("./submit.ts")).submit,
  },
  {
    name: "status",
    summary: "Tell where a job stands, or what the daemon is doing",
    load: async () => (await import("./status.ts")).status,
  },
  {
    name: "result",
    summary: "Wait for a job of the daemon and print what it wrote",
    load: async () => (await import("./result.ts")).result,
  },
  {
    name: "logs",
    summary: "Print what a job has written so far, or as it writes",
    load: async () => (await import("./logs.ts")).logs,
  },
  {
    name: "cancel",
    summary: "Cancel jobs of the daemon",
    load: async () => (await import("./cancel.ts")).cancel,
  },
  {
    name: "jobs",
    summary: "List jobs of the daemon, the newest first",
    load: async () => (await import("./list_jobs.ts")).jobs,
  },
  {
    name: "discover",
    summary: "Find nodes of the network that run jobs",
    load: async () => (await import("./discover.ts")).discover,
  },
  {
    name: "peers",
    summary: "List the peers that the daemon is connected to",
    load: async () => (await import("./peers.ts")).peers,
  },
  {
    name: "config",
    summary: "Check, print or describe the configuration",
    load: async () => (await import("./config_command.ts")).config,
  },
  {
    name: "doctor",
    summary: "Look for what keeps a node from working here",
    load: async () => (await import("./doctor.ts")).doctor,
  },
  {
    name: "version",
    summary: "Print the versions of plasm and its parts",
    load: async () => (await import("./show_version.ts")).version,
  },
];
