import { assertEquals } from "@std/assert";
import { COMMANDS } from "./commands/mod.ts";
import { programHelp } from "./help.ts";

Deno.test("programHelp() lists every command once, under the heading of its group", () => {
  const headings = new Map<string, string[]>();
  let heading = "";
  for (const line of programHelp(COMMANDS, 80).split("\n")) {
    const [, title] = /^(\w[\w ]*):$/.exec(line) ?? [];
    const [, name] = /^ {2}(\w+) {2,}\S/.exec(line) ?? [];
    if (title !== undefined) headings.set(heading = title, []);
    else if (name !== undefined) headings.get(heading)?.push(name);
  }
  assertEquals([...headings.keys()], [
    "Run jobs",
    "Run a daemon",
    "Network",
    "Receipts",
    "Other",
  ]);
  assertEquals([...headings.values()].flat(), COMMANDS.map(({ name }) => name));
  assertEquals(headings.get("Receipts"), ["verify", "receipt", "id"]);
});
