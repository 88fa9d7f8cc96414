import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { allSpecs } from "../../lib/cli/commands/completions.ts";
import { CONFIG_KEYS, parseConfig } from "../../lib/config/mod.ts";
import { ERROR_CODES } from "../../lib/core/errors/error_codes.ts";
import { configPage } from "./man_config.ts";
import { plasmPage } from "./man_plasm.ts";
import { roff } from "./roff.ts";

Deno.test("roff() leaves nothing that is an instruction", () => {
  assertEquals(roff(".SH \\fB\n'x --a"), "\\&.SH \\efB\n\\&'x \\-\\-a");
});

Deno.test("plasmPage() has every command, option and error code", async () => {
  const specs = await allSpecs();
  const page = plasmPage(specs);
  for (const { name, options } of specs) {
    assertStringIncludes(page, `.SS "plasm ${roff(name)}`);
    for (const option of options) assertStringIncludes(page, roff(`--${option.name}`));
  }
  for (const code of Object.keys(ERROR_CODES)) assertStringIncludes(page, `\\fB${roff(code)}\\fR`);
});

Deno.test("configPage() has every key, and an example that is valid", () => {
  const page = configPage();
  for (const { name } of CONFIG_KEYS) assertStringIncludes(page, `\\fB${roff(name)}\\fR`);
  const example = /\.RS\n([^]*?)\n\.RE/.exec(page)?.[1]?.replaceAll("\\-", "-");
  assert(example !== undefined);
  assertEquals(parseConfig(example, "the example")["jobs.concurrency"], 2);
});
