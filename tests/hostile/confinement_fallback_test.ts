/**
 * Executors where the system refuses what would confine them: they run without, and say nothing.
 * @module
 */
import { assertEquals } from "@std/assert";
import { probeConfinement } from "../../lib/sandbox/host/spawn/confinement.ts";
import { plasm, programCommand } from "../fixtures/plasm.ts";

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

/** Becomes the command after it, where no other program may be started than the package's unit lets. */
const WITHOUT_PROGRAMS = [
  "/usr/bin/unshare",
  "--user",
  "--map-root-user",
  "--mount",
  "/usr/bin/bash",
  "-c",
  "mount --bind /dev/null /usr/bin/true && mount --bind /dev/null /usr/bin/unshare && " +
  'mount --bind /dev/null /usr/bin/bash && exec "$@"',
  "bash",
];

const REFUSALS = [
  { what: "namespaces", refusal: WITHOUT_NAMESPACES, left: { closes: true, namespaces: false } },
  { what: "programs", refusal: WITHOUT_PROGRAMS, left: { closes: false, namespaces: false } },
];

const CONFINEMENT = new URL("../../lib/sandbox/host/spawn/confinement.ts", import.meta.url).href;

for (const { what, refusal, left } of REFUSALS) {
  Deno.test(`a job runs where there are no ${what}`, async () => {
    if (probeConfinement()?.namespaces !== true) {
      console.warn("SKIPPED: the system refuses the namespace to refuse them in");
      return;
    }
    const flags = ["run", "-q", "--no-prompt", "--allow-run=/usr/bin/setpriv", "-"];
    const found = await plasm(flags, {
      stdin: `import { probeConfinement } from "${CONFINEMENT}";
        console.log(JSON.stringify(probeConfinement()));`,
      program: [...refusal, Deno.execPath()],
    });
    // The rest of what confines it is still there.
    assertEquals([JSON.parse(found.stdout), found.stderr], [left, ""]);
    const { code, stdout, stderr } = await plasm(["exec", HELLO], {
      stdin: "abc",
      program: [...refusal, ...programCommand()],
    });
    assertEquals({ code, stdout, stderr }, { code: 0, stdout: "cba", stderr: "" });
  });
}
