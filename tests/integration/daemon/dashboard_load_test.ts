/// <reference lib="dom" />
/**
 * Loads the dashboard in chromium: many updates, much output, many tabs, and a daemon that restarts.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { serveDashboard } from "../../../lib/daemon/web/mod.ts";
import { browserTest, type Page, signIn, startBrowser, textWith } from "../../fixtures/browser.ts";
import { startBusyDaemon } from "../../fixtures/daemon/busy_daemon.ts";
import { testDaemon } from "../../fixtures/daemon/harness.ts";
import { command } from "../../fixtures/sandbox_jobs.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";
import { connectDaemon } from "../../../lib/client/mod.ts";

/** Updates of a minute in which 10,000 jobs change: four messages a second. */
const MINUTE = { messages: 240, jobsEach: 42 };

Deno.test(
  browserTest(
    "the dashboard's job list updates rows in place when 10,000 jobs change",
    async () => {
      await using temp = await tempDir("pl");
      const path = `${temp.path}/socket`;
      await using daemon = startBusyDaemon({ path, ...MINUTE });
      await using served = serveDashboard({ port: 0, socket: () => path });
      await using started = await startBrowser();
      const page = await started.browser.newPage();
      await page.goto(served.url);
      await page.goto(`${new URL(served.url).origin}/#/jobs`);
      await page.waitForSelector("tbody a");
      await page.waitForSelector("#connection .good");
      const first = await page.$("tbody a");
      await first!.focus();
      const size = () => page.evaluate(() => document.querySelectorAll("*").length);
      const before = await size();
      daemon.begin();
      await textWith(page, "exit 77");
      // The link that the user has reached by keyboard is the same element, and has the focus.
      assert(await first!.evaluate((link) => document.activeElement === link));
      assertEquals(await page.$$eval("tbody tr", (rows) => rows.length), 50);
      assertEquals(await size() <= before, true);
      // New jobs reload the list once a second at most, not with each message.
      const requests = daemon.listRequests();
      assert(
        requests < MINUTE.messages / 2,
        `${requests} requests for ${MINUTE.messages} messages`,
      );
    },
  ),
);

/** Size of the large output: 100 MB and a last line. */
const CHUNKS = { count: 1600, bytes: 62_500 };

Deno.test(
  browserTest(
    "the dashboard shows start and end of 100 MB of output, and downloads all",
    async () => {
      await using fixture = await testDaemon({
        config: {
          "api.tcp.listen": "127.0.0.1:0",
          "jobs.ceilings.output_bytes": 200_000_000,
          "retention.bytes": 1_000_000_000,
        },
        real: true,
      });
      const tcp = fixture.daemon.tcp!;
      const origin = `http://127.0.0.1:${tcp.port}`;
      await using started = await startBrowser();
      const page = await started.browser.newPage();
      await signIn(page, tcp);
      using client = connectDaemon({ socket: fixture.daemon.socket });
      const module = await command(`(local $n i32)
    (memory.fill (i32.const 1024) (i32.const 60) (i32.const ${CHUNKS.bytes}))
    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const ${CHUNKS.bytes}))
    (loop $again
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $n) (i32.const ${CHUNKS.count}))))
    (i32.store (i32.const 1024) (i32.const 0x21444e45)) (i32.store (i32.const 4) (i32.const 4))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))`);
      const hash = await client.putModule(module);
      const { json } = await fixture.call("POST", "/v1/jobs", {
        json: { manifest: { module_hash: hash, resources: { output_bytes: 150_000_000 } } },
      });
      const id = String(json["id"]);
      let received = 0;
      const session = await page.createCDPSession();
      await session.send("Network.enable");
      session.on("Network.dataReceived", ({ dataLength }) => void (received += dataLength));
      await page.goto(`${origin}/#/job/${id}`);
      const text = await textWith(page, "99.9 MB of 100.0 MB are not shown; the download has all.");
      await textWith(page, "✓ signatures of claim and run");
      assertStringIncludes(text, "<END!");
      assert(text.length < 200_000, `${text.length} characters`);
      // The live view ends with what it shows: the rest is not even received.
      assert(received < 20_000_000, `${received} bytes`);
      const download = await page.evaluate(async (path) => {
        const reader = (await fetch(path)).body!.getReader();
        let bytes = 0;
        for (let part; !(part = await reader.read()).done;) bytes += part.value.length;
        return bytes;
      }, `/v1/jobs/${id}/stdout`);
      assertEquals(download, CHUNKS.count * CHUNKS.bytes + 4);
    },
  ),
);

Deno.test(
  browserTest(
    "the dashboard's tabs share one stream, and ask for the token again when the daemon has restarted",
    async () => {
      await using fixture = await testDaemon({ config: { "api.tcp.listen": "127.0.0.1:0" } });
      const tcp = fixture.daemon.tcp!;
      const origin = `http://127.0.0.1:${tcp.port}`;
      await using started = await startBrowser();
      const open = async (): Promise<Page> => {
        const page = await started.browser.newPage();
        await page.goto(`${origin}/#/jobs`);
        await textWith(page, "Page 1");
        return page;
      };
      const first = await started.browser.newPage();
      await signIn(first, tcp);
      await first.waitForSelector("#connection .good");
      // A browser opens six connections to a host: with a stream for each tab, the seventh would not load.
      const others: Page[] = [];
      for (let tab = 0; tab < 7; tab++) others.push(await open());
      const shared = await fixture.submit(["echo"]);
      for (const page of others) await textWith(page, shared);
      // The next tab continues when the one that reads the stream is closed.
      await first.close();
      const next = await fixture.submit(["echo"]);
      for (const page of others) await textWith(page, next);

      for (const page of others.splice(1)) await page.close();
      const [page] = others as [Page];
      fixture.config.api.tcp.listen = `127.0.0.1:${tcp.port}`;
      await fixture.restart();
      await page.waitForSelector('#connection a[href="/"]');
      // Signing in with another tab is enough for both.
      const again = await started.browser.newPage();
      await signIn(again, tcp);
      await again.waitForSelector("#connection .good");
      await page.waitForFunction(`document.querySelector("#connection .good")`, {
        polling: "mutation",
      });
      const last = await fixture.submit(["echo"]);
      await textWith(page, last);
    },
  ),
);
