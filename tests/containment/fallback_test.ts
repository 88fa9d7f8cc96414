/**
 * Executors where the system refuses what would confine them: they run without, and say nothing.
 * @module
 */
import { assertEquals, assertNotEquals } from "@std/assert";
import { confinement } from "../../lib/sandbox/confinement.ts";
import { plasm, programCommand } from "../plasm.ts";

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);

/** Becomes the command after it, in a namespace that allows none below it. */
const WITHOUT_NAMESPACES = [
  "/usr/bin/unshare",
  "--user",
  "--map-root-user",
  "/usr/bin/bash",
  "-c",
  'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"',
  "bash",
];

/** Becomes the command after it, with neither bash nor unshare to be found where they were. */
const WITHOUT_PROGRAMS = [
  "/usr/bin/unshare",
  "--user",
  "--map-root-user",
  "--mount",
  "/usr/bin/bash",
  "-c",
  'mount --bind /dev/null /usr/bin/unshare && mount --bind /dev/null /usr/bin/bash && exec "$@"',
  "bash",
];

const REFUSALS = { namespaces: WITHOUT_NAMESPACES, "bash and unshare": WITHOUT_PROGRAMS };

for (const [what, refusal] of Object.entries(REFUSALS)) {
  Deno.test(`a job runs where there are no ${what}`, async () => {
    if (confinement()?.namespaces !== true) {
      console.warn("SKIPPED: the system refuses the namespace to refuse them in");
      return;
    }
    const namespace = ["/usr/bin/env", "/usr/bin/unshare", "--user", "--", "/usr/bin/true"];
    assertNotEquals((await plasm(namespace, { program: refusal })).code, 0);
    const { code, stdout, stderr } = await plasm(["exec", HELLO], {
      stdin: "abc",
      program: [...refusal, ...programCommand()],
    });
    assertEquals({ code, stdout, stderr }, { code: 0, stdout: "cba", stderr: "" });
  });
}
