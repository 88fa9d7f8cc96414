import { assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/mod.ts";
import { ParsedArgs } from "../command.ts";
import { configFlags } from "./daemon_command.ts";

Deno.test("configFlags() names the option whose value is invalid", () => {
  const cases: [option: string, value: string][] = [
    ["log-level", "loud"],
    ["set", "log.level=loud"],
    ["set", 'network.listen=["x"]'],
  ];
  for (const [option, value] of cases) {
    const args = new ParsedArgs(new Map([[option, [value]]]));
    assertThrows(() => configFlags(args), PlasmError, `Cannot use --${option}: `);
  }
});
