/**
 * Checks receipts with the Python program of docs/receipts.md; skipped with a message unless Python has cryptography.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { identityFromSecretKey } from "../../lib/core/identity.ts";
import { signReceipt } from "../../lib/core/receipt.ts";
import type { Claim, Receipt } from "../../lib/core/types.gen.ts";
import vectors from "../vectors/receipt.json" with { type: "json" };
import { tempDir } from "../fixtures/temp_dir.ts";
import { outputOf } from "../fixtures/optional_program.ts";

const DOCUMENT = await Deno.readTextFile(new URL("../../docs/receipts.md", import.meta.url));
const PROGRAM = /```python\n([^]*?)```/.exec(DOCUMENT)![1]!;

const RECEIPT = vectors.receipt as Receipt;
const STDOUT = Uint8Array.fromHex(vectors.expected.stdout);

async function python(args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = await outputOf(new Deno.Command("python3", { args }));
  return {
    code: output?.code ?? 127,
    stdout: new TextDecoder().decode(output?.stdout),
    stderr: new TextDecoder().decode(output?.stderr),
  };
}

const { code } = await python(["-c", "import cryptography"]);
const ignore = code !== 0;
if (ignore) console.warn("SKIPPED: python3 has no cryptography (pip install cryptography)");

/** Runs the program on a receipt, a key and standard output. */
async function check(
  receipt: unknown,
  { key = RECEIPT.run.node.public_key, stdout = STDOUT } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  await using temp = await tempDir();
  const dir = temp.path;
  await Deno.writeTextFile(`${dir}/check.py`, PROGRAM);
  await Deno.writeTextFile(`${dir}/r.json`, JSON.stringify(receipt));
  await Deno.writeFile(`${dir}/out`, stdout);
  return await python([`${dir}/check.py`, `${dir}/r.json`, key, `${dir}/out`]);
}

Deno.test("the Python program of docs/receipts.md has at most 30 lines", () => {
  const lines = PROGRAM.trimEnd().split("\n");
  assert(lines.length <= 30, `${lines.length} lines`);
});

Deno.test({
  name: "the Python program of docs/receipts.md verifies the published receipt",
  ignore,
  fn: async () => {
    const { code, stdout, stderr } = await check(RECEIPT);
    const { status, exit_code, stdout: { hash } } = RECEIPT.claim;
    assertEquals({ code, stdout }, {
      code: 0,
      stdout: `verified: ${status} ${exit_code ?? "None"} ${hash}\n`,
    }, stderr);
  },
});

Deno.test({
  name: "the Python program orders names as RFC 8785 does, and keeps every character",
  ignore,
  fn: async () => {
    const node = await identityFromSecretKey(new Uint8Array(32).fill(5));
    const content = RECEIPT.claim.stdout;
    const names = ["/\u{1f600}", "/\ufb33", "/é", '/"\\', "/\u007f", "/\u2028", "/a\u0001"];
    const claim: Claim = {
      ...RECEIPT.claim,
      outputs: Object.fromEntries(names.map((name) => [name, content])),
    };
    const receipt = await signReceipt({ claim, run: RECEIPT.run }, node);
    const { code, stderr } = await check(receipt, { key: node.publicKey });
    assertEquals(code, 0, stderr);
  },
});

Deno.test({
  name: "the Python program refuses a changed receipt, another key and other output",
  ignore,
  fn: async () => {
    const { claim, run } = RECEIPT;
    const flip = (hex: string): string => `${hex[0] === "0" ? "1" : "0"}${hex.slice(1)}`;
    const node = await identityFromSecretKey(new Uint8Array(32).fill(5));
    const other = await signReceipt({ claim, run }, node);
    const changed: unknown[] = [
      { ...RECEIPT, claim: { ...claim, exit_code: 99 } },
      { ...RECEIPT, run: { ...run, nonce: flip(run.nonce) } },
      { ...RECEIPT, signature: flip(RECEIPT.signature) },
      { ...RECEIPT, attestation: flip(RECEIPT.attestation) },
      { ...RECEIPT, attestation: other.attestation },
      { ...RECEIPT, version: "0.1" },
      other,
    ];
    for (const receipt of changed) {
      const { code, stderr } = await check(receipt);
      assertEquals(code, 1);
      assertStringIncludes(stderr, "InvalidSignature");
    }
    assertStringIncludes(
      (await check(RECEIPT, { key: node.publicKey })).stderr,
      "InvalidSignature",
    );
    const { code, stderr } = await check(RECEIPT, { stdout: new Uint8Array(1) });
    assertEquals([code, stderr], [1, "standard output differs from the claim\n"]);
  },
});
