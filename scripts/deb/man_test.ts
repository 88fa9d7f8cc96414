import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { allSpecs } from "../../lib/cli/commands/completions.ts";
import { CONFIG_KEYS, parseConfig } from "../../lib/config/mod.ts";
import { ERROR_CODES } from "../../lib/core/errors/error_codes.ts";
import { changelogDate } from "../deb.ts";
import { configPage } from "./man_config.ts";
import { plasmPage } from "./man_plasm.ts";
import { roff } from "./roff.ts";

Deno.test("roff() escapes every roff request", () => {
  assertEquals(roff(".SH \\fB\n'x --a"), "\\&.SH \\efB\n\\&'x \\-\\-a");
});

Deno.test("man pages have the date of the latest changelog entry", async () => {
  const changelog = await Deno.readTextFile(new URL("../../debian/changelog", import.meta.url));
  const date = changelogDate(changelog);
  assertMatch(date, /^20\d\d-\d\d-\d\d$/);
  const header = roff(`"${date}"`);
  assertStringIncludes(plasmPage([], { date }).split("\n")[0]!, header);
  assertStringIncludes(configPage({ date }).split("\n")[0]!, header);
  assertThrows(() => changelogDate("plasm (0.1.0) unstable\n"), Error, "has no date");
});

Deno.test("plasmPage() lists every command, option and error code", async () => {
  const specs = await allSpecs();
  const page = plasmPage(specs, { date: "2026-01-02" });
  for (const { name, options } of specs) {
    assertStringIncludes(page, `.SS "plasm ${roff(name)}`);
    for (const option of options) assertStringIncludes(page, roff(`--${option.name}`));
  }
  for (const code of Object.keys(ERROR_CODES)) assertStringIncludes(page, `\\fB${roff(code)}\\fR`);
});

Deno.test("configPage() lists every key and contains a valid example", () => {
  const page = configPage({ date: "2026-01-02" });
  for (const { name } of CONFIG_KEYS) assertStringIncludes(page, `\\fB${roff(name)}\\fR`);
  const example = /\.RS\n([^]*?)\n\.RE/.exec(page)?.[1]?.replaceAll("\\-", "-");
  assert(example !== undefined);
  assertEquals(parseConfig(example, "the example")["jobs.concurrency"], 2);
});
