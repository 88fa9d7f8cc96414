/**
 * Modules that exit, each in its way.
 * @module
 */
import { command, type HostileModule } from "./case.ts";
import { assemble } from "./wat.ts";

/** The ones in use by timeout(1), shells and our own command line are the job's to use too. */
const CODES = [0, 1, 2, 42, 65, 124, 126, 127, 134, 137, 255, 256, 70_000, 4_294_967_295];

function exit(name: string, what: string, code: string, exitCode: number): HostileModule {
  return {
    name: `exit-${name}`,
    what,
    bytes: () => assemble(command(code, { uses: ["proc_exit"], fields: "(tag $unused)" })),
    expect: { status: "exited", exitCode },
  };
}

/** Modules that exit, each in its way. */
export const EXITS: readonly HostileModule[] = [
  ...CODES.map((code) =>
    exit(`${code}`, `Exits with ${code}`, `(call $proc_exit (i32.const ${code}))`, code)
  ),
  exit("return", "Returns from _start", "", 0),
  exit(
    "caught",
    "Tries to catch the end of its own process, then would loop for ever",
    `(loop $again
      (try (do (call $proc_exit (i32.const 3))) (catch_all))
      (br $again))`,
    3,
  ),
  exit(
    "deep",
    "Exits from inside nested calls",
    `(try (do (try (do (call $proc_exit (i32.const 9))) (catch_all (rethrow 0)))) (catch_all))
     (call $proc_exit (i32.const 8))`,
    9,
  ),
  {
    name: "exit-in-start-function",
    what: "Exits in the start function, before _start",
    bytes: () =>
      assemble(command("unreachable", {
        uses: ["proc_exit"],
        fields: `(func $start (call $proc_exit (i32.const 5))) (start $start)`,
      })),
    expect: { status: "exited", exitCode: 5 },
  },
];
