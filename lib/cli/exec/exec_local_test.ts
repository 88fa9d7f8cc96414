import { assertEquals } from "@std/assert";
import { runCommandLine } from "../run_command_line.ts";
import { type CliIo, processIo } from "../io.ts";

const HELLO = decodeURIComponent(
  new URL("../../../examples/hello/hello.wasm", import.meta.url).pathname,
);

Deno.test("execLocally() hashes the module once, and drops the network", async () => {
  const { size } = await Deno.stat(HELLO);
  const digest = crypto.subtle.digest.bind(crypto.subtle);
  let hashes = 0;
  let output = "";
  const dropped: string[] = [];
  // The prototype's own standard input and signal would open resources.
  const io: CliIo = Object.setPrototypeOf({
    stdin: ReadableStream.from([new TextEncoder().encode("abc")]),
    signal: new AbortController().signal,
    env: () => undefined,
    drop: (names: string[]) => dropped.push(...names),
    write: (data: Uint8Array | string) => {
      output += typeof data === "string" ? data : new TextDecoder().decode(data);
      return Promise.resolve();
    },
  }, processIo());
  crypto.subtle.digest = (algorithm, data) => {
    if (data.byteLength === size) hashes++;
    return digest(algorithm, data);
  };
  try {
    assertEquals(await runCommandLine(["exec", HELLO], io), 0);
  } finally {
    crypto.subtle.digest = digest;
  }
  assertEquals({ output, hashes, dropped }, { output: "cba", hashes: 1, dropped: ["sys", "net"] });
});
