/**
 * The command `plasm reload`: applies a changed configuration to the running daemon.
 *
 * @module
 */
import { connectDaemon } from "../../client/mod.ts";
import type { Command } from "../command.ts";
import { SOCKET_OPTION } from "../daemon_client.ts";
import type { CliIo } from "../io.ts";

/**
 * Inner socket of the daemon if systemd runs this command for its unit. It does not depend on the configuration, which
 * may have changed, and accepts connections while the API has too many.
 */
async function unitSocket(io: CliIo): Promise<string | undefined> {
  const dir = io.env("STATE_DIRECTORY")?.split(":")[0];
  if (!dir) return undefined;
  const path = `${dir}/run/unix.sock`;
  return await Deno.lstat(path).then(() => path, () => undefined);
}

/** `plasm reload` */
export const reload: Command = {
  spec: {
    name: "reload",
    summary: "Apply a changed configuration to the running daemon",
    usage: "[OPTIONS]",
    description:
      "The daemon reads its configuration again and applies the keys that need no restart; the others " +
      "are named. If the configuration is invalid, the error is printed, the exit status is 78 and the " +
      "former configuration stays in effect. systemctl reload plasm runs this command.",
    options: [SOCKET_OPTION],
    positionals: { min: 0, max: 0 },
    examples: [{ call: "plasm reload", does: "Apply the changed configuration" }],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    const socket = args.string("socket") ?? await unitSocket(io);
    using client = connectDaemon({ socket, env: (name) => io.env(name) });
    const { signal } = io;
    const changes = await client.reload({ signal });
    if (args.flag("json")) {
      await io.write(`${JSON.stringify(changes)}\n`);
      return 0;
    }
    const { applied, needs_restart } = changes;
    await io.write(
      [
        applied.length === 0 ? "nothing changed\n" : `applied: ${applied.join(", ")}\n`,
        needs_restart.length === 0 ? "" : `needs a restart: ${needs_restart.join(", ")}\n`,
      ].slice(applied.length === 0 && needs_restart.length > 0 ? 1 : 0).join(""),
    );
    return 0;
  },
};
