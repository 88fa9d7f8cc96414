/**
 * Opens the dashboard in Debian's chromium, beside a real daemon; skipped with a message where chromium is missing.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { browserTest, startBrowser, textWith } from "../fixtures/browser.ts";
import { DaemonProcess, environment } from "../fixtures/daemon/daemon_process.ts";
import { plasm, spawnPlasm } from "../fixtures/plasm.ts";
import { command, write } from "../fixtures/sandbox_jobs.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const HELLO = new URL("../../examples/hello/hello.wasm", import.meta.url).pathname;

/** A dashboard that `plasm dashboard` serves. */
interface Served extends AsyncDisposable {
  url: string;
  origin: string;
}

async function serve(dir: string): Promise<Served> {
  const child = spawnPlasm(["dashboard", "--json"], { env: environment(dir) });
  await child.stdin.close();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader.read();
  reader.releaseLock();
  const messages = new Response(child.stderr).text();
  const { url } = JSON.parse(value);
  return {
    url,
    origin: new URL(url).origin,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      const { code } = await child.status;
      assertEquals({ code, messages: await messages }, {
        code: 0,
        messages: "plasm: Open this address in a browser; stop with Ctrl-C\n",
      });
    },
  };
}

Deno.test(browserTest(
  "the dashboard shows node, jobs, output, files and receipt as they change",
  async () => {
    await using temp = await tempDir("pl");
    const dir = temp.path;
    await using _daemon = await DaemonProcess.start({ dir });
    await using served = await serve(dir);
    await using started = await startBrowser();
    const page = await started.browser.newPage();
    const problems: string[] = [];
    page.on("console", (message) => {
      // Answers such as 404 for a module that the daemon does not have yet.
      if (!message.text().startsWith("Failed to load resource")) problems.push(message.text());
    });
    page.on("pageerror", (error) => void problems.push(String(error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(served.origin)) problems.push(request.url());
    });
    await page.goto(served.url);
    const node = await textWith(page, "Limits of a job");
    assertEquals(page.url(), `${served.origin}/`);
    const id = JSON.parse((await plasm(["id", "--json"], { env: environment(dir) })).stdout);
    assertStringIncludes(node, id.peer_id);

    // A job from the form, with its output as it comes and its receipt.
    await page.goto(`${served.origin}/#/submit`);
    await textWith(page, "Time limit");
    const module = await page.$('input[type="file"]');
    await module!.uploadFile(HELLO);
    const [, , stdin] = await page.$$("textarea");
    await stdin!.type("Hello, World");
    await page.click("button.primary");
    await textWith(page, "✓ signatures of claim and run");
    assertStringIncludes(await textWith(page, "dlroW ,olleH"), "exit 0");

    // The table follows a job that another client submits.
    await page.goto(`${served.origin}/#/jobs`);
    await textWith(page, "exit 0");
    const { stdout } = await plasm(["submit", "--submitter", "other", HELLO], {
      env: environment(dir),
    });
    await textWith(page, stdout.trim());

    await page.goto(`${served.origin}/#/network`);
    await textWith(page, "Network");
    await page.goto(`${served.origin}/#/receipt`);
    await textWith(page, "nothing is sent");
    const receipt = JSON.parse(
      (await plasm(["exec", "--json", HELLO], { stdin: "abc", env: environment(dir) })).stdout,
    ).receipt;
    await Deno.writeTextFile(`${dir}/r.json`, JSON.stringify(receipt));
    await Deno.writeTextFile(`${dir}/other`, "other");
    const [file, , input] = await page.$$('input[type="file"]');
    await file!.uploadFile(`${dir}/r.json`);
    await textWith(page, "✓ signatures of claim and run");
    await input!.uploadFile(`${dir}/other`);
    await textWith(page, "✗ stdin is what the receipt names");
    assertEquals(problems, []);
  },
));

Deno.test(browserTest(
  "the dashboard shows hostile names and output as text, and follows a daemon that restarts",
  async () => {
    await using temp = await tempDir("pl");
    const dir = temp.path;
    const env = environment(dir);
    const markup = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
    const bytes = new TextEncoder().encode(`${markup}\u202e\u0007`);
    const stores = [...bytes].map((byte, at) =>
      `(i32.store8 (i32.const ${1024 + at}) (i32.const ${byte}))`
    );
    const module = await command(stores.join(" ") + write(1, bytes.length));
    await Deno.writeFile(`${dir}/hostile.wasm`, module);
    const long = await command(`(memory.fill (i32.const 1024) (i32.const 60) (i32.const 60000))
      ${Array.from({ length: 20 }, () => write(1, 60_000)).join(" ")}`);
    await Deno.writeFile(`${dir}/long.wasm`, long);
    const submit = async (name: string, ...args: string[]): Promise<string> =>
      (await plasm(["submit", `${dir}/${name}`, "--", ...args], { env })).stdout.trim();
    await using first = await DaemonProcess.start({ dir });
    await using served = await serve(dir);
    await using started = await startBrowser();
    const page = await started.browser.newPage();
    await page.goto(served.url);
    const id = await submit("hostile.wasm", "<b>bold</b>");
    await page.goto(`${served.origin}/#/job/${id}`);
    const job = await textWith(page, "onerror");
    assertStringIncludes(job, `${markup}\\u202e\\u0007`);
    await textWith(page, "<b>bold</b>");
    assertEquals(await page.$$("main img, main script, main b"), []);
    assertEquals(await page.title(), "Job – plasm");

    await page.goto(`${served.origin}/#/job/${await submit("long.wasm")}`);
    const shown = await textWith(page, "1.1 MB of 1.2 MB are not shown");
    assert(shown.length < 300_000, `${shown.length} characters`);

    await page.goto(`${served.origin}/#/jobs`);
    await textWith(page, "exit 0");
    // EventSource alone stops at the first response other than 200.
    const refused = page.waitForResponse((response) =>
      response.url().endsWith("/v1/changes") && !response.ok()
    );
    first.signal("SIGTERM");
    await first.ended();
    await page.waitForSelector("#connection .bad");
    await refused;
    await using _second = await DaemonProcess.start({ dir });
    await page.waitForSelector("#connection .good");
    await textWith(page, await submit("hostile.wasm"));
  },
));

Deno.test("the dashboard serves the holder of its token only, once, and no other site", async () => {
  await using temp = await tempDir("pl");
  const dir = temp.path;
  await using _daemon = await DaemonProcess.start({ dir });
  await using served = await serve(dir);
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${served.origin}${path}`, { headers, redirect: "manual" });
    await response.body?.cancel();
    return response;
  };
  assertEquals((await get("/")).status, 401);
  assertEquals((await get("/v1/node")).status, 401);
  assertEquals((await get(`/?token=${"0".repeat(64)}`)).status, 403);
  const opened = await get(new URL(served.url).pathname + new URL(served.url).search);
  assertEquals(opened.status, 200);
  const [cookie = "", ...attributes] = (opened.headers.get("set-cookie") ?? "").split("; ");
  assertEquals(attributes, ["HttpOnly", "SameSite=Strict", "Path=/"]);
  assertEquals((await get(new URL(served.url).search.replace("?", "/?"))).status, 403);
  const page = await get("/", { cookie });
  assertEquals(page.status, 200);
  assertStringIncludes(page.headers.get("content-security-policy") ?? "", "script-src 'self'");
  assertEquals((await get("/v1/node", { cookie })).status, 200);
  assertEquals((await get("/other", { cookie })).status, 404);
  assertEquals((await get("/v1/node", { cookie: `${cookie}0` })).status, 401);
  // The command stops although a page still follows a stream.
  const open = await fetch(`${served.origin}/v1/changes`, { headers: { cookie } });
  open.body!.pipeTo(new WritableStream()).catch(() => {});
  const foreign = { cookie, origin: "https://example.com" };
  assertEquals((await get("/v1/node", foreign)).status, 403);
  assertEquals((await get("/v1/node", { cookie, "sec-fetch-site": "same-site" })).status, 403);
});
