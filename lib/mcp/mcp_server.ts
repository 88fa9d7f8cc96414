/**
 * Creates the server with its tools and resources, and serves it over standard input and output.
 *
 * @module
 */
import { McpServer, ResourceNotFoundError, ResourceTemplate } from "@modelcontextprotocol/server";
import { serveStdio, StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import { VERSION } from "../core/mod.ts";
import { addJobTools } from "./job_tools.ts";
import { addNodeTool } from "./node_tool.ts";
import { addReceiptTools } from "./receipt_tools.ts";
import { resultUri } from "./result_store.ts";
import type { McpRunner } from "./runner.ts";

/** Creates a server for one connection or request; all share the runner. */
export function createMcpServer(runner: McpRunner): McpServer {
  const { dirs } = runner.allowed;
  const { hosts, network } = runner.options;
  const server = new McpServer({ name: "plasm", title: "plasm", version: VERSION }, {
    instructions: [
      "plasm runs WebAssembly modules (WASI commands) in a sandbox and returns a signed receipt with each result.",
      dirs.length === 0
        ? "No directory is served: modules come from references only."
        : `Modules and inputs may be read below: ${dirs.join(", ")}.`,
      hosts.length === 0
        ? "Modules cannot be fetched from other machines."
        : `Modules may be fetched from: ${hosts.join(", ")}.`,
      network === undefined ? "Jobs run on this machine only." : "run_remote uses other nodes.",
    ].join("\n"),
  });
  addJobTools(server, runner);
  addReceiptTools(server, runner);
  if (network !== undefined) addNodeTool(server, network);
  addResources(server, runner);
  return server;
}

function addResources(server: McpServer, { results }: McpRunner): void {
  const template = new ResourceTemplate(resultUri("{job}", "").replaceAll("%7B", "{") + "{+name}", {
    list: () => ({
      resources: [...results.list()].map(({ uri, name, data }) => ({
        uri,
        name,
        size: data.length,
      })),
    }),
  });
  server.registerResource("results", template, {
    title: "Output of recent jobs",
    description: "Standard output, standard error and output files of the latest jobs",
  }, (uri) => {
    const found = results.get(uri.href);
    if (found === undefined) throw new ResourceNotFoundError(uri.href);
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(found.data);
      return { contents: [{ uri: uri.href, mimeType: "text/plain", text }] };
    } catch {
      const blob = found.data.toBase64();
      return { contents: [{ uri: uri.href, mimeType: "application/octet-stream", blob }] };
    }
  });
}

/** Options of {@linkcode serveMcpStdio}. */
export interface McpStdioOptions {
  /** Ends the connection. */
  signal: AbortSignal;
  /** Receives errors of the connection. */
  onError: (error: Error) => void;
}

/** Serves the protocol over standard input and output, until the client closes it or the signal aborts. */
export async function serveMcpStdio(
  runner: McpRunner,
  { signal, onError }: McpStdioOptions,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const transport = new StdioServerTransport();
  const handle = serveStdio(() => createMcpServer(runner), { transport, onerror: onError });
  const { onclose } = transport;
  transport.onclose = () => {
    onclose?.();
    resolve();
  };
  const abort = (): void => void handle.close().then(resolve);
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  await promise;
  signal.removeEventListener("abort", abort);
}
