/**
 * The command `plasm backup`: copies the state of a node, also while its daemon runs.
 *
 * @module
 */
import { stateDir } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { Command, ParsedArgs } from "../command.ts";
import { createClient, SOCKET_OPTION } from "../daemon_client.ts";
import type { CliIo } from "../io.ts";

/** Time limit of the request for the daemon's state directory, in milliseconds: the client finds earlier that it is frozen. */
const DAEMON_TIMEOUT_MS = 15_000;

/** State directory of the daemon; without one the default. */
async function findStateDir(args: ParsedArgs, io: CliIo): Promise<string> {
  const named = args.string("state-dir");
  if (named !== undefined) {
    if (!args.flag("socket")) return named;
    throw new PlasmError("usage", "Cannot use --state-dir and --socket together");
  }
  try {
    using client = await createClient(args, io);
    const signal = AbortSignal.any([io.signal, AbortSignal.timeout(DAEMON_TIMEOUT_MS)]);
    return (await client.config({ signal })).state_dir;
  } catch (error) {
    const fault = PlasmError.from(error);
    if (fault.code !== "no-daemon" || args.string("socket") !== undefined) throw fault;
    return stateDir((name) => io.env(name));
  }
}

/** `plasm backup` */
export const backup: Command = {
  spec: {
    name: "backup",
    summary: "Copy the state of the daemon, also while it runs",
    usage: "[OPTIONS] DIR",
    description:
      "Copies the daemon's identity, jobs, receipts, outputs, modules and tokens to DIR, which must be empty " +
      "or missing. The copy is consistent while the daemon runs, and is itself a state directory. It includes " +
      "the private key: every holder of it can sign as this node. Needs read access to the state directory.",
    options: [
      {
        name: "state-dir",
        kind: "string",
        placeholder: "DIR",
        complete: "file",
        help: "Copy this state directory (default that of the running daemon, else the user's)",
      },
      SOCKET_OPTION,
    ],
    positionals: { min: 1, max: 1, complete: "file" },
    examples: [
      { call: "sudo plasm backup /root/plasm-backup", does: "Copy the state of the service" },
    ],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    const from = await findStateDir(args, io);
    const to = args.positionals[0]!;
    const { backUp } = await import("../../daemon/mod.ts");
    const { jobs, blobs, bytes } = await backUp({ from, to, signal: io.signal });
    await io.write(
      args.flag("json")
        ? `${JSON.stringify({ from, to, jobs, blobs, bytes })}\n`
        : `copied ${escapeText(from)}: ${jobs} jobs, ${blobs} modules and inputs, ${bytes} bytes\n`,
    );
    return 0;
  },
};
