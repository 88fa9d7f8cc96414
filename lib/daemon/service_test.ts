import { configureLogging } from "../core/log/log.ts";
import { logUnhandledRejections } from "./service.ts";
import { assertEquals } from "@std/assert";

Deno.test("logUnhandledRejections() logs a rejection when it is unhandled", async () => {
  const written = Promise.withResolvers<string>();
  configureLogging({ level: "info", format: "json", write: written.resolve });
  using _ = logUnhandledRejections();
  Promise.reject(new Error("a peer did that"));
  const line = JSON.parse(await written.promise);
  assertEquals({ level: line.level, event: line.event }, {
    level: "error",
    event: "promise-unhandled",
  });
});
