/**
 * `plasm exec`: runs a job on this machine.
 * @module
 */
import type { Command, ParsedArgs } from "../command.ts";
import { checkRemoteOptions, REMOTE_OPTIONS } from "../remote_options.ts";
import { SOCKET_OPTION } from "../socket_option.ts";

function isByDaemon(args: ParsedArgs): boolean {
  return args.flag("daemon") || args.flag("pipe");
}

/** The command. */
export const exec: Command = {
  spec: {
    name: "exec",
    summary: "Run a WASI module in a sandbox",
    usage: "[OPTIONS] MODULE [-- ARG…]",
    description:
      "Runs a WebAssembly module (WASI preview1 command) in a sandbox: it sees its arguments, its " +
      "environment, standard input and the files given with --input, and nothing else of this " +
      "machine. The exit status is the job's own; 124 says that it ran out of time, 134 that it " +
      "trapped, 137 that it ran out of memory or output.",
    options: [
      {
        name: "manifest",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Read resources, arguments and environment from a manifest",
      },
      {
        name: "memory-mb",
        kind: "integer",
        placeholder: "N",
        help: "Limit linear memory, in MiB (default 256)",
      },
      {
        name: "timeout",
        kind: "integer",
        placeholder: "S",
        help: "Limit wall-clock time, in seconds (default 60)",
      },
      {
        name: "cpu-seconds",
        kind: "integer",
        placeholder: "N",
        help: "Limit CPU time, in seconds",
      },
      {
        name: "env",
        kind: "string",
        placeholder: "K=V",
        repeat: true,
        help: "Set a variable in the job's environment",
      },
      {
        name: "input",
        kind: "string",
        placeholder: "HOST[:GUEST]",
        repeat: true,
        complete: "file",
        help: "Copy a file or directory into the job's file system",
      },
      {
        name: "receipt",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Write the signed receipt to a file",
      },
      { name: "daemon", kind: "flag", help: "Run through the daemon and its queue" },
      {
        name: "pipe",
        kind: "flag",
        help: "Run through the daemon; stream input and output of any length, store neither",
      },
      SOCKET_OPTION,
      ...REMOTE_OPTIONS,
    ],
    positionals: { min: 1, max: 1, complete: "file" },
    takesRest: true,
    examples: [
      {
        call: 'echo -n "Hello, World" | plasm exec hello.wasm',
        does: "Run a module on some input",
      },
      {
        call: "plasm exec --receipt r.json hello.wasm < in > out",
        does: "Keep the proof; then: plasm verify r.json --stdin in --stdout out",
      },
      {
        call: "plasm exec --memory-mb 512 --input data:/data app.wasm -- --verbose /data",
        does: "Give it memory, a directory and arguments",
      },
      {
        call: "zcat log.gz | plasm exec --pipe --timeout 3600 count.wasm > out",
        does: "Stream through a job of the daemon, whatever the length",
      },
      {
        call: "plasm exec --remote --arch aarch64 hello.wasm < in > out",
        does: "Run it on a stranger's node and check its receipt before anything is printed",
      },
    ],
  },
  drops: (args) =>
    args.flag("remote") ? ["run"] : isByDaemon(args) ? ["run", "sys"] : ["net", "sys"],
  async run(args, io): Promise<number> {
    checkRemoteOptions(args);
    if (args.flag("remote")) return await (await import("../exec/mod.ts")).runOnPeer(args, io);
    if (isByDaemon(args)) {
      return await (await import("../exec/mod.ts")).runByDaemon(args, io);
    }
    return await (await import("../exec/mod.ts")).runLocally(args, io);
  },
};
