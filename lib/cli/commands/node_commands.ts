/**
 * The commands that identify this installation: `plasm id` and `plasm version`.
 *
 * @module
 */
import { loadOrCreateIdentity, stateDir, VERSION } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { Command, ParsedArgs } from "../command.ts";
import { createClient, SOCKET_OPTION } from "../daemon_client.ts";
import type { CliIo } from "../io.ts";

/** State directory of the package's service. */
const SERVICE_STATE_DIR = "/var/lib/plasm";

/** A public identity and what its key signs. */
interface PublicIdentity {
  peer_id: string;
  public_key: string;
  owner: "daemon" | "user";
}

/** The identity of the user's own runs; the first use creates it. */
async function userIdentity(io: CliIo): Promise<PublicIdentity> {
  const { peerId, publicKey } = await loadOrCreateIdentity(stateDir((name) => io.env(name)));
  return { peer_id: peerId, public_key: publicKey, owner: "user" };
}

/** Whether a daemon is expected to run: one is named, or the package is installed. */
async function expectsDaemon(args: ParsedArgs, io: CliIo): Promise<boolean> {
  if (args.string("socket") !== undefined || io.env("PLASM_SOCKET")) return true;
  return await Deno.stat(SERVICE_STATE_DIR).then(
    () => true,
    (error) => !(error instanceof Deno.errors.NotFound),
  );
}

/**
 * The daemon's identity. Without a daemon the user's, unless one is expected: a stopped daemon must not be mistaken
 * for the user.
 *
 * @throws {PlasmError} `no-daemon`
 */
async function daemonIdentity(args: ParsedArgs, io: CliIo): Promise<PublicIdentity> {
  try {
    using client = await createClient(args, io);
    const { signal } = io;
    const { peer_id, public_key } = await client.node({ signal });
    return { peer_id, public_key, owner: "daemon" };
  } catch (error) {
    const fault = PlasmError.from(error);
    if (fault.code !== "no-daemon") throw fault;
    if (fault.details["sockets"] === undefined || await expectsDaemon(args, io)) {
      throw new PlasmError("no-daemon", fault.message, {
        hint: `${fault.hint ?? "Start a daemon"}; plasm id --local prints the key of your own runs`,
        cause: fault,
      });
    }
  }
  await io.message("plasm: No daemon runs; this is the key of your own runs (plasm id --local)\n");
  return await userIdentity(io);
}

/** `plasm id` */
export const id: Command = {
  spec: {
    name: "id",
    summary: "Print the daemon's identity, or your own",
    usage: "[OPTIONS]",
    description:
      "Prints the peer id and the Ed25519 public key with which the daemon signs receipts of its jobs. " +
      "plasm exec without --daemon, --pipe or --remote signs with a key of the user, which --local prints; the " +
      "first use creates it in the user's state directory.",
    options: [
      { name: "local", kind: "flag", help: "Print the identity that signs your own plasm exec" },
      SOCKET_OPTION,
    ],
    positionals: { min: 0, max: 0 },
    examples: [
      { call: "plasm id --json", does: "Print the daemon's identity as JSON" },
      { call: "plasm id --local", does: "Print the identity of plasm exec" },
    ],
  },
  drops: (args) => args.flag("local") ? ["net", "run", "sys"] : ["run", "sys"],
  async run(args, io): Promise<number> {
    if (args.flag("local") && args.flag("socket")) {
      throw new PlasmError("usage", "Cannot use --local and --socket together");
    }
    const { peer_id, public_key, owner } = args.flag("local")
      ? await userIdentity(io)
      : await daemonIdentity(args, io);
    await io.write(
      args.flag("json")
        ? `${JSON.stringify({ peer_id, public_key, owner })}\n`
        : `peer id     ${peer_id}\npublic key  ${public_key}\n` +
          `signs       ${owner === "daemon" ? "jobs of the daemon" : "your own plasm exec"}\n`,
    );
    return 0;
  },
};

/** `plasm version` */
export const version: Command = {
  spec: {
    name: "version",
    summary: "Print the versions of plasm and its parts",
    usage: "[--json]",
    description:
      "Prints the versions of plasm, of Deno and of V8, the target platform, and the commit of the build. " +
      "The commit is unknown when plasm runs from source.",
    options: [],
    positionals: { min: 0, max: 0 },
    examples: [{ call: "plasm version --json", does: "Print the versions as JSON" }],
  },
  drops: () => ["net", "run", "sys", "write"],
  async run(args, io): Promise<number> {
    const { deno, v8 } = Deno.version;
    const { target } = Deno.build;
    const commit = await builtCommit();
    const versions = { plasm: VERSION, deno, v8, target, commit };
    await io.write(
      args.flag("json")
        ? `${JSON.stringify(versions)}\n`
        : `plasm ${VERSION} (deno ${deno}, v8 ${v8}, ${target}, commit ${commit ?? "unknown"})\n`,
    );
    return 0;
  },
};

/** The commit that scripts/compile.ts embedded; null from source and for a build without git. */
async function builtCommit(): Promise<string | null> {
  if (!Deno.build.standalone) return null;
  const build = JSON.parse(await Deno.readTextFile(new URL("./build.json", import.meta.url)));
  return build.commit;
}
