import { assert, assertEquals, assertRejects } from "@std/assert";
import bundles from "../../tests/vectors/bundle.json" with { type: "json" };
import envelopes from "../../tests/vectors/envelope.json" with { type: "json" };
import { fromBase64 } from "../util/mod.ts";
import { verifyBundle } from "./bundle.ts";
import { parseEnvelope, verifyEnvelope } from "./envelope.ts";
import { PlasmError } from "./errors/mod.ts";

Deno.test("verifyEnvelope() judges the published envelopes", async () => {
  assert(envelopes.accepted.length > 0 && envelopes.refused.length > 0);
  for (const { name, json, claim, signers } of envelopes.accepted) {
    const verified = await verifyEnvelope(parseEnvelope(json));
    assertEquals<unknown>(verified.claim, claim, name);
    assertEquals(verified.signers.map(({ publicKey }) => publicKey), signers, name);
  }
  for (const { name, json } of envelopes.refused) {
    const verify = async () => await verifyEnvelope(parseEnvelope(json));
    const error = await assertRejects(verify, PlasmError, "", name);
    assertEquals(error.code, "bad-receipt", name);
  }
});

Deno.test("verifyBundle() judges the published bundles", async () => {
  assert(bundles.accepted.length > 0 && bundles.refused.length > 0);
  for (const { name, base64, receipt } of bundles.accepted) {
    assertEquals<unknown>((await verifyBundle(fromBase64(base64))).receipt, receipt, name);
  }
  for (const { name, base64 } of bundles.refused) {
    const error = await assertRejects(() => verifyBundle(fromBase64(base64)), PlasmError, "", name);
    assertEquals(error.code, "bad-receipt", name);
  }
});
