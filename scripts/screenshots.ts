/**
 * Takes the screenshots of docs/ from a real network on this machine: three nodes, jobs on all of them, and the
 * dashboard in Debian's chromium.
 *
 *     deno task screenshots [DIRECTORY]   (default docs)
 *
 * @module
 */
import { serveDashboard } from "../lib/daemon/web/mod.ts";
import { startBrowser, textWith } from "../tests/fixtures/browser.ts";
import { plasm } from "../tests/fixtures/plasm.ts";
import { tempDir } from "../tests/fixtures/temp_dir.ts";
import { startNode } from "./demo/nodes.ts";

const DIRECTORY = Deno.args[0] ?? new URL("../docs", import.meta.url).pathname;
const HELLO = new URL("../examples/hello/hello.wasm", import.meta.url).pathname;

/** Time for which jobs run before the screenshots, in milliseconds: the charts show five minutes. */
const JOBS_MS = 60_000;

/** Size of the pages, in CSS pixels. */
const VIEWPORT = { width: 1100, height: 760 };

await using resources = new AsyncDisposableStack();
const { path: dir } = resources.use(await tempDir("pl"));
const nodes = resources.use(new AsyncDisposableStack());
const boot = nodes.use(await startNode({ dir: `${dir}/a`, set: { "jobs.concurrency": "4" } }));
const bootstrap = boot.addresses.join(",");
for (const name of ["b", "c"]) {
  const set = { "network.bootstrap": bootstrap };
  nodes.use(await startNode({ dir: `${dir}/${name}`, set }));
}
const env = { PLASM_SOCKET: `${dir}/a/socket`, PLASM_STATE_DIR: `${dir}/client` };
const submit = async (...args: string[]): Promise<string> => {
  const stdin = "Open, verifiable compute\n".repeat(4);
  const { code, stdout, stderr } = await plasm(["submit", ...args, HELLO], { env, stdin });
  if (code !== 0) throw new Error(stderr);
  return stdout.trim();
};

const served = resources.use(serveDashboard({ port: 0, socket: () => env.PLASM_SOCKET }));
const { browser } = resources.use(await startBrowser());
const page = await browser.newPage();
await page.setViewport(VIEWPORT);
await page.goto(served.url);
await textWith(page, "Limits of a job");
const { origin } = new URL(page.url());

let last = "";
const users = ["alice", "bob", "nightly-build"];
for (const end = Date.now() + JOBS_MS; Date.now() < end;) {
  const jobs = users.map((user) =>
    submit("--submitter", user, ...user === "nightly-build" ? ["--remote"] : [])
  );
  last = (await Promise.all(jobs))[0]!;
}
await page.screenshot({ path: `${DIRECTORY}/dashboard-node.png` });
await page.goto(`${origin}/#/job/${last}`);
await textWith(page, "signatures of claim and run");
await page.screenshot({ path: `${DIRECTORY}/dashboard-job.png` });
