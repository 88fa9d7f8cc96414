import { assertEquals, assertRejects } from "@std/assert";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { PlasmError } from "./errors/mod.ts";
import { identityFromSecretKey } from "./identity.ts";
import { sha256 } from "./hash.ts";
import { fromHex } from "../util/bytes.ts";
import { parseReceipt, signReceipt } from "./receipt.ts";
import { type VerifyFilesOptions, verifyReceiptFiles } from "./verify_files.ts";

const RECEIPT = parseReceipt(JSON.stringify(vectors.receipt));

/** Writes all that the published receipt speaks of. */
async function withFiles(
  test: (dir: string, options: Required<Omit<VerifyFilesOptions, "signal">>) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "plasm-verify-" });
  const { expected } = vectors;
  try {
    await Deno.writeTextFile(`${dir}/receipt.json`, JSON.stringify(vectors.receipt));
    await Deno.writeTextFile(`${dir}/manifest.json`, JSON.stringify(expected.manifest, null, 2));
    for (const name of ["module", "stdin", "stdout", "stderr"] as const) {
      await Deno.writeFile(`${dir}/${name}`, fromHex(expected[name]));
    }
    await test(dir, {
      key: expected.key,
      peerId: expected.peer_id,
      nonce: expected.nonce,
      module: `${dir}/module`,
      stdin: `${dir}/stdin`,
      stdout: `${dir}/stdout`,
      stderr: `${dir}/stderr`,
      manifest: `${dir}/manifest.json`,
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function refusal(path: string, options: VerifyFilesOptions): Promise<PlasmError> {
  return await assertRejects(() => verifyReceiptFiles(path, options), PlasmError);
}

Deno.test("verifyReceiptFiles() accepts the files of the job", async () => {
  await withFiles(async (dir, options) => {
    assertEquals(await verifyReceiptFiles(`${dir}/receipt.json`, options), RECEIPT);
    assertEquals(await verifyReceiptFiles(`${dir}/receipt.json`), RECEIPT);
  });
});

Deno.test("verifyReceiptFiles() names the field when a file differs", async () => {
  await withFiles(async (dir, options) => {
    const receipt = `${dir}/receipt.json`;
    await Deno.writeTextFile(`${dir}/other`, "other");
    await Deno.writeTextFile(`${dir}/other.json`, '{"resources":{"memory_mb":1}}');
    const other = `${dir}/other`;
    const cases: [VerifyFilesOptions, string][] = [
      [{ key: "0".repeat(64) }, "node.public_key"],
      [{ peerId: "12D3KooW" }, "node.peer_id"],
      [{ nonce: "0" }, "nonce"],
      [{ module: other }, "module_hash"],
      [{ stdin: other }, "stdin_hash"],
      [{ stdout: other }, "stdout_hash"],
      [{ stderr: other }, "stderr_hash"],
      [{ manifest: `${dir}/other.json` }, "manifest_hash"],
    ];
    for (const [change, field] of cases) {
      for (const given of [change, { ...options, ...change }]) {
        const error = await refusal(receipt, given);
        assertEquals([error.code, error.details.field], ["bad-receipt", field]);
        assertEquals(error.exitCode, 76);
      }
    }
  });
});

Deno.test("verifyReceiptFiles() throws when the manifest names another module", async () => {
  await withFiles(async (dir) => {
    const module_hash = `sha256:${"0".repeat(64)}`;
    await Deno.writeTextFile(
      `${dir}/manifest.json`,
      JSON.stringify({ ...vectors.expected.manifest, module_hash }),
    );
    const error = await refusal(`${dir}/receipt.json`, { manifest: `${dir}/manifest.json` });
    assertEquals([error.code, error.details.field], ["bad-receipt", "manifest_hash"]);
  });
});

Deno.test("verifyReceiptFiles() hashes files larger than its buffers", async () => {
  await withFiles(async (dir, { stdout }) => {
    const bytes = Uint8Array.from({ length: 1_500_000 }, (_, i) => i % 253);
    await Deno.writeFile(stdout!, bytes);
    const node = await identityFromSecretKey(fromHex(vectors.secret_key));
    const fields = { ...RECEIPT, stdout_hash: await sha256(bytes), stdout_bytes: bytes.length };
    await Deno.writeTextFile(
      `${dir}/receipt.json`,
      JSON.stringify(await signReceipt(fields, node)),
    );
    const receipt = await verifyReceiptFiles(`${dir}/receipt.json`, { stdout });
    assertEquals(receipt.stdout_bytes, 1_500_000);
    await Deno.writeFile(stdout!, bytes.subarray(1));
    const error = await refusal(`${dir}/receipt.json`, { stdout });
    assertEquals(error.details.field, "stdout_hash");
  });
});

Deno.test("verifyReceiptFiles() names the file when it cannot be read", async () => {
  await withFiles(async (dir) => {
    const receipt = `${dir}/receipt.json`;
    const cases: [string, VerifyFilesOptions, string, string][] = [
      [`${dir}/none`, {}, "not-found", `Cannot read ${dir}/none: there is no such file`],
      [receipt, { stdout: `${dir}/none` }, "not-found", `Cannot read ${dir}/none`],
      [receipt, { module: dir }, "bad-input", `Cannot read ${dir}: `],
      [`${dir}/stdin`, {}, "bad-receipt", "Cannot read receipt: it is not JSON"],
      [receipt, { manifest: `${dir}/stdin` }, "bad-manifest", "Cannot read manifest"],
    ];
    for (const [path, options, code, text] of cases) {
      const error = await refusal(path, options);
      assertEquals([error.code, error.message.includes(text)], [code, true], error.message);
    }
  });
});

Deno.test("verifyReceiptFiles() stops reading when a receipt or manifest is too large", async () => {
  await withFiles(async (dir) => {
    await Deno.writeFile(`${dir}/large`, new Uint8Array(300_000).fill(0x20));
    const receipt = await refusal(`${dir}/large`, {});
    assertEquals(receipt.message, `Cannot read ${dir}/large: at most 65536 bytes are allowed`);
    const manifest = await refusal(`${dir}/receipt.json`, { manifest: `${dir}/large` });
    assertEquals(manifest.message, `Cannot read ${dir}/large: at most 262144 bytes are allowed`);
  });
});

Deno.test("verifyReceiptFiles() stops when its signal is aborted", async () => {
  await withFiles(async (dir) => {
    const error = await refusal(`${dir}/receipt.json`, { signal: AbortSignal.abort() });
    assertEquals([error.code, error.exitCode], ["interrupted", 130]);
  });
});
