/**
 * Runs the daemon as a process: signals, systemd notification and reloading.
 * @module
 */
import type { LoadedConfig } from "../config/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { configureLogging, getLog } from "../core/log/mod.ts";
import { type Daemon, startDaemon, type StartDaemonOptions } from "./daemon.ts";
import type { NetworkContext } from "./peers/mod.ts";
import type { DaemonNetwork } from "./api/mod.ts";

/** Options of {@linkcode runService}. */
export interface ServiceOptions extends StartDaemonOptions {
  /** Reads the configuration, at start and on each reload. */
  load: () => Promise<LoadedConfig>;
  /** Called once the daemon accepts requests. */
  onReady?: ((daemon: Daemon) => void) | undefined;
}

/** Grace period for executors before a second signal exits regardless, in milliseconds. */
const HURRY_MS = 300;

const STOP_SIGNALS = ["SIGTERM", "SIGINT"] as const;

/** Exit status after a second stop signal: 128 + SIGTERM, as in a shell. */
const EXIT_HURRIED = 143;

/** Joins the network if it is enabled; imports it only then, because libp2p loads slowly. */
async function network(context: NetworkContext): Promise<DaemonNetwork | undefined> {
  if (!context.config().network.enabled) return undefined;
  return await (await import("./peers/mod.ts")).joinPeerNetwork(context);
}

/**
 * Runs a daemon until SIGTERM or SIGINT, then waits shutdown.grace_seconds for running jobs; a second signal stops
 * them and the process immediately.
 *
 * @throws {PlasmError} as {@linkcode startDaemon}
 */
export async function runService(options: ServiceOptions): Promise<number> {
  const env = options.env ?? ((name: string) => Deno.env.get(name));
  const origin = await options.load();
  const { config } = origin;
  configureLogging(config.log);
  using _ = logUnhandledRejections();
  const stop = Promise.withResolvers<void>();
  const starting = new AbortController();
  const hurry = new AbortController();
  const stopping = new AbortController();
  let signals = 0;
  const onStop = (): void => {
    signals++;
    starting.abort(new PlasmError("interrupted", "Stopped while starting"));
    stop.resolve();
    if (signals < 2) return;
    hurry.abort();
    setTimeout(() => Deno.exit(EXIT_HURRIED), HURRY_MS);
  };
  for (const name of STOP_SIGNALS) Deno.addSignalListener(name, onStop);
  let onReload: (() => void) | undefined;
  try {
    const daemon = await startDaemon(config, {
      network,
      origin,
      ...options,
      signal: starting.signal,
    });
    const notify = async (state: string): Promise<void> => {
      try {
        await notifySystemd(state, { socket: env("NOTIFY_SOCKET"), dir: `${daemon.stateDir}/run` });
      } catch (error) {
        getLog("daemon").warning("systemd-not-notified", { error: PlasmError.from(error) });
      }
    };
    onReload = () => void daemon.reload().catch(() => {}); // logged
    Deno.addSignalListener("SIGHUP", onReload);
    await notify("READY=1");
    options.onReady?.(daemon);
    const idleMs = config.shutdown.idle_seconds * 1000;
    if (idleMs > 0) {
      daemon.idle(idleMs, { signal: stopping.signal }).then(stop.resolve, () => {}); // a signal was first
    }
    await stop.promise;
    stopping.abort();
    await notify("STOPPING=1");
    await daemon.close({ signal: hurry.signal });
    return hurry.signal.aborted ? EXIT_HURRIED : 0;
  } finally {
    for (const name of STOP_SIGNALS) Deno.removeSignalListener(name, onStop);
    if (onReload !== undefined) Deno.removeSignalListener("SIGHUP", onReload);
  }
}

async function sendDatagram(target: string, state: string, dir: string): Promise<void> {
  // A sending datagram socket must be bound to a path.
  const own = `${dir}/notify.sock`;
  await Deno.remove(own).catch(() => {});
  const socket = Deno.listenDatagram({ transport: "unixpacket", path: own });
  try {
    await socket.send(new TextEncoder().encode(state), { transport: "unixpacket", path: target });
  } finally {
    socket.close();
    await Deno.remove(own).catch(() => {});
  }
}

async function runSystemdNotify(state: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("/usr/bin/systemd-notify", {
    args: [state],
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr).trim());
}

/** Options of {@linkcode notifySystemd}. */
export interface NotifyOptions {
  /** `$NOTIFY_SOCKET`; without it nothing is sent. */
  socket: string | undefined;
  /** Private directory for the sending socket. */
  dir: string;
}

/**
 * Reports a state to systemd, such as `READY=1` or `STOPPING=1`.
 *
 * @throws {PlasmError} `state` if it could not be reported
 */
export async function notifySystemd(state: string, options: NotifyOptions): Promise<void> {
  const { socket, dir } = options;
  if (!socket) return;
  try {
    // Deno has datagrams only with --unstable-net, and cannot address an abstract socket ("@").
    if (typeof Deno.listenDatagram === "function" && socket.startsWith("/")) {
      await sendDatagram(socket, state, dir);
    } else await runSystemdNotify(state);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PlasmError("state", `Cannot notify systemd of ${state}: ${reason}`, { cause: error });
  }
}

/**
 * Logs unhandled rejections instead of ending the process, which is Deno's default: libp2p leaves dangling promises that
 * a remote peer can make reject.
 */
export function logUnhandledRejections(): Disposable {
  const onRejection = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    getLog("daemon").error("promise-unhandled", { error: PlasmError.from(event.reason) });
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  return {
    [Symbol.dispose]: () => globalThis.removeEventListener("unhandledrejection", onRejection),
  };
}
