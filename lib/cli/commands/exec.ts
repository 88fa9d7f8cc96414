/**
 * The command `plasm exec`: runs a job on this machine, through the daemon or on another node.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { Command, ParsedArgs } from "../command.ts";
import { SOCKET_OPTION } from "../daemon_client.ts";
import { OFFLINE_OPTION } from "../module_source.ts";
import { AGREE_OPTIONS, checkRemoteOptions, REMOTE_OPTIONS } from "../remote_options.ts";

/** Digits of a seed, as in the manifest. */
const SEED = /^[0-9a-f]{64}$/;

/** @throws {PlasmError} `usage` */
function parseSeed(text: string): string {
  const seed = text.toLowerCase();
  if (SEED.test(seed)) return seed;
  throw new PlasmError("usage", `Expected 64 hex digits instead of ${escapeText(text)}`, {
    hint: "Create one, for example, with: openssl rand -hex 32",
  });
}

function isByDaemon(args: ParsedArgs): boolean {
  return args.flag("daemon") || args.flag("pipe");
}

/** `plasm exec` */
export const exec: Command = {
  spec: {
    name: "exec",
    summary: "Run a WASI module or component in a sandbox",
    usage: "[OPTIONS] MODULE [-- ARG…]",
    description:
      "Runs a WebAssembly module (a WASI preview1 command) or component (WASI 0.2) in a sandbox. MODULE is a file, - for standard input, " +
      "https://…, oci://HOST/REPO[:TAG|@sha256:…], or sha256:… of a module in the cache; #sha256=… at its end pins " +
      "its content. The job can access its arguments, " +
      "its environment, standard input and copies of the files of --input and --dir, and nothing else on " +
      "this machine. Only what --output and --dir name comes back. " +
      "A program of more than 8 MiB stays compiled in a background process for the next run, for a minute unless " +
      "exec.linger_seconds of the configuration says otherwise. " +
      "Exits with the job's exit code, with 124 if the job exceeded a time limit, 134 if it trapped, " +
      "and 137 if it exceeded the limit of memory, output or fuel.",
    options: [
      {
        name: "manifest",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Read resources, arguments and environment from a manifest (default none)",
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
        help: "Limit CPU time, in seconds (default the ceiling of the node)",
      },
      {
        name: "fuel",
        kind: "integer",
        placeholder: "[N]",
        withoutValue: String(Number.MAX_SAFE_INTEGER),
        help:
          "Count the instructions that the job executes, and stop it after N (default: count without a limit)",
      },
      {
        name: "argv0",
        kind: "string",
        placeholder: "NAME",
        help: "Set the program's name, argv[0] (default: the module's file name)",
      },
      {
        name: "invoke",
        kind: "string",
        placeholder: "NAME",
        help:
          "Call an exported function of numbers with the arguments, and print its results (default: the command)",
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
        help:
          "Copy a file or directory into the job's file system (default GUEST: its name; / or . is " +
          "the root)",
      },
      {
        name: "deterministic",
        kind: "flag",
        help: "Give the same result on every node and run, with virtual time and seeded random",
      },
      {
        name: "seed",
        kind: "string",
        placeholder: "HEX",
        parse: parseSeed,
        help:
          "Seed of random numbers, 64 hex digits (with --deterministic, default the manifest's hash)",
      },
      {
        name: "epoch-ms",
        kind: "integer",
        placeholder: "MS",
        help: "Start of the clocks, in milliseconds of Unix time (with --deterministic, default 0)",
      },
      {
        name: "output",
        kind: "string",
        placeholder: "GUEST[:HOST]",
        repeat: true,
        help:
          "Return a file, or a directory with a slash at its end, from the job's file system (default HOST: " +
          "its name; - is standard output). Nothing is written before its hash is verified",
      },
      {
        name: "dir",
        kind: "string",
        placeholder: "HOST[:GUEST]",
        repeat: true,
        complete: "file",
        help:
          "Share a directory: the job gets a copy, and the files that it changes or creates come back when " +
          "it ends. Files that it removes stay here (default GUEST: HOST)",
      },
      {
        name: "force",
        kind: "flag",
        help: "Let outputs replace existing files",
      },
      {
        name: "receipt",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Write the signed receipt to a file (default none)",
      },
      {
        name: "bundle",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help:
          "Write receipt, manifest, module, input and output to one file, for plasm verify FILE --rerun " +
          "(default none)",
      },
      { name: "daemon", kind: "flag", help: "Run through the daemon and its queue" },
      {
        name: "pipe",
        kind: "flag",
        help: "Run through the daemon; stream input and output without storing them",
      },
      SOCKET_OPTION,
      ...REMOTE_OPTIONS,
      ...AGREE_OPTIONS,
      OFFLINE_OPTION,
    ],
    positionals: { min: 1, max: 1, complete: "file" },
    takesRest: true,
    examples: [
      {
        call: 'echo -n "Hello, World" | plasm exec hello.wasm',
        does: "Run a module with input",
      },
      {
        call: "plasm exec --receipt r.json hello.wasm < in > out",
        does: "Save the receipt, to verify it with plasm verify r.json --stdin in --stdout out",
      },
      {
        call: "plasm exec --bundle r.plasm hello.wasm < in > out",
        does: "Save all that anyone needs to run it again, with plasm verify r.plasm --rerun",
      },
      {
        call: "plasm exec --memory-mb 512 --input data:/data app.wasm -- --verbose /data",
        does: "Set the memory limit, input files and arguments",
      },
      {
        call: "plasm exec https://example.com/tool.wasm#sha256=$HASH",
        does: "Run a module of a server, which is downloaded once and verified",
      },
      {
        call: "plasm exec --invoke add math.wasm -- 2 3",
        does: "Call a function of a library",
      },
      {
        call: "plasm exec --input site:/ --output public/ build.wasm",
        does: "Run with the files of a directory in the root, and return a directory",
      },
      {
        call: "plasm exec --input a.c --output a.o:build/ cc.wasm -- -c a.c",
        does: "Compile a file and write the result to build/a.o",
      },
      {
        call: "plasm exec --dir src fmt.wasm -- src/main.c",
        does: "Let a program change the files of a directory",
      },
      {
        call: "zcat log.gz | plasm exec --pipe --timeout 300 count.wasm > out",
        does: "Stream input and output of any length through the daemon",
      },
      {
        call: "plasm exec --deterministic --bundle r.plasm hello.wasm < in > out",
        does: "Get a result that anyone can reproduce on any machine",
      },
      {
        call: "plasm exec --remote --arch aarch64 hello.wasm < in > out",
        does: "Run on another node and verify its receipt before printing output",
      },
      {
        call: "plasm exec --remote --agree 2/3 --deterministic hello.wasm < in > out",
        does: "Run on three nodes with different networks and print what two of them agree on",
      },
    ],
  },
  drops: (args) =>
    args.flag("remote") ? args.flag("arbitrate") ? [] : ["run"] : isByDaemon(args)
      ? ["run", "sys"]
      // A local run drops "net" once it has the module and knows that no background daemon runs it.
      : ["sys"],
  async run(args, io): Promise<number> {
    checkRemoteOptions(args);
    if (args.flag("socket") && !args.flag("remote") && !isByDaemon(args)) {
      throw new PlasmError("usage", "Cannot use --socket without --daemon, --pipe or --remote", {
        hint: "Add --daemon to run the job through the daemon",
      });
    }
    if (args.flag("remote")) return await (await import("../exec/mod.ts")).runOnPeer(args, io);
    if (isByDaemon(args)) {
      return await (await import("../exec/mod.ts")).runByDaemon(args, io);
    }
    return await (await import("../exec/mod.ts")).runLocally(args, io);
  },
};
