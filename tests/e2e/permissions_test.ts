/**
 * Tests which permissions a command retains once it runs.
 * @module
 */
import { assertEquals } from "@std/assert";
import { COMMANDS } from "../../lib/cli/commands/mod.ts";
import type { DroppablePermission } from "../../lib/cli/io.ts";
import { parseCommandArgs } from "../../lib/cli/args.ts";

const CASES: { command: string; options?: string[]; dropped: DroppablePermission[] }[] = [
  // Drops "net" once it has the module, unless its background daemon runs the job.
  { command: "exec", dropped: ["sys"] },
  // Asks the daemon for its identity.
  { command: "id", dropped: ["run", "sys"] },
  { command: "id", options: ["--local"], dropped: ["net", "run", "sys"] },
  { command: "verify", dropped: ["net", "run", "sys", "write"] },
  { command: "dashboard", dropped: ["run", "sys"] },
  // Drops "run" once the browser has been started.
  { command: "dashboard", options: ["--open"], dropped: ["sys"] },
  { command: "version", dropped: ["net", "run", "sys", "write"] },
];

Deno.test("commands that need neither network nor processes drop those permissions", async () => {
  for (const { command: name, options = [], dropped } of CASES) {
    const command = await COMMANDS.find((entry) => entry.name === name)!.load();
    const positionals = Array.from({ length: command.spec.positionals.min }, () => "x");
    const args = parseCommandArgs(command.spec, [...options, ...positionals]);
    assertEquals(command.drops?.(args), dropped, name);
  }
});
