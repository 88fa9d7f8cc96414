import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { PlasmError } from "../core/errors/mod.ts";
import { parseCommandArgs } from "./args.ts";
import { config } from "./commands/config_command.ts";
import { daemon } from "./commands/daemon_command.ts";
import { exec } from "./commands/exec.ts";
import { jobs } from "./commands/jobs_commands.ts";
import { discover } from "./commands/network_commands.ts";
import { receipt } from "./commands/receipt_command.ts";
import { submit } from "./commands/submit.ts";
import type { Command } from "./command.ts";

function refusal({ spec }: Command, ...args: string[]): PlasmError {
  return assertThrows(() => parseCommandArgs(spec, args), PlasmError);
}

Deno.test("parseCommandArgs() names the option that replaces one of another tool", () => {
  assertEquals(
    refusal(exec, "--volume", ".", "x.wasm").hint?.split(",")[0],
    "Use --dir HOST[:GUEST]",
  );
  assertEquals(refusal(exec, "-v=.", "x.wasm").hint?.split(",")[0], "Use --dir HOST[:GUEST]");
  assertEquals(refusal(submit, "-e", "A=1", "x.wasm").hint, "Use --env K=V");
  assertEquals(refusal(discover, "--volume", ".").hint, "Run plasm discover --help");
});

Deno.test("parseCommandArgs() names what replaces the first word of another tool's command", () => {
  assertEquals(refusal(config, "get", "state_dir").hint?.slice(0, 18), "plasm config print");
  assertEquals(refusal(config, "validate").hint, "Run plasm config check");
  assertEquals(refusal(jobs, "ls").message, "Unknown argument: ls");
  assertEquals(refusal(receipt, "list").hint?.slice(0, 10), "plasm jobs");
  assertEquals(refusal(daemon, "start").code, "usage");
  assertEquals(refusal(jobs, "--status", "exited").hint, "Use --state NAME");
  assertEquals(refusal(submit, "--detach", "x").hint?.slice(0, 12), "plasm submit");
  assertStringIncludes(refusal(exec, "--timeout", "5s", "x").hint ?? "", "in seconds");
});

Deno.test("parseCommandArgs() shows where -- belongs when a job's argument has none before it", () => {
  const hint = "Put the job's arguments after --: plasm exec x.wasm -- in.csv";
  assertEquals(refusal(exec, "x.wasm", "in.csv").hint, hint);
  assertEquals(
    refusal(exec, "x.wasm", "--verbose").hint,
    "Put the job's arguments after --: plasm exec MODULE -- --verbose",
  );
});

Deno.test("parseCommandArgs() gives an option its default value unless digits follow", () => {
  const fuelOf = (...args: string[]) => parseCommandArgs(exec.spec, args).integer("fuel");
  assertEquals(fuelOf("x.wasm"), undefined);
  assertEquals(fuelOf("--fuel", "x.wasm"), Number.MAX_SAFE_INTEGER);
  assertEquals(fuelOf("x.wasm", "--fuel"), Number.MAX_SAFE_INTEGER);
  assertEquals(fuelOf("--fuel", "7", "x.wasm"), 7);
  assertEquals(fuelOf("--fuel=0", "x.wasm"), 0);
  assertEquals(fuelOf("x.wasm", "--", "--fuel"), undefined);
  for (const value of ["9007199254740992", "99999999999999999999"]) {
    const { code, message } = refusal(exec, `--fuel=${value}`, "x.wasm");
    assertEquals([code, message], ["usage", `Option --fuel needs a whole number: ${value}`]);
  }
});

Deno.test("parseCommandArgs() converts the aliases of an architecture and refuses other names", () => {
  for (const command of [exec, submit, discover]) {
    const module = command === discover ? [] : ["x.wasm"];
    const parse = (arch: string) =>
      parseCommandArgs(command.spec, ["--arch", arch, ...module]).string("arch");
    assertEquals([parse("arm64"), parse("amd64")], ["aarch64", "x86_64"]);
    const { code, message } = refusal(command, "--arch", "ppc", ...module);
    assertEquals([code, message], ["usage", 'Cannot use architecture "ppc" for --arch']);
  }
});

Deno.test("parseCommandArgs() takes a negative number for the value of its option and refuses it", () => {
  for (const option of ["--timeout", "--epoch-ms", "--fuel"]) {
    const { code, message } = refusal(exec, option, "-5", "x.wasm");
    assertEquals([code, message], ["usage", `Option ${option} needs a whole number: -5`]);
  }
  assertEquals(parseCommandArgs(exec.spec, ["x.wasm", "--", "--timeout", "-5"]).rest, [
    "--timeout",
    "-5",
  ]);
});

Deno.test("parseCommandArgs() names the option whose number is out of range", () => {
  for (const value of ["0", "1001"]) {
    const { code, message } = refusal(jobs, "--limit", value);
    assertEquals([code, message], ["usage", `Option --limit must be 1 to 1000, found ${value}`]);
  }
  assertEquals(parseCommandArgs(jobs.spec, ["--limit", "1000"]).integer("limit"), 1000);
});

Deno.test("parseCommandArgs() says how to do without an option that other tools have for a job", () => {
  assertStringIncludes(refusal(exec, "-d", "x.wasm").hint!, "plasm submit");
  assertStringIncludes(refusal(exec, "-it", "x.wasm").hint!, "< FILE");
  assertStringIncludes(refusal(exec, "--entrypoint", "f", "x.wasm").hint!, "_start");
  assertStringIncludes(refusal(exec, "-W", "max-memory-size=1", "x.wasm").hint!, "--memory-mb N");
  // After the module it is the job's.
  assertStringIncludes(refusal(exec, "x.wasm", "-d").hint!, "after --");
  assertEquals(refusal(exec, "--gpus", "x.wasm").hint, "Run plasm exec --help");
});
