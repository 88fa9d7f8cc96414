/**
 * `plasm version`.
 * @module
 */
import { VERSION } from "../../core/mod.ts";
import type { Command } from "../command.ts";

/** The command. */
export const version: Command = {
  spec: {
    name: "version",
    summary: "Print the versions of plasm and its parts",
    usage: "[--json]",
    description:
      "Prints the version of plasm, of the runtime under it and of the engine that runs jobs, the " +
      "platform it was built for, and the commit it was built from. Run from source, plasm does not " +
      "know its commit.",
    options: [],
    positionals: { min: 0, max: 0 },
    examples: [{ call: "plasm version --json", does: "Versions for a program" }],
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

/** The commit that scripts/compile.ts embedded; null from source, and for a build without git. */
async function builtCommit(): Promise<string | null> {
  if (!Deno.build.standalone) return null;
  const build = JSON.parse(await Deno.readTextFile(new URL("./build.json", import.meta.url)));
  return build.commit;
}
