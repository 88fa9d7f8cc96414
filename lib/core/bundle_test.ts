import { assertEquals, assertRejects } from "@std/assert";
import { concat, encodeTarHeader, memberPadding, tarEnd } from "../util/mod.ts";
import { type BundleContent, verifyBundle, writeBundle } from "./bundle.ts";
import { PlasmError } from "./errors/mod.ts";
import { EMPTY_HASH, sha256 } from "./hash.ts";
import { ephemeralIdentity } from "./identity.ts";
import { createManifest, manifestHash } from "./manifest.ts";
import { canonicalBytes } from "./json.ts";
import { signReceipt } from "./receipt.ts";
import type { Receipt } from "./types.gen.ts";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A job with every kind of content, and its receipt. */
async function contentOf() {
  const module = bytes("module");
  const stdin = bytes("standard input");
  const inputs = {
    "data/": new Uint8Array(),
    "data/a": bytes("a"),
    "data/empty": new Uint8Array(),
  };
  const [stdout, stderr] = [bytes("output"), bytes("error")];
  const outputs = new Map([["out/", new Uint8Array()], ["result", bytes("file")]]);
  const manifest = createManifest({
    module_hash: await sha256(module),
    outputs: ["out/", "result"],
    inputs: {
      "data/": EMPTY_HASH,
      "data/a": await sha256(inputs["data/a"]),
      "data/empty": EMPTY_HASH,
    },
  });
  const { claim, run } = vectors.receipt as Receipt;
  const { fuel: _, ...unmetered } = claim;
  const receipt = await signReceipt({
    claim: {
      ...unmetered,
      outputs: {
        "out/": { hash: EMPTY_HASH, bytes: 0 },
        "result": { hash: await sha256(bytes("file")), bytes: 4 },
      },
      manifest_hash: await manifestHash(manifest),
      module_hash: manifest.module_hash,
      stdin_hash: await sha256(stdin),
      stdout: { hash: await sha256(stdout), bytes: stdout.length },
      stderr: { hash: await sha256(stderr), bytes: stderr.length },
    },
    run,
  }, await ephemeralIdentity());
  return { receipt, manifest, module, stdin, inputs, stdout, stderr, outputs };
}

const CONTENT = await contentOf();

async function bundleOf(content: BundleContent): Promise<Uint8Array> {
  return concat(await Array.fromAsync(writeBundle(content)));
}

const BUNDLE = await bundleOf(CONTENT);

/** Entries of an archive as name and content. */
type Entries = [name: string, data: Uint8Array][];

function archive(entries: Entries): Uint8Array {
  return concat([
    ...entries.flatMap(([name, data]) => [
      encodeTarHeader({ path: name, bytes: data.length }),
      data,
      memberPadding(data.length),
    ]),
    tarEnd(),
  ]);
}

async function blob(data: Uint8Array): Promise<Entries[number]> {
  return [`blobs/${(await sha256(data)).replace(":", "-")}`, data];
}

/** The entries of a complete bundle. */
async function entriesOf() {
  const { receipt, manifest, module, stdin, inputs, stdout, stderr, outputs } = CONTENT;
  const blobs = await Promise.all(
    [module, stdin, inputs["data/a"], stdout, stderr, outputs.get("result")!].map(blob),
  );
  return {
    receipt: ["receipt.json", canonicalBytes(receipt)] as Entries[number],
    manifest: ["manifest.json", canonicalBytes(manifest)] as Entries[number],
    blobs: blobs.sort(([a], [b]) => a < b ? -1 : 1) as Entries,
  };
}

async function refuse(entries: Entries | Uint8Array, message: string): Promise<void> {
  const source = entries instanceof Uint8Array ? entries : archive(entries);
  const error = await assertRejects(() => verifyBundle(source), PlasmError, message);
  assertEquals(error.code, "bad-receipt");
}

Deno.test("writeBundle() writes each document and each content once, and no empty content", async () => {
  const { receipt, manifest, blobs } = await entriesOf();
  assertEquals(BUNDLE, archive([receipt, manifest, ...blobs]));
  const same = { ...CONTENT, stderr: undefined, stdout: undefined, outputs: undefined };
  assertEquals((await bundleOf(same)).length, BUNDLE.length - 6 * 512);
});

Deno.test("verifyBundle() returns receipt, manifest and contents by hash", async () => {
  const { receipt, manifest, contents } = await verifyBundle(BUNDLE, {}, { withContents: true });
  assertEquals(receipt, CONTENT.receipt);
  assertEquals(manifest, CONTENT.manifest);
  const { blobs } = await entriesOf();
  const expected = blobs.map(([name, data]) => [name.slice(6).replace("-", ":"), data]);
  assertEquals([...contents], expected);
  const { contents: none } = await verifyBundle(BUNDLE);
  assertEquals([...none], []);
});

Deno.test("verifyBundle() compares with what the verifier knows", async () => {
  const key = CONTENT.receipt.run.node.public_key;
  await verifyBundle(BUNDLE, { key, stdout: CONTENT.stdout });
  const other = await assertRejects(
    () => verifyBundle(BUNDLE, { stdout: bytes("other") }),
    PlasmError,
    "received bytes hash to",
  );
  assertEquals(other.exitCode, 76);
});

Deno.test("verifyBundle() accepts a bundle without outputs, and without the content of an empty one", async () => {
  const { receipt, manifest, blobs } = await entriesOf();
  const outputs = new Set(
    (await Promise.all(
      [CONTENT.stdout, CONTENT.stderr, CONTENT.outputs.get("result")!].map(blob),
    )).map(([name]) => name),
  );
  const needed = blobs.filter(([name]) => !outputs.has(name));
  assertEquals(needed.length, 3);
  await verifyBundle(archive([receipt, manifest, ...needed]));
  for (const missing of needed) {
    const rest = needed.filter((one) => one !== missing);
    await refuse([receipt, manifest, ...rest], `${missing[0]} is missing`);
  }
});

Deno.test("verifyBundle() refuses entries that are unexpected, repeated, missing or out of order", async () => {
  const { receipt, manifest, blobs } = await entriesOf();
  const [first, second, ...others] = blobs as [Entries[number], Entries[number], ...Entries];
  const cases: [Entries, string][] = [
    [[], "receipt.json is missing"],
    [[receipt], "manifest.json is missing"],
    [[manifest, receipt], "expected receipt.json, found manifest.json"],
    [[receipt, ...blobs], "expected manifest.json, found blobs/"],
    [[receipt, receipt, manifest, ...blobs], "expected manifest.json, found receipt.json"],
    [[receipt, manifest, second, first, ...others], `${first[0]} follows ${second[0]}`],
    [[receipt, manifest, first, first, second, ...others], `${first[0]} follows ${first[0]}`],
  ];
  for (
    const name of [
      "/etc/passwd",
      "../up",
      "blobs/../x",
      "blobs/x",
      "README",
      "a/receipt.json",
    ]
  ) {
    cases.push([[receipt, manifest, [name, bytes("x")], ...blobs], "neither receipt nor manifest"]);
    cases.push([[[name, receipt[1]], manifest, ...blobs], "expected receipt.json, found"]);
  }
  cases.push([[receipt, manifest, ["blobs/", new Uint8Array()], ...blobs], "neither receipt nor"]);
  cases.push([[receipt, manifest, await blob(bytes("extra")), ...blobs], "neither receipt nor"]);
  cases.push([[receipt, manifest, await blob(new Uint8Array()), ...blobs], "neither receipt nor"]);
  for (const [entries, message] of cases) await refuse(entries, message);
});

Deno.test("verifyBundle() refuses content that does not have its hash", async () => {
  const { receipt, manifest, blobs } = await entriesOf();
  for (const at of blobs.keys()) {
    const changed = blobs.map(([name, data], i): Entries[number] => {
      const copy = data.slice();
      if (i === at) copy[0]! ^= 1;
      return [name, copy];
    });
    await refuse([receipt, manifest, ...changed], `the content of ${blobs[at]![0]} hashes to`);
  }
});

Deno.test("verifyBundle() refuses documents that are not canonical, of another job, or too large", async () => {
  const { receipt, manifest, blobs } = await entriesOf();
  const text = (value: unknown): Uint8Array => bytes(JSON.stringify(value, undefined, 1));
  await refuse(
    [["receipt.json", text(CONTENT.receipt)], manifest],
    "receipt.json is not canonical",
  );
  await refuse(
    [receipt, ["manifest.json", text(CONTENT.manifest)], ...blobs],
    "manifest.json is not canonical",
  );
  const other = canonicalBytes({ ...CONTENT.manifest, args: ["x"] });
  await refuse([receipt, ["manifest.json", other], ...blobs], "manifest_hash is");
  const forged = { ...CONTENT.receipt, claim: { ...CONTENT.receipt.claim, exit_code: 99 } };
  await refuse([["receipt.json", canonicalBytes(forged)], manifest], "signature is not by");
  await refuse([["receipt.json", new Uint8Array(2 ** 24)]], "receipt.json has 16777216 bytes");
});

Deno.test("verifyBundle() refuses a declared size beyond the limit of contents in memory", async () => {
  const { receipt, manifest, blobs } = await entriesOf();
  const start = archive([receipt, manifest]).subarray(0, -1024);
  const header = encodeTarHeader({ path: blobs[0]![0], bytes: 2 ** 30 + 1 });
  const huge = concat([start, header, new Uint8Array(1)]);
  const error = await assertRejects(
    () => verifyBundle(huge, {}, { withContents: true }),
    PlasmError,
    "more than 1073741824 bytes",
  );
  assertEquals(error.code, "too-large");
  await refuse(huge, "it ends early");
});

Deno.test("verifyBundle() throws interrupted when the signal aborts, and ends its source", async () => {
  let isEnded = false;
  const controller = new AbortController();
  const source = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of writeBundle(CONTENT)) {
        yield chunk;
        controller.abort();
      }
    } finally {
      isEnded = true;
    }
  };
  const { signal } = controller;
  const error = await assertRejects(() => verifyBundle(source(), {}, { signal }), PlasmError);
  assertEquals([error.code, isEnded], ["interrupted", true]);
});

Deno.test("writeBundle() refuses a receipt of another job and content that is missing", async () => {
  const cases: [Partial<BundleContent>, string][] = [
    [{ stdin: bytes("other") }, "the stdin sent is"],
    [{ stdout: bytes("other") }, "received bytes hash to"],
    [{ outputs: new Map([["out/", new Uint8Array()]]) }, "result"],
    [{ outputs: new Map([["result", bytes("x")]]) }, "claim.outputs"],
    [{ module: bytes("other") }, "module_hash is"],
    [{ inputs: {} }, "no content given has sha256:"],
    [{ inputs: { "data/a": bytes("other") } }, "no content given has sha256:"],
  ];
  for (const [changes, message] of cases) {
    await assertRejects(() => bundleOf({ ...CONTENT, ...changes }), PlasmError, message);
  }
});

Deno.test("verifyBundle() names the version when its receipt has another one", async () => {
  const json = bytes('{"claim":{},"proof":{},"version":"0.3"}');
  const header = encodeTarHeader({ path: "receipt.json", bytes: json.length });
  await assertRejects(
    () => verifyBundle(concat([header, json, memberPadding(json.length), tarEnd()])),
    PlasmError,
    'Cannot trust receipt: version must be "0.2", found "0.3"',
  );
});
