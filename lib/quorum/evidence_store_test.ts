import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { PlasmError } from "../core/errors/mod.ts";
import { ephemeralIdentity } from "../core/mod.ts";
import { OTHER_HASH, receiptOf } from "../../tests/fixtures/claims.ts";
import { tempDir } from "../../tests/fixtures/temp_dir.ts";
import { createEvidence } from "./evidence.ts";
import { listEvidence, readEvidence, saveEvidence } from "./evidence_store.ts";

Deno.test("listEvidence() and readEvidence() return what saveEvidence() stored, and nothing else", async () => {
  await using temp = await tempDir();
  const { path: dir } = temp;
  assertEquals(await listEvidence(dir), []);
  const evidence = await createEvidence([
    await receiptOf({ by: await ephemeralIdentity() }),
    await receiptOf({ by: await ephemeralIdentity(), stdout: OTHER_HASH }),
  ]);
  const path = await saveEvidence(dir, evidence);
  const name = path.slice(path.lastIndexOf("/") + 1);
  await Deno.writeTextFile(`${dir}/evidence/other.json`, "{}");
  await Deno.writeTextFile(`${dir}/secret.json`, JSON.stringify(evidence));
  const found = await listEvidence(dir);
  assertEquals(found.map((one) => one.name), [name]);
  assertMatch(found[0]!.at, /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assertEquals(found[0]!.bytes, (await Deno.stat(path)).size);
  assertEquals(await readEvidence(dir, name), JSON.parse(JSON.stringify(evidence)));
  for (const other of ["../secret.json", "other.json", name.replace(/^\d/, "9"), ""]) {
    assertEquals(await readEvidence(dir, other), undefined);
  }
  await Deno.writeTextFile(path, "{}");
  await assertRejects(() => readEvidence(dir, name), PlasmError);
});
