import { assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../errors/mod.ts";
import { configPaths, type Env, listenPath, socketPaths, stateDir } from "./paths.ts";

function env(variables: Record<string, string>): Env {
  return (name) => variables[name];
}

Deno.test("stateDir() returns the first path that is set", () => {
  const all = {
    PLASM_STATE_DIR: "own",
    STATE_DIRECTORY: "/var/lib/plasm:/var/lib/other",
    XDG_STATE_HOME: "/x",
    HOME: "/home/a",
  };
  assertEquals(stateDir(env(all)), "own");
  assertEquals(stateDir(env({ ...all, PLASM_STATE_DIR: "" })), "/var/lib/plasm");
  assertEquals(stateDir(env({ XDG_STATE_HOME: "/x", HOME: "/home/a" })), "/x/plasm");
  assertEquals(stateDir(env({ HOME: "/home/a" })), "/home/a/.local/state/plasm");
  const relative = env({ XDG_STATE_HOME: "x", HOME: "/home/a" });
  assertEquals(stateDir(relative), "/home/a/.local/state/plasm");
});

Deno.test("stateDir() names the variable to set when none is set", () => {
  const error = assertThrows(() => stateDir(env({})), PlasmError);
  assertEquals({ code: error.code, hasHint: error.hint?.includes("PLASM_STATE_DIR") }, {
    code: "state",
    hasHint: true,
  });
});

Deno.test("configPaths() returns the user's file after the administrator's", () => {
  const system = "/etc/plasm/config.jsonc";
  assertEquals(configPaths(env({})), [system]);
  assertEquals(configPaths(env({ HOME: "/h" })), [system, "/h/.config/plasm/config.jsonc"]);
  const xdg = env({ HOME: "/h", XDG_CONFIG_HOME: "/c" });
  assertEquals(configPaths(xdg), [system, "/c/plasm/config.jsonc"]);
});

Deno.test("socketPaths() returns the system's socket before the user's", () => {
  const system = "/run/plasm/plasm.sock";
  assertEquals(socketPaths(env({})), [system]);
  assertEquals(socketPaths(env({ XDG_RUNTIME_DIR: "/r" })), [system, "/r/plasm/plasm.sock"]);
  assertEquals(socketPaths(env({ XDG_RUNTIME_DIR: "r" })), [system]);
  assertEquals(socketPaths(env({ PLASM_SOCKET: "/s", XDG_RUNTIME_DIR: "/r" })), ["/s"]);
});

Deno.test("listenPath() returns a path that socketPaths() includes", () => {
  assertEquals(listenPath(env({ PLASM_SOCKET: "/s", RUNTIME_DIRECTORY: "/run/plasm" })), "/s");
  assertEquals(listenPath(env({ RUNTIME_DIRECTORY: "/run/plasm" })), "/run/plasm/plasm.sock");
  assertEquals(listenPath(env({ XDG_RUNTIME_DIR: "/r" })), "/r/plasm/plasm.sock");
  assertEquals(listenPath(env({})), "/run/plasm/plasm.sock");
});
