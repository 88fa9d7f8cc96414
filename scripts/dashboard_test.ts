import { assertEquals } from "@std/assert";
import { dashboardPage, PAGE_FILE } from "./dashboard.ts";

const committed = await Deno.readTextFile(PAGE_FILE);
const version = /with Deno ([\d.]+);/.exec(committed)?.[1];
// Another version's bundler writes other code for the same source.
const isOther = version !== Deno.version.deno;
if (isOther) console.warn(`SKIPPED: the dashboard's page was bundled with Deno ${version}`);

Deno.test({
  name: "the dashboard's page is bundled from its source: run deno task dashboard",
  ignore: isOther,
  fn: async () => assertEquals(await dashboardPage() === committed, true),
});

Deno.test("the dashboard's page has at most 120 KB compressed", async () => {
  const gzip = new Blob([committed]).stream().pipeThrough(new CompressionStream("gzip"));
  const { length } = await new Response(gzip).bytes();
  assertEquals(length <= 120_000, true, `${length} bytes`);
});
