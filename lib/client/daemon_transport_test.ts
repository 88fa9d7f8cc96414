import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../core/errors/mod.ts";
import { DaemonTransport } from "./daemon_transport.ts";

Deno.test("DaemonTransport.translated() ends when the signal aborts, though the body does not", async () => {
  using transport = new DaemonTransport({ socket: "/plasm.sock" });
  const stop = new AbortController();
  let cancelled = false;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    cancel: () => void (cancelled = true),
  });
  const reader = transport.translated(body, stop.signal).getReader();
  const next = assertRejects(() => reader.read(), PlasmError);
  stop.abort();
  assertEquals((await next).code, "interrupted");
  await reader.closed.catch(() => {});
  assertEquals(cancelled, true);
});
