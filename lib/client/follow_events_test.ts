import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../core/errors/mod.ts";
import { deadline } from "../util/async/mod.ts";
import { DaemonTransport } from "./daemon_transport.ts";
import { followEvents } from "./follow_events.ts";

/** Answer with one event, and a body that does not end. */
function openAnswer(event: unknown): Uint8Array {
  const line = `${JSON.stringify(event)}\n`;
  return new TextEncoder().encode(
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n" +
      `${line.length.toString(16)}\r\n${line}\r\n`,
  );
}

Deno.test("followEvents() closes its connection when the daemon does not answer any more", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const transport = new DaemonTransport({ url: `http://127.0.0.1:${listener.addr.port}` });
  const event = { id: 1, at: new Date(0).toISOString(), type: "queued", position: 0 };
  const events = followEvents(transport, "job_x");
  const first = events.next();
  const conn = await listener.accept();
  await conn.read(new Uint8Array(4096));
  await conn.write(openAnswer(event));
  assertEquals((await first).value as unknown, event);
  // The check whether the daemon still answers gets no answer either.
  const checked = listener.accept();
  const error = await assertRejects(() => events.next(), PlasmError);
  assertEquals({ code: error.code, silent: error.details["silent"] }, {
    code: "busy",
    silent: true,
  });
  const end = await deadline(conn.read(new Uint8Array(1)).catch(() => null), {
    ms: 10_000,
    error: () => new Error("The connection stayed open"),
  });
  assertEquals(end, null);
  conn.close();
  (await checked).close();
  listener.close();
  transport[Symbol.dispose]();
});
