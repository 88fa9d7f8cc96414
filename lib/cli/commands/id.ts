/**
 * `plasm id`.
 * @module
 */
import { loadOrCreateIdentity, stateDir } from "../../core/mod.ts";
import type { Command } from "../command.ts";

/** The command. */
export const id: Command = {
  spec: {
    name: "id",
    summary: "Print this node's identity",
    usage: "[--json]",
    description:
      "Prints the peer id and the Ed25519 public key under which this node signs receipts. The key " +
      "is created in the state directory on first use.",
    options: [],
    positionals: { min: 0, max: 0 },
    examples: [{ call: "plasm id --json", does: "The identity for a program" }],
  },
  drops: () => ["net", "run", "sys"],
  async run(args, io): Promise<number> {
    const { peerId, publicKey } = await loadOrCreateIdentity(stateDir((name) => io.env(name)));
    await io.write(
      args.flag("json")
        ? `${JSON.stringify({ peer_id: peerId, public_key: publicKey })}\n`
        : `peer id     ${peerId}\npublic key  ${publicKey}\n`,
    );
    return 0;
  },
};
