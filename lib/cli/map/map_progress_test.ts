import { assertEquals } from "@std/assert";
import { ProgressBar } from "./map_progress.ts";

const CLEAR = "\r\x1b[K";

async function shown(stderrIsTerminal: boolean): Promise<string[]> {
  const texts: string[] = [];
  let now = 0;
  const bar = new ProgressBar({
    stderrIsTerminal,
    message: (text) => {
      texts.push(String(text));
      return Promise.resolve();
    },
  }, { total: 100, now: () => now });
  const progress = { done: 0, failed: 0, retried: 0, reused: 0, running: 2 };
  await bar.show(progress);
  now = 50;
  await bar.show({ ...progress, done: 1 });
  now = 60_000;
  await bar.show({ ...progress, done: 40, failed: 3, reused: 20 });
  await bar.clear();
  return texts;
}

Deno.test("ProgressBar shows a line with the time left on a terminal, not more often than it can be read", async () => {
  assertEquals(await shown(true), [
    `${CLEAR}0 % 0/100 done, 0 failed, 2 running`,
    `${CLEAR}40 % 40/100 done, 3 failed, 2 running, 3:00 left`,
    CLEAR,
  ]);
});

Deno.test("ProgressBar writes JSON lines otherwise", async () => {
  const events = (await shown(false)).map((line) => JSON.parse(line));
  assertEquals(events.map(({ done, seconds_left }) => [done, seconds_left]), [
    [0, undefined],
    [40, 180],
  ]);
});
