import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  abortable,
  collect,
  deadline,
  delay,
  forEachLimited,
  retry,
  type RetryOptions,
} from "./mod.ts";

const never = new Promise<never>(() => {});

Deno.test("abortable() returns the value when the signal does not abort", async () => {
  assertEquals(await abortable(Promise.resolve(1)), 1);
  assertEquals(await abortable(Promise.resolve(2), { signal: new AbortController().signal }), 2);
});

Deno.test("abortable() rejects with the reason or the given error when the signal aborts", async () => {
  const controller = new AbortController();
  const reason = new Error("stop");
  const waiting = abortable(never, { signal: controller.signal });
  const translated = abortable(never, {
    signal: controller.signal,
    error: () => new RangeError("translated"),
  });
  controller.abort(reason);
  assertStrictEquals(await assertRejects(() => waiting), reason);
  await assertRejects(() => translated, RangeError, "translated");
});

Deno.test("abortable() rejects when the signal had aborted before", async () => {
  const signal = AbortSignal.abort(new Error("stop"));
  await assertRejects(() => abortable(Promise.resolve(1), { signal }), Error, "stop");
  // The rejection of the operation does not surface as an unhandled one.
  await assertRejects(() => abortable(Promise.reject(new Error("x")), { signal }), Error, "stop");
});

Deno.test("deadline() returns the value when the promise settles in time", async () => {
  const error = () => new Error("late");
  assertEquals(await deadline(Promise.resolve(1), { ms: 0, error }), 1);
  assertEquals(await deadline(delay(1).then(() => 2), { ms: 60_000, error }), 2);
  await assertRejects(
    () => deadline(Promise.reject(new TypeError("own")), { ms: 1, error }),
    TypeError,
  );
});

Deno.test("deadline() rejects when the promise exceeds the limit", async () => {
  await assertRejects(
    () => deadline(never, { ms: 1, error: () => new RangeError("late") }),
    RangeError,
    "late",
  );
});

Deno.test("delay() resolves when the signal aborts", async () => {
  const controller = new AbortController();
  const waiting = delay(2 ** 30, { signal: controller.signal });
  controller.abort();
  await waiting;
  await delay(2 ** 30, { signal: controller.signal });
});

Deno.test("retry() repeats until the operation succeeds", async () => {
  const failures: string[] = [];
  let attempts = 0;
  const value = await retry(() => {
    attempts++;
    return attempts < 4 ? Promise.reject(new Error(`no ${attempts}`)) : Promise.resolve("done");
  }, { minMs: 0, maxMs: 0, onFailure: ({ message }) => void failures.push(message) });
  assertEquals(value, "done");
  assertEquals(failures, ["no 1", "no 2", "no 3"]);
});

Deno.test("retry() throws the last error when shouldRetry, retries or forMs end it", async () => {
  const cases: { options: Partial<RetryOptions>; attempts: number }[] = [
    { options: { shouldRetry: ({ message }) => message !== "no 3" }, attempts: 3 },
    { options: { retries: 2 }, attempts: 3 },
    { options: { forMs: 0 }, attempts: 1 },
  ];
  for (const { options, attempts } of cases) {
    let made = 0;
    const operation = () => Promise.reject(new Error(`no ${++made}`));
    const failing = retry(operation, { minMs: 0, maxMs: 0, ...options });
    await assertRejects(() => failing, Error, `no ${attempts}`);
    assertEquals(made, attempts);
  }
});

Deno.test("retry() rejects with the reason when the signal aborts during a delay", async () => {
  const controller = new AbortController();
  const running = retry(() => Promise.reject(new Error("no")), {
    minMs: 2 ** 30,
    maxMs: 2 ** 30,
    signal: controller.signal,
    onFailure: () => controller.abort(new Error("stop")),
  });
  await assertRejects(() => running, Error, "stop");
});

Deno.test("retry() returns the value when the signal aborts during a successful attempt", async () => {
  const controller = new AbortController();
  const failures: Error[] = [];
  const value = await retry(() => {
    controller.abort(new Error("stop"));
    return Promise.resolve("done");
  }, {
    minMs: 0,
    maxMs: 0,
    signal: controller.signal,
    onFailure: (error) => void failures.push(error),
  });
  assertEquals({ value, failures }, { value: "done", failures: [] });
});

Deno.test("forEachLimited() runs each task with at most `limit` at once", async () => {
  const done: number[] = [];
  let running = 0;
  let most = 0;
  await forEachLimited([1, 2, 3, 4, 5], {
    limit: 2,
    task: async (item) => {
      most = Math.max(most, ++running);
      await delay(1);
      running--;
      done.push(item);
    },
  });
  assertEquals({ done: done.toSorted(), most }, { done: [1, 2, 3, 4, 5], most: 2 });
});

Deno.test("collect() concatenates chunks up to a limit", async () => {
  const read: number[] = [];
  async function* chunks(): AsyncGenerator<Uint8Array, void, void> {
    for (let n = 1; n <= 4; n++) {
      read.push(n);
      yield Uint8Array.of(n, n);
    }
  }
  const tooLarge = () => new Error("too large");
  assertEquals(
    await collect(chunks(), { maxBytes: 8, tooLarge }),
    Uint8Array.of(1, 1, 2, 2, 3, 3, 4, 4),
  );
  read.length = 0;
  await assertRejects(() => collect(chunks(), { maxBytes: 5, tooLarge }), Error, "too large");
  assertEquals(read, [1, 2, 3]); // the rest is not read
});
