import { assertEquals, assertThrows } from "@std/assert";
import { tempDir } from "../../../tests/fixtures/temp_dir.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { ItemLog } from "./item_log.ts";

const HEADER = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

const entry = {
  index: 3,
  node: ":",
  startedAt: 1_700_000_000_123,
  durationMs: 12,
  sentBytes: 0,
  receivedBytes: 5,
  exitStatus: 1,
  item: "tab\tand\nnewline",
};
const LINE = "3\t:\t1700000000.123\t0.012\t0\t5\t1\t0\ttab\\u0009and\\u000anewline\n";

Deno.test("ItemLog writes a line for each job and replaces an older log", async () => {
  await using temp = await tempDir();
  const path = `${temp.path}/log`;
  await Deno.writeTextFile(path, "older\n");
  using log = new ItemLog(path, { resume: false });
  log.add(entry);
  assertEquals(await Deno.readTextFile(path), HEADER + LINE);
});

Deno.test("ItemLog appends with resume, after the last complete line", async () => {
  await using temp = await tempDir();
  const path = `${temp.path}/log`;
  await Deno.writeTextFile(path, `${HEADER}${LINE}4\t:\t17000`);
  using log = new ItemLog(path, { resume: true });
  log.add(entry);
  assertEquals(await Deno.readTextFile(path), HEADER + LINE + LINE);
});

Deno.test("ItemLog refuses a path that cannot be written", () => {
  assertThrows(
    () => new ItemLog("/no/such/dir/log", { resume: false }),
    PlasmError,
    "Cannot write job log: file not found",
  );
});
