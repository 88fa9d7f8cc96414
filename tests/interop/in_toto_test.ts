/**
 * Verifies exported envelopes with in-toto's and securesystemslib's Python packages; skipped with a message unless both
 * are installed.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { createEnvelope } from "../../lib/core/envelope.ts";
import { identityFromSecretKey } from "../../lib/core/identity.ts";
import { signReceipt } from "../../lib/core/receipt.ts";
import type { Receipt } from "../../lib/core/types.gen.ts";
import vectors from "../vectors/receipt.json" with { type: "json" };
import { tempDir } from "../fixtures/temp_dir.ts";

/** Prints what the packages make of an envelope: verified keys, statement and claim, or the name of the error. */
const SCRIPT = `
import json, sys
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

path, *keys = sys.argv[1:]
with open(path) as file:
    envelope = Envelope.from_dict(json.load(file))
known = [SSlibKey(key, "ed25519", "ed25519", {"public": key}) for key in keys]
try:
    accepted = envelope.verify(known, len(known))
except VerificationError as error:
    print(json.dumps({"refused": type(error).__name__}))
    sys.exit()
statement = Statement.copy_from_pb(json_format.Parse(envelope.payload, statement_pb2.Statement()))
statement.validate()
print(json.dumps({
    "accepted": sorted(accepted),
    "type": statement.pb.type,
    "predicateType": statement.pb.predicate_type,
    "subject": {one.name: one.digest["sha256"] for one in statement.pb.subject},
    "predicate": json.loads(envelope.payload)["predicate"],
}))
`;
import { outputOf } from "../fixtures/optional_program.ts";

async function python(
  args: string[],
): Promise<{ success: boolean; stdout: string; stderr: string }> {
  const output = await outputOf(new Deno.Command("python3", { args }));
  return {
    success: output?.success === true,
    stdout: new TextDecoder().decode(output?.stdout),
    stderr: new TextDecoder().decode(output?.stderr),
  };
}

const { success: hasPackages } = await python([
  "-c",
  "import cryptography, in_toto_attestation.v1.statement, securesystemslib.dsse",
]);
if (!hasPackages) {
  console.warn("SKIPPED: in-toto-attestation, securesystemslib or cryptography of PyPI is missing");
}

/** Receipts of two nodes with one claim. */
async function receipts(): Promise<Receipt[]> {
  const first = vectors.receipt as Receipt;
  const other = await identityFromSecretKey(new Uint8Array(32).fill(7));
  return [first, await signReceipt({ claim: first.claim, run: first.run }, other)];
}

async function judge(envelope: unknown, keys: string[]): Promise<unknown> {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.writeTextFile(`${dir}/envelope.json`, JSON.stringify(envelope));
  const { success, stdout, stderr } = await python(["-c", SCRIPT, `${dir}/envelope.json`, ...keys]);
  assertEquals(success, true, stderr);
  return JSON.parse(stdout);
}

Deno.test({
  name: "in-toto and securesystemslib verify the envelope of one receipt and of two nodes",
  ignore: !hasPackages,
  fn: async () => {
    const both = await receipts();
    for (const some of [both.slice(0, 1), both]) {
      const { claim } = some[0]!;
      const keys = some.map(({ run }) => run.node.public_key).sort();
      const outputs = { stdout: claim.stdout, stderr: claim.stderr, ...claim.outputs };
      assertEquals(await judge(await createEnvelope(some), keys), {
        accepted: keys,
        type: "https://in-toto.io/Statement/v1",
        predicateType: "urn:plasm:execution:v0.2",
        subject: Object.fromEntries(
          Object.entries(outputs).map(([name, { hash }]) => [name, hash.replace("sha256:", "")]),
        ),
        predicate: claim,
      });
    }
  },
});

Deno.test({
  name: "securesystemslib refuses an envelope whose claim or signature was changed",
  ignore: !hasPackages,
  fn: async () => {
    const [receipt] = await receipts();
    const envelope = await createEnvelope([receipt]);
    const keys = [receipt!.run.node.public_key];
    const payload = btoa(atob(envelope.payload).replace('"exited"', '"fuel"'));
    const refused = { refused: "VerificationError" };
    assertEquals(await judge({ ...envelope, payload }, keys), refused);
    const { keyid, sig } = envelope.signatures[0]!;
    const signatures = [{ keyid, sig: `${sig[0] === "A" ? "B" : "A"}${sig.slice(1)}` }];
    assertEquals(await judge({ ...envelope, signatures }, keys), refused);
    assertEquals(await judge(envelope, ["00".repeat(31) + "0a"]), refused);
  },
});
