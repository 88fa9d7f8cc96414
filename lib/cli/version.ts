/**
 * `plasm version`.
 * @module
 */
import { VERSION } from "../version.ts";
import type { Command } from "./command.ts";

/** The command. */
export const version: Command = {
  spec: {
    name: "version",
    summary: "Print the versions of plasm and its parts",
    usage: "[--json]",
    description:
      "Prints the version of plasm, of the runtime under it and of the engine that runs jobs.",
    options: [],
    positionals: { min: 0, max: 0 },
    examples: [{ call: "plasm version --json", does: "Versions for a program" }],
  },
  async run(args, io): Promise<number> {
    const { deno, v8, typescript: _ } = Deno.version;
    const versions = { plasm: VERSION, deno, v8, target: Deno.build.target };
    await io.write(
      args.flag("json")
        ? `${JSON.stringify(versions)}\n`
        : `plasm ${VERSION} (deno ${deno}, v8 ${v8}, ${Deno.build.target})\n`,
    );
    return 0;
  },
};
