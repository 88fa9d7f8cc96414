import { assert, assertEquals } from "@std/assert";
import { ParsedArgs } from "./command.ts";
import { fittedTable } from "./daemon_client.ts";

const ROWS = [
  ["PEER", "BY", "ADDRESS"],
  [
    "12D3KooWGzBvAtN8Z2sJrrfuH4nQwBZ8mcxLnWMmJUMrZJBCmyRb",
    "quic",
    "/ip4/127.0.0.1/udp/4001/quic-v1",
  ],
  ["12D3KooWGzBvAtN8Z2sJrrfuH4nQwBZ8mcxLnWMmJUMrZJBCmyRc", "tcp", "/ip4/10.0.0.1/tcp/4001"],
];

function lines(columns: number, options: { terminal?: boolean; full?: boolean } = {}): string[] {
  const args = new ParsedArgs(new Map(options.full ? [["no-trunc", []]] : []));
  const io = { columns, stdoutIsTerminal: options.terminal ?? true };
  return fittedTable(ROWS, { args, io }).trimEnd().split("\n");
}

Deno.test("fittedTable() shortens the widest columns when the terminal is narrower", () => {
  for (const columns of [40, 60, 80]) {
    const [heading, first, second] = lines(columns);
    for (const line of [heading!, first!, second!]) assert(line.length <= columns, line);
    assert(first!.includes("…"));
    // Ids that differ at the end stay different.
    assert(first!.split(" ")[0] !== second!.split(" ")[0]);
  }
});

Deno.test("fittedTable() prints full columns when they fit, with --no-trunc and without a terminal", () => {
  const full = lines(200);
  assertEquals(full.join("\n").includes("…"), false);
  assertEquals(lines(40, { full: true }), full);
  assertEquals(lines(40, { terminal: false }), full);
});
