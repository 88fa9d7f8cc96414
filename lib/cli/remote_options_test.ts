import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { PlasmError } from "../core/errors/mod.ts";
import { parseCommandArgs } from "./args.ts";
import { exec } from "./commands/exec.ts";
import { checkRemoteOptions, targetOf } from "./remote_options.ts";

/** Any valid peer id. */
const PEER = "12D3KooWGzBvAtN8Z2sJrrfuH4nQwBZ8mcxLnWMmJUMrZJBCmyRb";

function refusal(...words: string[]): string {
  const check = () => checkRemoteOptions(parseCommandArgs(exec.spec, [...words, "x.wasm"]));
  const error = assertThrows(check, PlasmError);
  assertEquals(error.code, "usage");
  return `${error.message} ${error.hint}`;
}

Deno.test("checkRemoteOptions() rejects --agree where it does not apply", () => {
  assertStringIncludes(refusal("--agree", "2"), "--agree without --remote");
  assertStringIncludes(refusal("--remote", "--same-network"), "--same-network without --agree");
  for (const single of [["--live"], ["--ticket", "t"], ["--attempts", "1"]]) {
    const text = refusal("--remote", "--agree", "2", ...single);
    assertStringIncludes(text, `--agree and ${single[0]}`);
  }
  assertStringIncludes(refusal("--remote", "--agree", "2", "--peer", PEER), "--arbitrate");
  assertStringIncludes(refusal("--remote", "--agree", "many"), "K or K/N");
});

Deno.test("targetOf() describes a quorum to the daemon", () => {
  const words = ["--remote", "--agree", "2/3", "--same-network", "x.wasm"];
  const target = targetOf(parseCommandArgs(exec.spec, words));
  assertEquals(target, { agree: 2, nodes: 3, same_network: true });
});
