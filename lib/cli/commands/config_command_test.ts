import { assertEquals } from "@std/assert";
import { ParsedArgs } from "../command.ts";
import type { CliIo } from "../io.ts";
import { config } from "./config_command.ts";

async function widthOf(values: ReadonlyMap<string, readonly string[]>): Promise<number> {
  let text = "";
  const io = {
    columns: 72,
    stdoutIsTerminal: true,
    env: (name: string) =>
      ({
        HOME: "/nonexistent",
        PLASM_NETWORK_BOOTSTRAP: `/dns4/${"a".repeat(80)}/tcp/1`,
      })[name],
    write: (data: string) => Promise.resolve(void (text += data)),
  };
  const args = new ParsedArgs(values, { positionals: ["print"] });
  assertEquals(await config.run(args, io as unknown as CliIo), 0);
  return Math.max(...text.split("\n").map((line) => line.length));
}

Deno.test("plasm config print fits the terminal unless --no-trunc is set", async () => {
  assertEquals(await widthOf(new Map()), 72);
  assertEquals(await widthOf(new Map([["no-trunc", []]])) > 100, true);
});
