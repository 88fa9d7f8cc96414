/**
 * Runs in the place of an executor, as confined and with as few permissions, and tells on stdout
 * what it can still do: as JSON, before and after it gives its permissions up.
 * @module
 */
import { dropPermissions } from "../../lib/sandbox/executor_main.ts";

/** What the probe found. */
export interface ProbeReport {
  /** Permissions that are granted as a whole. */
  granted: string[];
  /** What each attempt on the host answered: `done`, or the name of the error. */
  attempts: Record<string, string>;
}

const NAMES = ["read", "write", "net", "env", "sys", "run", "ffi", "import"] as const;

const ATTEMPTS: Record<string, () => unknown> = {
  "read plasm's code": () => Deno.readTextFileSync(new URL("../../lib/errors.ts", import.meta.url)),
  "read /etc/hostname": () => Deno.readTextFileSync("/etc/hostname"),
  "write to /tmp": () => Deno.makeTempFileSync(),
  "read the environment": () => Deno.env.toObject(),
  "run a program": () => new Deno.Command("/usr/bin/true").outputSync(),
  "listen": () => Deno.listen({ hostname: "127.0.0.1", port: 0 }).close(),
  "name the host": () => Deno.hostname(),
  "load a library": () => Deno.dlopen("libc.so.6", {}).close(),
  "connect": async () => (await Deno.connect({ hostname: "127.0.0.1", port: PORT })).close(),
  "import a module": () => import(`http://127.0.0.1:${PORT}/module.ts`),
};

/** A port of the test's that listens. */
const PORT = Number(Deno.args[0]);

async function look(): Promise<ProbeReport> {
  const granted = [];
  for (const name of NAMES) {
    const { state } = await Deno.permissions.query({ name } as Deno.PermissionDescriptor);
    // With --no-prompt what would be asked for is refused: the attempts show it.
    if (state === "granted") granted.push(name);
  }
  const attempts: ProbeReport["attempts"] = {};
  for (const [name, attempt] of Object.entries(ATTEMPTS)) {
    try {
      await attempt();
      attempts[name] = "done";
    } catch (error) {
      attempts[name] = error instanceof Error ? error.name : String(error);
    }
  }
  return { granted, attempts };
}

const before = await look();
dropPermissions();
console.log(JSON.stringify([before, await look()]));
