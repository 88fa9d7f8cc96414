import { assertEquals } from "@std/assert";
import schema from "../../../schemas/capability.json" with { type: "json" };
import { generateTypes } from "../../../scripts/types.ts";

Deno.test("lib/p2p/discovery/capability_document.gen.ts is what its schema makes", async () => {
  const path = new URL("../../../lib/p2p/discovery/capability_document.gen.ts", import.meta.url);
  assertEquals(await Deno.readTextFile(path), generateTypes([schema]));
});
