import { assertEquals } from "@std/assert";
import { limitRequests } from "./dht_rate_limit.ts";
import type { Libp2pComponents } from "../patches/libp2p_components.ts";
import { RateLimiter } from "../../util/rate_limiter.ts";

type Handler = Parameters<Libp2pComponents["registrar"]["handle"]>[1];

class FakeStream extends EventTarget {
  status = "open";
  abort(): void {
    this.status = "aborted";
  }
  send(bytes: number): void {
    this.dispatchEvent(Object.assign(new Event("message"), { data: new Uint8Array(bytes) }));
  }
}

/** A registrar behind the limit: streams of a peer, and what was refused. */
function limited(options: { burst: number; perSecond: number }) {
  let clock = 0;
  let handle: Handler | undefined;
  const refused: string[] = [];
  const served: string[] = [];
  const registrar = {
    handle: (_protocol: string, handler: Handler) => {
      handle = handler;
      return Promise.resolve();
    },
  };
  const components = { registrar } as unknown as Libp2pComponents;
  const limiter = new RateLimiter({ ...options, now: () => clock });
  limitRequests(components, ({ peerId }) => refused.push(peerId), limiter).registrar
    .handle("/kad", (_stream, { remotePeer }) => void served.push(remotePeer.toString()));
  const open = (peerId: string): FakeStream => {
    const stream = new FakeStream();
    const connection = { remotePeer: { toString: () => peerId } };
    void handle!(stream as never, connection as never);
    return stream;
  };
  return { open, refused, served, pass: (ms: number) => clock += ms };
}

Deno.test("limitRequests() refuses a peer's streams beyond its rate, and no other's", () => {
  const { open, refused, served, pass } = limited({ burst: 16, perSecond: 8 });
  assertEquals(["a", "a", "a", "b"].map((peer) => open(peer).status), [
    "open",
    "open",
    "aborted",
    "open",
  ]);
  assertEquals([served, refused], [["a", "a", "b"], ["a"]]);
  pass(1000);
  assertEquals(open("a").status, "open");
});

Deno.test("limitRequests() cuts off a stream of too many requests, and tells it once", () => {
  const { open, refused } = limited({ burst: 16, perSecond: 8 });
  const stream = open("a");
  stream.send(64 * 8);
  assertEquals(stream.status, "open");
  stream.send(1);
  stream.send(64 * 100);
  assertEquals([stream.status, refused], ["aborted", ["a"]]);
});
