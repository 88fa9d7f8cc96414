/**
 * The command `plasm dashboard`: serves a page that shows the daemon.
 *
 * @module
 */
import { findSocket } from "../../client/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { serveDashboard } from "../../daemon/web/mod.ts";
import type { Command } from "../command.ts";
import type { CliIo } from "../io.ts";
import { SOCKET_OPTION } from "../daemon_client.ts";
import { openInBrowser } from "../open_browser.ts";

/** `plasm dashboard` */
export const dashboard: Command = {
  spec: {
    name: "dashboard",
    summary: "Serve a page that shows the daemon",
    usage: "[OPTIONS]",
    description:
      "Prints the address of a page on this machine, which shows node, jobs, network and load as they change, submits " +
      "jobs and verifies receipts. The address opens the page once, in one browser; the page works until this " +
      "command is stopped. A daemon with api.tcp.listen serves the same page itself, for the token of its API.",
    options: [
      {
        name: "open",
        kind: "flag",
        help: "Open the page in the browser of the desktop (xdg-open)",
      },
      {
        name: "port",
        kind: "integer",
        placeholder: "N",
        help: "Listen on this port of 127.0.0.1 (default any free one)",
      },
      SOCKET_OPTION,
    ],
    positionals: { min: 0, max: 0 },
    examples: [
      { call: "plasm dashboard", does: "Print the address of the dashboard" },
      { call: "plasm dashboard --open", does: "Open the dashboard in a browser" },
    ],
  },
  drops: (args) => args.flag("open") ? ["sys"] : ["run", "sys"],
  async run(args, io): Promise<number> {
    const given = args.string("socket");
    const port = args.integer("port") ?? 0;
    if (port > 65_535) throw new PlasmError("usage", `Cannot use --port ${port}: no such port`);
    const socket = (): string => given ?? findSocket((name) => io.env(name));
    socket(); // reports a missing daemon here, not on the page
    await using served = serveDashboard({ port, socket });
    await io.write(
      args.flag("json") ? `${JSON.stringify({ url: served.url })}\n` : `${served.url}\n`,
    );
    await using _opened = args.flag("open") ? await open(served.url, io) : undefined;
    await io.message("plasm: Open this address in a browser; stop with Ctrl-C\n");
    await new Promise<void>((resolve) => {
      if (io.signal.aborted) resolve();
      io.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    return 0;
  },
};

/** Opens the page; a failure is reported, as the address is printed. */
async function open(url: string, io: CliIo): Promise<AsyncDisposable | undefined> {
  const report = ({ message, hint }: PlasmError): void =>
    void io.message(`plasm: ${message}\nhint: ${hint}\n`);
  try {
    return await openInBrowser(url, { runtimeDir: io.env("XDG_RUNTIME_DIR"), onFailure: report });
  } catch (error) {
    report(PlasmError.from(error));
    return undefined;
  } finally {
    io.drop(["run"]);
  }
}
