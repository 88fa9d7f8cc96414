import { assertEquals } from "@std/assert";
import { withDaemon } from "./harness.ts";

Deno.test("a job goes from submission to a receipt", () =>
  withDaemon(async ({ call, submit, over }) => {
    const id = await submit(["echo"], { stdin: btoa("hello") });
    const job = await over(id);
    assertEquals([job["state"], job["status"], job["exit_code"]], ["finished", "exited", 0]);
    assertEquals((await call("GET", `/v1/jobs/${id}/stdout`)).text, "hello");
    const { json } = await call("GET", `/v1/jobs/${id}/receipt`);
    assertEquals(json["job_id"], id);
  }));
