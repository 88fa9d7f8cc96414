import { assertEquals, assertNotEquals } from "@std/assert";
import { PRIORITY_MS } from "./queue.ts";
import { JobQueue, MAX_LOOKS, MAX_PASSES, POSITION_SAMPLE, type Ticket } from "./queue.ts";

let serial = 0;

function ticket(submitter: string, fields: Partial<Ticket> = {}): Ticket {
  const id = fields.id ?? `${submitter}${++serial}`;
  return { id, submitter, priority: "normal", memoryMb: 1, createdAt: 0, ...fields };
}

function queue(tickets: Ticket[], limits = { concurrency: 1, memoryMb: 1000 }): JobQueue {
  const made = new JobQueue(limits);
  for (const each of tickets) made.push(each);
  return made;
}

/** Starts one after the other, each released before the next. */
function drain(made: JobQueue): string[] {
  const order: string[] = [];
  for (let next = made.next(); next !== undefined; next = made.next()) {
    order.push(next.id);
    made.release(next);
  }
  return order;
}

Deno.test("JobQueue.next() starts one submitter's jobs in order of arrival", () => {
  const made = queue(["1", "2", "3"].map((id) => ticket("a", { id })));
  assertEquals(drain(made), ["1", "2", "3"]);
  assertEquals({
    waiting: made.waiting,
    running: made.running,
    runningMemoryMb: made.runningMemoryMb,
  }, { waiting: 0, running: 0, runningMemoryMb: 0 });
});

Deno.test("JobQueue.next() starts high before normal before low priority", () => {
  const made = queue([
    ticket("a", { id: "low", priority: "low" }),
    ticket("a", { id: "normal" }),
    ticket("a", { id: "high", priority: "high" }),
  ]);
  assertEquals(drain(made), ["high", "normal", "low"]);
});

Deno.test("JobQueue.next() starts old low-priority jobs before new high-priority ones", () => {
  const made = queue([ticket("a", { id: "old-low", priority: "low", createdAt: 0 })]);
  // A stream of high jobs without end: each comes before the one before it has started.
  const order: string[] = [];
  for (let n = 0; n < 100; n++) {
    made.push(ticket("a", { id: `high${n}`, priority: "high", createdAt: n * 10_000 }));
    const next = made.next()!;
    order.push(next.id);
    made.release(next);
  }
  assertEquals(order.indexOf("old-low"), PRIORITY_MS.high / 10_000);
});

Deno.test("JobQueue.next() alternates between submitters when one floods or claims high priority", () => {
  const flood = Array.from({ length: 6 }, (_, n) => ticket("a", { id: `a${n}`, priority: "high" }));
  const made = queue([
    ...flood,
    ticket("b", { id: "b0", createdAt: 9 }),
    ticket("b", { id: "b1" }),
  ]);
  assertEquals(drain(made), ["a0", "b1", "a1", "b0", "a2", "a3", "a4", "a5"]);
});

Deno.test("JobQueue.next() starts no extra job when a submitter resubmits after each start", () => {
  const made = queue(Array.from({ length: 5 }, (_, n) => ticket("a", { id: `a${n}` })));
  const order: string[] = [];
  for (let n = 0; n < 8; n++) {
    if (made.countOf("b") === 0) made.push(ticket("b", { id: "b" }));
    const next = made.next()!;
    order.push(next.submitter);
    made.release(next);
  }
  assertEquals(order.filter((submitter) => submitter === "a").length, 4);
});

Deno.test("JobQueue.next() grants no credit when a submitter was idle", () => {
  const made = queue(Array.from({ length: 20 }, () => ticket("a")));
  for (let n = 0; n < 10; n++) made.release(made.next()!);
  for (let n = 0; n < 5; n++) made.push(ticket("b", { id: `b${n}` }));
  const next = drain(made).slice(0, 6).map((id) => id[0]);
  assertEquals(next.filter((submitter) => submitter === "b").length, 3);
});

Deno.test("JobQueue.next() respects the concurrency and memory limits", () => {
  const made = queue([1, 2, 3].map((id) => ticket("a", { id: `${id}`, memoryMb: 40 })), {
    concurrency: 3,
    memoryMb: 100,
  });
  const [first, second] = [made.next()!, made.next()!];
  assertEquals({ first: first.id, second: second.id, next: made.next() }, {
    first: "1",
    second: "2",
    next: undefined,
  });
  assertEquals(made.runningMemoryMb, 80);
  made.setLimits({ concurrency: 2, memoryMb: 120 });
  assertEquals(made.next(), undefined);
  made.setLimits({ concurrency: 3, memoryMb: 120 });
  assertEquals(made.next()?.id, "3");
});

Deno.test("JobQueue.next() lets at most MAX_PASSES jobs overtake when a large one does not fit", () => {
  const made = queue([ticket("small", { id: "running", memoryMb: 10 })], {
    concurrency: 8,
    memoryMb: 100,
  });
  made.next();
  made.push(ticket("large", { id: "large", memoryMb: 100 }));
  let passed = 0;
  for (let n = 0; n < 100; n++) {
    made.push(ticket(`s${n}`, { memoryMb: 1, createdAt: n + 1 }));
    const next = made.next();
    if (next === undefined) break;
    assertNotEquals(next.id, "large");
    made.release(next);
    passed++;
  }
  assertEquals(passed, MAX_PASSES);
});

Deno.test("JobQueue.next() skips at most MAX_LOOKS jobs when they do not fit", () => {
  for (const [large, next] of [[MAX_LOOKS - 1, "small"], [MAX_LOOKS, undefined]] as const) {
    const made = queue([ticket("a", { id: "running", memoryMb: 60 })], {
      concurrency: 8,
      memoryMb: 100,
    });
    made.next();
    for (let n = 0; n < large; n++) made.push(ticket(`large${n}`, { memoryMb: 50 }));
    made.push(ticket("small", { id: "small", createdAt: 1 }));
    assertEquals(made.next()?.id, next);
  }
});

Deno.test("JobQueue.next() runs a job alone when it exceeds the whole budget", () => {
  const made = queue([ticket("a", { id: "huge", memoryMb: 5000 }), ticket("b", { id: "b" })], {
    concurrency: 4,
    memoryMb: 100,
  });
  assertEquals(made.next()?.id, "huge");
  assertEquals(made.next(), undefined);
});

Deno.test("JobQueue.remove() removes a queued job once", () => {
  const [one, two] = [ticket("a"), ticket("a")];
  const made = queue([one, two]);
  assertEquals({ first: made.remove(one), second: made.remove(one), waiting: made.waiting }, {
    first: true,
    second: false,
    waiting: 1,
  });
  assertEquals(drain(made), [two.id]);
});

Deno.test("JobQueue.remove() preserves the order when the first job is removed", () => {
  const made = queue([ticket("a", { id: "a0", createdAt: 5 }), ticket("b", { id: "b0" })]);
  for (let n = 0; n < 100; n++) {
    const first = ticket("a", { id: `first${n}`, createdAt: 1 });
    made.push(first);
    assertEquals(made.remove(first), true);
  }
  assertEquals(drain(made), ["b0", "a0"]);
});

Deno.test("JobQueue.position() returns an estimate when there are many submitters", () => {
  const others = 10 * POSITION_SAMPLE;
  const made = queue(Array.from({ length: others }, (_, n) => ticket(`s${n}`)));
  const last = ticket("z", { createdAt: 1 });
  made.push(last);
  assertEquals(made.position(last), others);
});

Deno.test("JobQueue.position() returns the place in the order of starts", () => {
  // A fixed generator: many queues of every shape, each checked against what then happens.
  let state = 42;
  const random = (n: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % n;
  };
  for (let round = 0; round < 200; round++) {
    const tickets: Ticket[] = [];
    const made = new JobQueue({ concurrency: 1, memoryMb: 1000 });
    for (let n = random(25); n >= 0; n--) {
      const made1 = ticket("abcd"[random(4)]!, {
        priority: (["low", "normal", "high"] as const)[random(3)]!,
        // Few and far between, and many at once.
        createdAt: round % 2 ? random(900_000) : random(20) * 30_000,
      });
      tickets.push(made1);
      made.push(made1);
      if (random(4) === 0) {
        const started = made.next()!;
        made.release(started);
        tickets.splice(tickets.indexOf(started), 1);
      }
    }
    const told = new Map(tickets.map((each) => [each.id, made.position(each)]));
    drain(made).forEach((id, index) => assertEquals(told.get(id), index, `round ${round}`));
  }
});
