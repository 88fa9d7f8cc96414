/**
 * What the process of a command can still do once it runs.
 * @module
 */
import { assertEquals } from "@std/assert";
import { COMMANDS } from "../../lib/cli/commands/mod.ts";
import type { DroppablePermission } from "../../lib/cli/io.ts";
import { parseCommandArgs } from "../../lib/cli/args.ts";

const DROPPED: Record<string, DroppablePermission[]> = {
  exec: ["net", "sys"],
  id: ["net", "run", "sys"],
  verify: ["net", "run", "sys", "write"],
  version: ["net", "run", "sys", "write"],
};

Deno.test("commands that touch neither network nor processes give these permissions up", async () => {
  for (const [name, expected] of Object.entries(DROPPED)) {
    const command = await COMMANDS.find((entry) => entry.name === name)!.load();
    const args = Array.from({ length: command.spec.positionals.min }, () => "x");
    assertEquals(command.drops?.(parseCommandArgs(command.spec, args)), expected);
  }
});
