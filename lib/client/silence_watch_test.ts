import { assertEquals, assertRejects } from "@std/assert";
import { SilenceWatch } from "./silence_watch.ts";

/** Keeps the event loop alive as a request does: the watch alone does not. */
function pendingRequest(): Disposable {
  const timer = setInterval(() => {}, 60_000);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

Deno.test("SilenceWatch.answered() passes results and errors on", async () => {
  using watch = new SilenceWatch(() => Promise.resolve());
  assertEquals(await watch.answered(Promise.resolve(1)), 1);
  await assertRejects(() => watch.answered(Promise.reject(new Error("lost"))), Error, "lost");
});

Deno.test("SilenceWatch.answered() ends all silent waits when the check fails", async () => {
  using _request = pendingRequest();
  let probes = 0;
  using watch = new SilenceWatch(() => {
    probes++;
    return Promise.reject(new Error("silent"));
  });
  const never = new Promise<never>(() => {});
  const waits = [watch.answered(never), watch.answered(never)];
  await Promise.all(waits.map((wait) => assertRejects(() => wait, Error, "silent")));
  assertEquals(probes, 1);
});

Deno.test("SilenceWatch.answered() waits on while the check succeeds", async () => {
  using _request = pendingRequest();
  const answer = Promise.withResolvers<string>();
  using watch = new SilenceWatch(() => {
    answer.resolve("late");
    return Promise.resolve();
  });
  assertEquals(await watch.answered(answer.promise), "late");
});
