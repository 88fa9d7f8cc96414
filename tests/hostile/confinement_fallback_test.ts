/**
 * Tests executors on systems that deny parts of the confinement: they run without it and print no warning.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { probeConfinement } from "../../lib/sandbox/host/spawn/confinement.ts";
import { plasm, programCommand } from "../fixtures/plasm.ts";

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);

/** Runs the given command in a namespace that allows no nested one. */
const WITHOUT_NAMESPACES = [
  "/usr/bin/unshare",
  "--user",
  "--map-root-user",
  "/usr/bin/bash",
  "-c",
  'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"',
  "bash",
];

/** Runs the given command where only programs allowed by the package's systemd unit can be started. */
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

const DENIALS = [
  { what: "namespaces", denial: WITHOUT_NAMESPACES, left: { closes: true, namespaces: false } },
  { what: "programs", denial: WITHOUT_PROGRAMS, left: { closes: false, namespaces: false } },
];

const CONFINEMENT = new URL("../../lib/sandbox/host/spawn/confinement.ts", import.meta.url).href;

for (const { what, denial, left } of DENIALS) {
  Deno.test(`plasm exec runs a job when the system denies ${what}`, async () => {
    if (probeConfinement()?.namespaces !== true) {
      console.warn("SKIPPED: the system denies the namespace for this test");
      return;
    }
    const flags = ["run", "-q", "--no-prompt", "--allow-run=/usr/bin/setpriv", "-"];
    const found = await plasm(flags, {
      stdin: `import { probeConfinement } from "${CONFINEMENT}";
        console.log(JSON.stringify(probeConfinement()));`,
      program: [...denial, Deno.execPath()],
    });
    // The rest of the confinement is still available.
    assertEquals(found.stderr, "");
    assertEquals(JSON.parse(found.stdout), left);
    const { code, stdout, stderr } = await plasm(["exec", HELLO], {
      stdin: "abc",
      program: [...denial, ...programCommand()],
    });
    assertEquals({ code, stdout, stderr }, { code: 0, stdout: "cba", stderr: "" });
  });
}
