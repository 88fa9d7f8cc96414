import { assertEquals } from "@std/assert";
import { ResponseTracker } from "./response_tracker.ts";

const RESPONSES = [
  ["GET", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\r\n\r\n"],
  ["HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"],
  ["DELETE", "HTTP/1.1 204 No Content\r\n\r\n"],
  [
    "POST",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
  ],
  ["PUT", "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n"],
] as const;

Deno.test("ResponseTracker counts pending responses however their bytes arrive", () => {
  for (const pieceBytes of [1, 3, 1000]) {
    const tracker = new ResponseTracker();
    for (const [method] of RESPONSES) tracker.expect(method);
    for (const [index, [, text]] of RESPONSES.entries()) {
      assertEquals({ pending: tracker.pending, isBetween: tracker.isBetweenResponses }, {
        pending: RESPONSES.length - index,
        isBetween: true,
      });
      const bytes = new TextEncoder().encode(text);
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        tracker.push(bytes.subarray(at, at + pieceBytes));
      }
    }
    assertEquals(tracker.pending, 0);
  }
});

Deno.test("ResponseTracker.settled() resolves when all responses are complete", async () => {
  const tracker = new ResponseTracker();
  await tracker.settled();
  tracker.expect("GET");
  let isSettled = false;
  const settled = tracker.settled().then(() => isSettled = true);
  tracker.push(new TextEncoder().encode("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n"));
  await Promise.resolve();
  assertEquals(isSettled, false);
  tracker.push(new TextEncoder().encode("a"));
  await settled;
});

Deno.test("ResponseTracker does not count a response that ends with its connection", () => {
  const tracker = new ResponseTracker();
  tracker.expect("GET");
  tracker.push(new TextEncoder().encode("HTTP/1.0 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"));
  assertEquals({ pending: tracker.pending, isBetween: tracker.isBetweenResponses }, {
    pending: 1,
    isBetween: false,
  });
});
