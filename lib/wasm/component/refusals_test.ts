import { assertEquals } from "@std/assert";
import { refuseCommand } from "./refusals.ts";

Deno.test("refuseCommand() names what a component exports and the command that builds one that runs", () => {
  const build = "uild it as a command with a main function: cargo build --target wasm32-wasip2";
  const cases: [exports: string[], found: string, hint: string][] = [
    [[], "nothing", `B${build}`],
    [["greet"], '"greet"', `B${build}`],
    [["wasi:cli/run@0.3.0"], '"wasi:cli/run@0.3.0"', `B${build}`],
    [
      ["wasi:http/incoming-handler@0.2.3"],
      '"wasi:http/incoming-handler@0.2.3"',
      `It serves HTTP, which no job does; b${build}`,
    ],
  ];
  for (const [exports, found, hint] of cases) {
    const error = refuseCommand({ exports }, []);
    const message =
      `Cannot run module: it is a component that exports ${found}, expected wasi:cli/run@0.2`;
    assertEquals([error.code, error.message, error.hint], ["bad-module", message, hint]);
  }
});
