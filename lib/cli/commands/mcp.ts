/**
 * The command `plasm mcp`: serves agents over the Model Context Protocol.
 *
 * @module
 */
import { connectDaemon } from "../../client/mod.ts";
import { loadConfig } from "../../config/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { stateDir } from "../../core/mod.ts";
import { McpRunner, type PythonProgram, serveMcpHttp, serveMcpStdio } from "../../mcp/mod.ts";
import { DEFAULT_CEILINGS } from "../../sandbox/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { Command, ParsedArgs } from "../command.ts";
import { SOCKET_OPTION } from "../daemon_client.ts";
import { bootstrapOf, envOf, parseInput, readHostInputs } from "../exec/mod.ts";
import { readCappedFile } from "../host_files.ts";

/** Characters of a token: those of a bearer token (RFC 6750) that cannot be mistaken. */
const TOKEN = /^[\x21-\x7e]{16,1024}$/;

/** Options that concern `run_python`. */
const PYTHON_OPTIONS = ["python-input", "python-env"];

/** `plasm mcp` */
export const mcp: Command = {
  spec: {
    name: "mcp",
    summary: "Serve agents over the Model Context Protocol",
    usage: "[OPTIONS]",
    description:
      "Serves the tools run_module, verify_receipt and rerun over standard input and output, and more with the " +
      "options below. An agent reads modules and inputs only from the directories of --dir, fetches modules only " +
      "from the hosts of --host, and uses other nodes only with --remote. Jobs have the limits of the " +
      "configuration (jobs.ceilings). Messages are written to standard error.",
    options: [
      {
        name: "dir",
        kind: "string",
        placeholder: "DIR",
        repeat: true,
        complete: "file",
        help: "Let agents read modules and inputs in this directory (default none)",
      },
      {
        name: "host",
        kind: "string",
        placeholder: "HOST",
        repeat: true,
        help: "Let agents fetch modules from this host, by https:// or oci:// (default none)",
      },
      {
        name: "remote",
        kind: "flag",
        help: "Let agents find other nodes and run jobs there (run_remote, find_nodes)",
      },
      {
        name: "bootstrap",
        kind: "string",
        placeholder: "ADDR",
        repeat: true,
        help: "Join through this node (with --remote, default network.bootstrap)",
      },
      {
        name: "python",
        kind: "string",
        placeholder: "MODULE",
        complete: "file",
        help: "Let agents run Python code with this interpreter, a file or reference (run_python)",
      },
      {
        name: "python-input",
        kind: "string",
        placeholder: "HOST[:GUEST]",
        repeat: true,
        complete: "file",
        help: "Give the interpreter this file or directory, such as its library (with --python)",
      },
      {
        name: "python-env",
        kind: "string",
        placeholder: "K=V",
        repeat: true,
        help: "Set a variable in the interpreter's environment (with --python)",
      },
      {
        name: "http",
        kind: "integer",
        placeholder: "PORT",
        help:
          "Serve over HTTP on this port of 127.0.0.1 instead, 0 for any free one; prints the URL",
      },
      {
        name: "token-file",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help:
          "Require the bearer token in FILE (with --http, default a new token, which is printed)",
      },
      SOCKET_OPTION,
    ],
    positionals: { min: 0, max: 0 },
    examples: [
      { call: "plasm mcp --dir ~/modules", does: "Serve the modules in ~/modules" },
      {
        call: "plasm mcp --http 0 --remote",
        does: "Serve over HTTP on a free port, and allow jobs on other nodes",
      },
    ],
  },
  async run(args, io): Promise<number> {
    const env = (name: string): string | undefined => io.env(name);
    checkOptions(args);
    const { config: { jobs, network } } = await loadConfig({ env, system: false });
    const socket = args.string("socket");
    await using runner = await McpRunner.create({
      dirs: args.strings("dir"),
      hosts: args.strings("host"),
      ceilings: { ...DEFAULT_CEILINGS, ...jobs.ceilings },
      stateDir: stateDir(env),
      env,
      python: await pythonOf(args),
      network: args.flag("remote")
        ? {
          bootstrap: () => bootstrapOf(args, { io, configured: network.bootstrap }),
          connect: () => connectDaemon({ socket, env }),
        }
        : undefined,
    });
    const onError = (error: Error): void => {
      void io.message(`plasm: ${escapeText(error.message)}\n`);
    };
    const port = args.integer("http");
    if (port === undefined) {
      if (io.stdinIsTerminal) {
        await io.message("plasm: Waiting for a client on standard input\n");
      }
      await serveMcpStdio(runner, { signal: io.signal, onError });
      return 0;
    }
    const path = args.string("token-file");
    const token = path === undefined ? newToken() : await readToken(path);
    await using server = serveMcpHttp(runner, { port, token, onError });
    if (args.flag("json")) await io.write(`${JSON.stringify({ url: server.url, token })}\n`);
    else {
      await io.write(`${server.url}\n`);
      if (path === undefined) await io.write(`Authorization: Bearer ${token}\n`);
    }
    await stopped(io.signal);
    return 0;
  },
};

function checkOptions(args: ParsedArgs): void {
  const needs: [string, string][] = [
    ["bootstrap", "remote"],
    ["token-file", "http"],
    ...PYTHON_OPTIONS.map((name): [string, string] => [name, "python"]),
  ];
  for (const [name, needed] of needs) {
    if (!args.flag(name) || args.flag(needed)) continue;
    throw new PlasmError("usage", `Cannot use --${name} without --${needed}`);
  }
  const port = args.integer("http") ?? 0;
  if (port > 65_535) throw new PlasmError("usage", `Cannot use --http ${port}: no such port`);
}

async function pythonOf(args: ParsedArgs): Promise<PythonProgram | undefined> {
  const module = args.string("python");
  if (module === undefined) return undefined;
  const { inputs } = await readHostInputs({
    dirs: [],
    inputs: args.strings("python-input").map(parseInput),
  }, DEFAULT_CEILINGS.fs_bytes);
  return { module, inputs, env: envOf(args, "python-env") };
}

function newToken(): string {
  return crypto.getRandomValues(new Uint8Array(32)).toHex();
}

/** @throws {PlasmError} `usage` */
async function readToken(path: string): Promise<string> {
  const data = await readCappedFile(path, { maxBytes: 4096, code: "bad-input", what: "token" });
  const token = new TextDecoder().decode(data).trim();
  if (TOKEN.test(token)) return token;
  throw new PlasmError("usage", `Cannot use the token in ${escapeText(path)}`, {
    hint: "It must have 16 to 1024 printable characters; create one with: openssl rand -hex 32",
  });
}

async function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
