import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { STREAM_REUSE_MS } from "../wire/messages.ts";
import { Disconnected, type ReusableByteStream } from "../wire/byte_stream.ts";
import { StreamPool } from "./stream_pool.ts";

const PEER = "12D3KooWPeer";

/** A connection that does nothing but note what is done to it. */
function fake(): ReusableByteStream & { done: string[]; quiet: boolean; end: () => void } {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const done: string[] = [];
  const note = (what: string): Promise<void> => (done.push(what), Promise.resolve());
  const self = {
    ended,
    end,
    done,
    quiet: true,
    isQuiet: () => self.quiet,
    read: async () => (await note("read"), null),
    write: () => note("write"),
    close: () => note("close"),
    abort: () => void note("abort"),
    endRead: () => void note("endRead"),
  };
  return self;
}

Deno.test("StreamPool.take() gives what was handed back, to its peer and to one at a time", async () => {
  const kept = new StreamPool();
  const duplex = fake();
  const first = kept.lend(PEER, duplex);
  assertEquals([first.keep!(1000), kept.size], [true, 1]);
  assertEquals(kept.take("12D3KooWOther"), undefined);
  const second = kept.take(PEER)!;
  assertEquals(kept.take(PEER), undefined);
  await second.write(new Uint8Array(1));
  assertEquals(duplex.done, ["write"]);
  assertEquals([second.keep!(1000), kept.size], [true, 1]);
});

Deno.test("StreamPool.lend() gives what is of no effect once it was handed back", async () => {
  const kept = new StreamPool();
  const duplex = fake();
  const lent = kept.lend(PEER, duplex);
  lent.keep!(1000);
  await assertRejects(() => lent.write(new Uint8Array(1)), Disconnected, "over");
  await assertRejects(() => lent.read(), Disconnected, "over");
  lent.abort(new Error("Late"));
  lent.endRead();
  await lent.close();
  assertEquals([lent.keep!(1000), duplex.done, kept.size], [false, [], 1]);
});

Deno.test("StreamPool.take() ends what waits too long, or on which something has come", () => {
  let now = 0;
  const kept = new StreamPool(() => now);
  const [old, loud] = [fake(), fake()];
  kept.lend(PEER, old).keep!(1000);
  kept.lend(PEER, loud).keep!(10_000);
  // Half of what the node says: it may have given it up in the other half.
  now = 500;
  loud.quiet = false;
  assertEquals([kept.take(PEER), kept.size], [undefined, 0]);
  assertEquals([old.done, loud.done], [["endRead", "close"], ["endRead", "close"]]);
});

Deno.test("StreamPool.take() believes no node that says it waits for ever", () => {
  let now = 0;
  const kept = new StreamPool(() => now);
  const duplex = fake();
  kept.lend(PEER, duplex).keep!(2 ** 53);
  now = STREAM_REUSE_MS / 2;
  assertEquals([kept.take(PEER), duplex.done], [undefined, ["endRead", "close"]]);
});

Deno.test("StreamPool forgets what the other side has ended", async () => {
  const kept = new StreamPool();
  const [waiting, used] = [fake(), fake()];
  const lent = kept.lend(PEER, used);
  kept.lend(PEER, waiting).keep!(1000);
  waiting.end();
  used.end();
  await waiting.ended;
  assertEquals([kept.size, waiting.done, used.done], [0, ["endRead", "close"], []]);
  used.quiet = false;
  assertEquals([lent.keep!(1000), kept.size], [false, 0]);
});

Deno.test("StreamPool keeps a few for each peer", () => {
  const kept = new StreamPool();
  const lent = Array.from({ length: 6 }, () => kept.lend(PEER, fake()));
  assertEquals(lent.map((one) => one.keep!(1000)), [true, true, true, true, false, false]);
  assertStrictEquals(kept.lend("12D3KooWOther", fake()).keep!(1000), true);
  assertEquals(kept.size, 5);
});
