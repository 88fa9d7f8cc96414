/**
 * Measures the dashboard in Debian's chromium: first view, and long tasks while 10,000 jobs change in a minute.
 *
 * @module
 */
import { serveDashboard } from "../../lib/daemon/web/mod.ts";
import { startBrowser } from "../../tests/fixtures/browser.ts";
import { startBusyDaemon } from "../../tests/fixtures/daemon/busy_daemon.ts";
import { tempDir } from "../../tests/fixtures/temp_dir.ts";
import { type BenchSection, median } from "./row.ts";

/** A minute of updates: four messages a second with 42 jobs each. */
const MINUTE = { messages: 240, jobsEach: 42 };

/** Time between two messages, in milliseconds. */
const MESSAGE_MS = 250;

/** Views that are measured; the median counts. */
const VIEWS = 11;

/** Records tasks of more than 50 ms on the page's main thread. */
const OBSERVE = `globalThis.longTasks = [];
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) longTasks.push(duration);
}).observe({ type: "longtask" });`;

/** Benchmarks the dashboard. */
export const dashboard: BenchSection = async function* ({ signal }) {
  await using temp = await tempDir("plb");
  const path = `${temp.path}/socket`;
  const pause = () => new Promise<void>((resolve) => setTimeout(resolve, MESSAGE_MS));
  await using daemon = startBusyDaemon({ path, ...MINUTE, pause });
  await using served = serveDashboard({ port: 0, socket: () => path });
  await using started = await startBrowser();
  const page = await started.browser.newPage();
  await page.goto(served.url);
  const jobs = `${new URL(served.url).origin}/#/jobs`;
  await page.goto(jobs);
  const times: number[] = [];
  for (let view = 0; view < VIEWS && !signal.aborted; view++) {
    await page.reload();
    await page.waitForSelector("tbody a");
    times.push(await page.evaluate("performance.now()") as number);
  }
  const p50 = `${median(times).toFixed(0)} ms`;
  yield { what: "first view of 50 jobs, p50", measured: p50, goal: "≤ 200 ms" };

  await page.waitForSelector("#connection .good");
  await page.evaluate(OBSERVE);
  daemon.begin();
  const content = `document.querySelector("main").textContent`;
  const polling = "mutation"; // not in each frame, which would be measured
  await page.waitForFunction(`${content}.includes("exit 77")`, { polling, timeout: 0, signal });
  const tasks = await page.evaluate("longTasks") as number[];
  const worst = tasks.length === 0 ? "" : `, longest ${Math.max(...tasks).toFixed(0)} ms`;
  yield {
    what: "tasks over 50 ms in 10,000 updates",
    measured: `${tasks.length}${worst}`,
    goal: "0",
  };
};
