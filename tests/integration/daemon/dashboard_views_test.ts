/// <reference lib="dom" />
/**
 * Shows the views of the dashboard in chromium: accessibility, keyboard, hostile data, other sites, no JavaScript.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ephemeralIdentity } from "../../../lib/core/mod.ts";
import { createEvidence } from "../../../lib/quorum/mod.ts";
import {
  accessibilityProblems,
  browserTest,
  type Page,
  signIn,
  startBrowser,
  textWith,
} from "../../fixtures/browser.ts";
import { OTHER_HASH, receiptOf } from "../../fixtures/claims.ts";
import { fakeNetwork } from "../../fixtures/daemon/fake_network.ts";
import { testDaemon } from "../../fixtures/daemon/harness.ts";

const HELLO = await Deno.readFile(new URL("../../../examples/hello/hello.wasm", import.meta.url));

const TCP = { "api.tcp.listen": "127.0.0.1:0" };

/** Markup, a control character, one that reverses text and one that is not shown. */
const HOSTILE = `<img src=x onerror="document.title=1">\u0007\u202e\u200b`;
const SHOWN = `<img src=x onerror="document.title=1">\\u0007\\u202e\\u200b`;

const UNTIL = "2100-01-01T00:00:00.000Z";
const EVIDENCE = "20260101T000000000Z-0123456789ab.json";

/** A network whose peers choose hostile names. */
async function hostileNetwork() {
  const [honest, liar] = [await ephemeralIdentity(), await ephemeralIdentity()];
  const evidence = await createEvidence([
    await receiptOf({ by: honest }),
    await receiptOf({ by: liar, stdout: OTHER_HASH }),
  ]);
  const record = { succeeded: 2, failed: 1, refused: 0, latency_ms: null, reproduced: 3, false: 1 };
  const common = { peer_id: liar.peerId, latency_ms: 1.5, path: "direct" };
  return {
    liar,
    network: fakeNetwork({
      peers: () => [{
        ...common,
        address: HOSTILE,
        transport: HOSTILE,
        direction: "inbound",
        opened_at: UNTIL,
        streams: 1,
      }],
      peerCount: () => 1,
      records: () => [
        { ...record, peer_id: liar.peerId, avoided_until: null, banned_until: UNTIL },
        { ...record, peer_id: HOSTILE, avoided_until: null, banned_until: null },
      ],
      evidence: () => Promise.resolve([{ name: EVIDENCE, at: UNTIL, bytes: 5000 }]),
      readEvidence: () => Promise.resolve(JSON.parse(JSON.stringify(evidence))),
      discover: async function* () {
        yield await Promise.resolve({
          ...common,
          score: 0.5,
          transport: HOSTILE,
          capability: {
            runtime: { arch: HOSTILE },
            limits: { memory_mb: 64 },
            load: { running: 0, slots: 2 },
          },
        });
      },
      status: () => ({ addresses: [HOSTILE], reachability: { status: "public", by: "upnp" } }),
    }),
  };
}

/** Waits until an element has the focus, pressing Tab. */
async function tabTo(page: Page, selector: string): Promise<void> {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((wanted) => document.activeElement!.matches(wanted), selector)) return;
  }
  throw new Error(`No way to ${selector} by keyboard`);
}

Deno.test(
  browserTest(
    "the dashboard's views work for everyone, and show hostile data as text",
    async (t) => {
      const { network, liar } = await hostileNetwork();
      await using server = moduleServer();
      await using fixture = await testDaemon({
        config: {
          ...TCP,
          "modules.hosts": ["localhost", "127.0.0.1"],
          "jobs.ceilings.timeout_seconds": 90,
        },
        network: () => Promise.resolve(network),
        real: true,
      });
      const tcp = fixture.daemon.tcp!;
      const origin = `http://127.0.0.1:${tcp.port}`;
      await using started = await startBrowser();
      const page = await started.browser.newPage();
      const problems: string[] = [];
      page.on("pageerror", (error) => void problems.push(String(error)));
      page.on("request", (request) => {
        if (!request.url().startsWith(origin)) problems.push(request.url());
      });

      await t.step("a wrong token is refused, the right one opens the page", async () => {
        await page.goto(origin);
        assertEquals(await accessibilityProblems(page), []);
        await page.type('input[name="token"]', "wrong");
        await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
        await textWith(page, "This token is wrong.");
        await signIn(page, tcp);
        await textWith(page, "public: the router forwards a port (UPnP)");
        assertEquals(new URL(page.url()).search, "");
      });

      let id = "";
      await t.step("a module of a reference is submitted by keyboard alone", async () => {
        await page.goto(`${origin}/#/`);
        await tabTo(page, "a.skip");
        assertStringIncludes(
          await page.evaluate("document.activeElement.textContent") as string,
          "Skip",
        );
        await tabTo(page, 'nav a[href="#/submit"]');
        await page.keyboard.press("Enter");
        await textWith(page, "Time limit");
        assertEquals(await page.evaluate("document.activeElement.id"), "main");
        await tabTo(page, 'input[placeholder^="https"]');
        await page.keyboard.type(`http://localhost:${server.port}/hello.wasm`);
        await tabTo(page, "textarea");
        await page.keyboard.type("<b>bold</b>");
        await tabTo(page, 'textarea[placeholder="NAME=value"]');
        await page.keyboard.type("A=b=c");
        await tabTo(page, "textarea");
        await page.keyboard.type(HOSTILE);
        await tabTo(page, "button.primary");
        await page.keyboard.press("Enter");
        await textWith(page, "✓ signatures of claim and run");
        id = page.url().split("/").at(-1)!;
        const { json } = await fixture.call("GET", `/v1/jobs/${id}`);
        const { argv0, args, env } = json["manifest"] as Record<string, unknown>;
        assertEquals({ argv0, args, env }, {
          argv0: "hello.wasm",
          args: ["<b>bold</b>"],
          env: { A: "b=c" },
        });
      });

      await t.step(
        "a reference to a server that is not listed is refused with the setting",
        async () => {
          await page.goto(`${origin}/#/submit`);
          await textWith(page, "Time limit");
          await page.type('input[placeholder^="https"]', "https://example.org/a.wasm");
          await page.click("button.primary");
          await textWith(page, "modules.hosts");
          await page.waitForSelector(".bad[role=alert]");
        },
      );

      await t.step("names of peers are text, and evidence is checked in the browser", async () => {
        await page.goto(`${origin}/#/network`);
        const text = await textWith(page, "banned until");
        assertStringIncludes(text, SHOWN);
        assertStringIncludes(text, liar.peerId);
        await page.click("button ::-p-text(Find nodes)");
        await textWith(page, "0 of 2");
        await page.click("button ::-p-text(Check)");
        const checked = await textWith(page, "stdout.hash differs from the first");
        assertEquals(checked.match(/✓ signed by/g)?.length, 2);
        assertEquals(await page.$$("main img"), []);
        assertEquals(await page.title(), "Network – plasm");
      });

      await t.step("axe finds nothing in light and wide, dark and narrow", async () => {
        const views = {
          "": "Limits of a job",
          jobs: id,
          [`job/${id}`]: "signatures of claim and run",
          submit: "Time limit",
          network: "banned until",
          receipt: "nothing is sent",
          "job/none": "no job none",
        };
        for (const [scheme, width] of [["light", 1200], ["dark", 360]] as const) {
          await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
          await page.setViewport({ width, height: 800 });
          for (const [hash, text] of Object.entries(views)) {
            await page.goto(`${origin}/#/${hash}`);
            await textWith(page, text);
            assertEquals({ hash, scheme, problems: await accessibilityProblems(page) }, {
              hash,
              scheme,
              problems: [],
            });
            // Only tables scroll sideways.
            const overflow =
              "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assertEquals({ hash, width, overflow: await page.evaluate(overflow) }, {
              hash,
              width,
              overflow: 0,
            });
          }
        }
      });

      await t.step(
        "a page of another site or port reads nothing, submits nothing and cancels nothing",
        async () => {
          const jobs = async () => (await fixture.call("GET", "/v1/jobs")).json["jobs"];
          const before = await jobs();
          for (const host of ["localhost", "127.0.0.1"]) {
            await using foreign = foreignSite();
            const other = await started.browser.newPage();
            await other.goto(`http://${host}:${foreign.port}/`);
            const tried = await other.evaluate(attack, origin, id);
            assertEquals({ host, tried }, {
              host,
              tried: { node: "TypeError", script: "error", cancel: "TypeError", submit: "opaque" },
            });
            // A link to the page shows no more than the form to sign in.
            await Promise.all([
              other.waitForNavigation(),
              other.evaluate(`location.href = "${origin}/"`),
            ]);
            assert(await other.$('input[name="token"]') !== null);
            await other.close();
          }
          assertEquals(await jobs(), before);
        },
      );

      await t.step(
        "without JavaScript, the page names the commands that show the same",
        async () => {
          await page.setJavaScriptEnabled(false);
          await page.goto(`${origin}/?`);
          const text = await page.$eval("main", ({ textContent }) => textContent);
          for (const command of ["plasm status", "plasm jobs", "plasm peers"]) {
            assertStringIncludes(text!, command);
          }
        },
      );
      assertEquals(problems, []);
    },
  ),
);

/** Serves the module. */
function moduleServer(): AsyncDisposable & { port: number } {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response(HELLO),
  );
  return { port: server.addr.port, [Symbol.asyncDispose]: () => server.shutdown() };
}

/** Serves an empty page of another origin. */
function foreignSite(): AsyncDisposable & { port: number } {
  const headers = { "content-type": "text/html" };
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("<!doctype html><main></main>", { headers }),
  );
  return { port: server.addr.port, [Symbol.asyncDispose]: () => server.shutdown() };
}

/** What a foreign page tries, in the browser that has signed in. */
async function attack(origin: string, id: string): Promise<Record<string, string>> {
  const outcome = async (path: string, init: RequestInit): Promise<string> => {
    try {
      return (await fetch(`${origin}${path}`, { credentials: "include", ...init })).type;
    } catch (error) {
      return (error as Error).name;
    }
  };
  const script = new Promise<string>((resolve) => {
    const element = document.createElement("script");
    element.src = `${origin}/dashboard.js`;
    element.onload = () => resolve("loaded");
    element.onerror = () => resolve("error");
    document.body.append(element);
  });
  const body = JSON.stringify({ manifest: { module_hash: `sha256:${"0".repeat(64)}` } });
  return {
    node: await outcome("/v1/node", {}),
    script: await script,
    cancel: await outcome(`/v1/jobs/${id}`, { method: "DELETE" }),
    submit: await outcome("/v1/jobs", { method: "POST", mode: "no-cors", body }),
  };
}
