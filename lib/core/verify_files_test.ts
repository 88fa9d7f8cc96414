import { assertEquals, assertRejects } from "@std/assert";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { PlasmError } from "./errors/mod.ts";
import { identityFromSecretKey } from "./identity.ts";
import { sha256 } from "./hash.ts";
import { fromHex } from "../util/bytes.ts";
import { MAX_MANIFEST_BYTES } from "./manifest.ts";
import { MAX_RECEIPT_BYTES, parseReceipt, signReceipt } from "./receipt.ts";
import { createEnvelope } from "./envelope.ts";
import { verifyEnvelopeFile, verifyFiles, type VerifyFilesOptions } from "./verify_files.ts";

const RECEIPT = parseReceipt(JSON.stringify(vectors.receipt));

/** Writes the files of the published receipt. */
async function withFiles(
  test: (
    dir: string,
    options: Required<Omit<VerifyFilesOptions, "input" | "signal" | "withContents">>,
  ) => Promise<void>,
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
  return await assertRejects(() => verifyFiles(path, options), PlasmError);
}

Deno.test("verifyFiles() accepts the files of the job", async () => {
  await withFiles(async (dir, options) => {
    const expected = { receipt: RECEIPT, bundle: undefined };
    assertEquals(await verifyFiles(`${dir}/receipt.json`, options), expected);
    assertEquals(await verifyFiles(`${dir}/receipt.json`), expected);
  });
});

Deno.test("verifyFiles() names the field when a file differs", async () => {
  await withFiles(async (dir, options) => {
    const receipt = `${dir}/receipt.json`;
    await Deno.writeTextFile(`${dir}/other`, "other");
    await Deno.writeTextFile(`${dir}/other.json`, '{"resources":{"memory_mb":1}}');
    const other = `${dir}/other`;
    const cases: [VerifyFilesOptions, string][] = [
      [{ key: "0".repeat(64) }, "run.node.public_key"],
      [{ peerId: "12D3KooW" }, "run.node.peer_id"],
      [{ nonce: "0" }, "run.nonce"],
      [{ module: other }, "claim.module_hash"],
      [{ stdin: other }, "claim.stdin_hash"],
      [{ stdout: other }, "claim.stdout.hash"],
      [{ stderr: other }, "claim.stderr.hash"],
      [{ manifest: `${dir}/other.json` }, "claim.manifest_hash"],
    ];
    for (const [change, field] of cases) {
      for (const given of [change, { ...options, ...change }]) {
        const error = await refusal(receipt, given);
        assertEquals({ code: error.code, field: error.details.field }, {
          code: "bad-receipt",
          field,
        });
        assertEquals(error.exitCode, 76);
      }
    }
  });
});

Deno.test("verifyFiles() throws when the manifest names another module", async () => {
  await withFiles(async (dir) => {
    const module_hash = `sha256:${"0".repeat(64)}`;
    await Deno.writeTextFile(
      `${dir}/manifest.json`,
      JSON.stringify({ ...vectors.expected.manifest, module_hash }),
    );
    const error = await refusal(`${dir}/receipt.json`, { manifest: `${dir}/manifest.json` });
    assertEquals({ code: error.code, field: error.details.field }, {
      code: "bad-receipt",
      field: "claim.manifest_hash",
    });
  });
});

Deno.test("verifyFiles() hashes files larger than its buffers", async () => {
  await withFiles(async (dir, { stdout }) => {
    const bytes = Uint8Array.from({ length: 1_500_000 }, (_, i) => i % 253);
    await Deno.writeFile(stdout!, bytes);
    const node = await identityFromSecretKey(fromHex(vectors.secret_key));
    const { claim_hash: _h, node: _n, ...run } = RECEIPT.run;
    const measured = { hash: await sha256(bytes), bytes: bytes.length };
    const fields = { claim: { ...RECEIPT.claim, stdout: measured }, run };
    await Deno.writeTextFile(
      `${dir}/receipt.json`,
      JSON.stringify(await signReceipt(fields, node)),
    );
    const { receipt } = await verifyFiles(`${dir}/receipt.json`, { stdout });
    assertEquals(receipt.claim.stdout.bytes, 1_500_000);
    await Deno.writeFile(stdout!, bytes.subarray(1));
    const error = await refusal(`${dir}/receipt.json`, { stdout });
    assertEquals(error.details.field, "claim.stdout.hash");
  });
});

Deno.test("verifyFiles() names the file when it cannot be read", async () => {
  await withFiles(async (dir) => {
    const receipt = `${dir}/receipt.json`;
    const cases: [string, VerifyFilesOptions, string, string][] = [
      [`${dir}/none`, {}, "not-found", `Cannot read ${dir}/none: file not found`],
      [receipt, { stdout: `${dir}/none` }, "not-found", `Cannot read ${dir}/none`],
      [receipt, { module: dir }, "bad-input", `Cannot read ${dir}: it is a directory`],
      [`${dir}/stdin`, {}, "bad-receipt", "Cannot read receipt: it is not JSON"],
      [`${dir}/stdin`, {}, "bad-receipt", `: ${dir}/stdin`],
      [`${dir}/manifest.json`, {}, "bad-receipt", "manifest.json is a manifest"],
      [receipt, { manifest: `${dir}/stdin` }, "bad-manifest", "Cannot read manifest"],
    ];
    for (const [path, options, code, text] of cases) {
      const error = await refusal(path, options);
      assertEquals({ code: error.code, hasText: error.message.includes(text) }, {
        code,
        hasText: true,
      }, error.message);
    }
  });
});

Deno.test("verifyFiles() stops reading when a receipt or manifest is too large", async () => {
  await withFiles(async (dir) => {
    const text = (bytes: number) => `Cannot read ${dir}/large: at most ${bytes} bytes are allowed`;
    const size = Math.max(MAX_RECEIPT_BYTES, MAX_MANIFEST_BYTES) + 1;
    await Deno.writeFile(`${dir}/large`, new Uint8Array(size).fill(0x20));
    const receipt = await refusal(`${dir}/large`, {});
    assertEquals(receipt.message, text(MAX_RECEIPT_BYTES));
    const manifest = await refusal(`${dir}/receipt.json`, { manifest: `${dir}/large` });
    assertEquals(manifest.message, text(MAX_MANIFEST_BYTES));
  });
});

Deno.test("verifyFiles() stops when its signal is aborted", async () => {
  await withFiles(async (dir) => {
    const error = await refusal(`${dir}/receipt.json`, { signal: AbortSignal.abort() });
    assertEquals({ code: error.code, exitCode: error.exitCode }, {
      code: "interrupted",
      exitCode: 130,
    });
  });
});

Deno.test("verifyFiles() refuses a module of any size in place of a receipt", async () => {
  const path = await Deno.makeTempFile();
  try {
    const bytes = new Uint8Array(4 * 2 ** 20);
    bytes.set([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    await Deno.writeFile(path, bytes);
    const error = await assertRejects(() => verifyFiles(path), PlasmError);
    assertEquals([error.code, error.message], [
      "bad-receipt",
      `Cannot read receipt: ${path} is a WebAssembly module`,
    ]);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("verifyFiles() refuses an envelope in place of a receipt, and verifyEnvelopeFile() a receipt", async () => {
  await withFiles(async (dir, { module, stdout, stderr }) => {
    const envelope = `${dir}/envelope.json`;
    await Deno.writeTextFile(envelope, JSON.stringify(await createEnvelope([RECEIPT])));
    const error = await refusal(envelope, {});
    assertEquals([error.code, error.message, error.hint], [
      "bad-receipt",
      `Cannot read receipt: ${envelope} is an envelope`,
      "Run plasm receipt import ENVELOPE",
    ]);
    const { claim } = await verifyEnvelopeFile(envelope, { module, stdout });
    assertEquals(claim, RECEIPT.claim);
    await assertRejects(
      () => verifyEnvelopeFile(envelope, { stdout: module, stderr }),
      PlasmError,
      "stdout.hash is",
    );
    const receipt = await assertRejects(
      () => verifyEnvelopeFile(`${dir}/receipt.json`),
      PlasmError,
    );
    assertEquals([receipt.message, receipt.hint], [
      `Cannot read envelope: ${dir}/receipt.json is a receipt`,
      "Run plasm receipt export RECEIPT > ENVELOPE first",
    ]);
  });
});

Deno.test("verifyFiles() and verifyEnvelopeFile() name the version when a document has another one", async () => {
  await withFiles(async (dir) => {
    const file = `${dir}/other.json`;
    const { receipt, expected } = vectors;
    const old = { version: "0.1", job_id: receipt.run.job_id, signature: receipt.signature };
    const later = { ...receipt, version: "1.0", proof: {} };
    const claim = { ...receipt, claim: { ...receipt.claim, version: "0.3", proof: {} } };
    for (
      const [document, field, found] of [
        [old, "version", "0.1"],
        [later, "version", "1.0"],
        [claim, "claim.version", "0.3"],
      ] as const
    ) {
      await Deno.writeTextFile(file, JSON.stringify(document));
      const error = await refusal(file, {});
      assertEquals([error.message, error.hint, error.details.field], [
        `Cannot trust receipt: ${field} must be "0.2", found "${found}"`,
        `Use a plasm that supports version "${found}"`,
        field,
      ]);
    }
    const manifest = { ...expected.manifest, version: "0.1", limits: {} };
    await Deno.writeTextFile(file, JSON.stringify(manifest));
    const error = await refusal(`${dir}/receipt.json`, { manifest: file });
    assertEquals(error.message, 'Cannot accept manifest: version must be "0.2", found "0.1"');
  });
});
