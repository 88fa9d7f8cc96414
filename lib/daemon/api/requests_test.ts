import { PlasmError } from "../../core/errors/errors.ts";
import { readJsonBody } from "./requests.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";

const VALUE = { text: "in three pieces" };

/** A request whose body comes in three pieces, as from a socket. */
function request(length: number | undefined): Request {
  const bytes = new TextEncoder().encode(JSON.stringify(VALUE));
  const pieces = [bytes.slice(0, 5), bytes.slice(5, 9), bytes.slice(9)];
  const body = new ReadableStream({
    type: "bytes",
    pull(controller) {
      const piece = pieces.shift();
      if (piece !== undefined) return controller.enqueue(piece);
      controller.close();
      controller.byobRequest?.respond(0);
    },
  });
  const headers = new Headers({ "content-type": "application/json" });
  if (length !== undefined) headers.set("content-length", `${length}`);
  return new Request("http://localhost", { method: "POST", body, headers });
}

Deno.test("readJsonBody() concatenates chunks with or without a declared length", async () => {
  const { length } = JSON.stringify(VALUE);
  for (const said of [undefined, length, length + 100]) {
    assertEquals(await readJsonBody(request(said), { maxBytes: 1000, idleMs: 60_000 }), VALUE);
  }
});

Deno.test("readJsonBody() ignores the declared length when a transfer encoding overrides it", async () => {
  let given = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      given += 1000;
      if (given > 1_000_000) controller.close();
      else controller.enqueue(new Uint8Array(1000).fill(32));
    },
  });
  const headers = new Headers({ "content-type": "application/json" });
  headers.set("content-length", "10");
  headers.set("transfer-encoding", "chunked");
  const request = new Request("http://localhost", { method: "POST", body, headers });
  const error = await assertRejects(
    () => readJsonBody(request, { maxBytes: 5000, idleMs: 60_000 }),
    PlasmError,
  );
  assertEquals(error.code, "too-large");
  assert(given < 20_000, `${given} bytes were read`);
});
