/**
 * Bundles the entry point `./verify` and judges the published receipts, envelopes and bundles with it in Deno, Node and a browser.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { retry } from "../../lib/util/async/mod.ts";
import bundles from "../vectors/bundle.json" with { type: "json" };
import envelopes from "../vectors/envelope.json" with { type: "json" };
import vectors from "../vectors/receipt.json" with { type: "json" };
import { tempDir } from "../fixtures/temp_dir.ts";
import { succeeds } from "../fixtures/optional_program.ts";

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);
/** Largest bundle of the entry point, in bytes. */
const MAX_BUNDLE_BYTES = 60_000;

const JUDGE = `${ROOT}tests/fixtures/verify_vectors.mjs`;

async function run(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals(success, true, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

async function exists(command: string): Promise<boolean> {
  return await succeeds(
    new Deno.Command(command, { args: ["--version"], stdout: "null", stderr: "null" }),
  );
}

/** Bundles the entry point into a directory, for browsers, and writes the vectors to the same directory. */
async function bundle(dir: string): Promise<string> {
  const file = `${dir}/verify.mjs`;
  await run(Deno.execPath(), [
    ...["bundle", "--quiet", "--minify", "--platform", "browser"],
    ...["--output", file, `${ROOT}lib/core/verifier.ts`],
  ]);
  const documents = { receipts: vectors, envelopes, bundles };
  await Deno.writeTextFile(`${dir}/vectors.json`, JSON.stringify(documents));
  return file;
}

interface Results {
  refused: string[];
  envelopes: { refused: string[] };
  bundles: { refused: string[] };
}

function assertResults(results: Results): void {
  assertEquals(results as unknown, {
    receipt: "ok",
    claim: "ok",
    other_claim: "stdout.hash",
    accepted: vectors.accepted.map(() => "ok"),
    refused: vectors.refused.map(({ field }, i) => field === "" ? results.refused[i] : field),
    manifest_hash: vectors.manifest_hash,
    manifest_sha256: vectors.manifest_hash,
    envelopes: {
      accepted: envelopes.accepted.map(() => "ok"),
      refused: results.envelopes.refused,
    },
    bundles: {
      accepted: bundles.accepted.map(() => "ok"),
      refused: results.bundles.refused,
    },
  });
  assertEquals(results.envelopes.refused.length, envelopes.refused.length);
  assertEquals(results.bundles.refused.length, bundles.refused.length);
  for (const { refused } of [results, results.envelopes, results.bundles]) {
    assertEquals(refused.includes("ok"), false);
  }
}

Deno.test("entry point ./verify is at most 60 KB bundled", async () => {
  await using temp = await tempDir();
  const { size } = await Deno.stat(await bundle(temp.path));
  assert(size <= MAX_BUNDLE_BYTES, `${size} bytes`);
});

Deno.test("entry point ./verify judges the published documents in Deno without permissions", async () => {
  await using temp = await tempDir();
  await bundle(temp.path);
  const script = `import * as library from "./verify.mjs";
    import { judgeVectors } from ${JSON.stringify(new URL(`file://${JUDGE}`).href)};
    import vectors from "./vectors.json" with { type: "json" };
    console.log(JSON.stringify(await judgeVectors(library, vectors)));`;
  await Deno.writeTextFile(`${temp.path}/main.mjs`, script);
  const output = await run(Deno.execPath(), ["run", "--no-prompt", `${temp.path}/main.mjs`]);
  assertResults(JSON.parse(output));
});

const hasNode = await exists("node");
if (!hasNode) console.warn("SKIPPED: entry point ./verify in Node: node not found");

for (const methods of ["all methods", "without recent methods"]) {
  Deno.test({
    name: `entry point ./verify judges the published documents in Node, ${methods}`,
    ignore: !hasNode,
    fn: async () => {
      await using temp = await tempDir();
      await bundle(temp.path);
      const script = `import { readFile } from "node:fs/promises";
        import { judgeVectors, removeRecentMethods } from ${JSON.stringify(JUDGE)};
        if (${methods !== "all methods"}) removeRecentMethods();
        const library = await import("./verify.mjs");
        const vectors = JSON.parse(await readFile(new URL("vectors.json", import.meta.url), "utf8"));
        console.log(JSON.stringify(await judgeVectors(library, vectors)));`;
      await Deno.writeTextFile(`${temp.path}/main.mjs`, script);
      assertResults(JSON.parse(await run("node", [`${temp.path}/main.mjs`])));
    },
  });
}

const hasChromium = await exists("chromium");
if (!hasChromium) console.warn("SKIPPED: entry point ./verify in a browser: chromium not found");

/** Removes the browser's profile, to which its other processes may write until they end. */
async function removeProfile(path: string): Promise<void> {
  await retry(() => Deno.remove(path, { recursive: true }), {
    ...{ minMs: 20, maxMs: 200, forMs: 20_000 },
  });
}

const PAGE = `<!doctype html><script type="module">
const report = (body) => fetch("/results", { method: "POST", body: JSON.stringify(body) });
try {
  const { judgeVectors, removeRecentMethods } = await import("/judge.mjs");
  if (location.hash === "#old") removeRecentMethods();
  const library = await import("/verify.mjs");
  const vectors = await (await fetch("/vectors.json")).json();
  await report(await judgeVectors(library, vectors));
} catch (error) {
  await report({ error: String(error) });
}
</script>`;

for (const methods of ["all methods", "without recent methods"]) {
  Deno.test({
    name: `entry point ./verify judges the published documents in a browser, ${methods}`,
    ignore: !hasChromium,
    fn: async () => {
      await using temp = await tempDir();
      const files: Record<string, [path: string, type: string]> = {
        "/verify.mjs": [await bundle(temp.path), "text/javascript"],
        "/judge.mjs": [JUDGE, "text/javascript"],
        "/vectors.json": [`${temp.path}/vectors.json`, "application/json"],
      };
      const results = Promise.withResolvers<Results>();
      const server = Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen: () => {} },
        async (request) => {
          const { pathname } = new URL(request.url);
          if (pathname === "/results") results.resolve(await request.json());
          const [path, type] = files[pathname] ?? [];
          if (path === undefined) {
            return new Response(PAGE, { headers: { "content-type": "text/html" } });
          }
          return new Response(await Deno.readFile(path), { headers: { "content-type": type! } });
        },
      );
      const hash = methods === "all methods" ? "" : "#old";
      const browser = new Deno.Command("chromium", {
        args: [
          // CI runs as root, for which Chromium's own sandbox is not available.
          ...["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"],
          ...[`--user-data-dir=${temp.path}/profile`, "--remote-debugging-port=0"],
          `http://127.0.0.1:${server.addr.port}/${hash}`,
        ],
        stdout: "null",
        stderr: "null",
      }).spawn();
      try {
        const exited = browser.status.then(({ code }) => {
          throw new Error(`chromium exited with code ${code} before it reported`);
        });
        exited.catch(() => {});
        assertResults(await Promise.race([results.promise, exited]));
      } finally {
        browser.kill();
        await browser.status;
        await removeProfile(`${temp.path}/profile`);
        await server.shutdown();
      }
    },
  });
}
