/**
 * Tells systemd how the service is doing (sd_notify(3)).
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";

async function sendDatagram(target: string, state: string, dir: string): Promise<void> {
  // A datagram socket of ours needs a name of its own to send from.
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
  /** `$NOTIFY_SOCKET`; without it nothing is told. */
  socket: string | undefined;
  /** A private directory for the sending end. */
  dir: string;
}

/**
 * Tells systemd a state, such as `READY=1` or `STOPPING=1`.
 *
 * @throws {PlasmError} `state` when it could not be told
 */
export async function notifySystemd(state: string, options: NotifyOptions): Promise<void> {
  const { socket, dir } = options;
  if (!socket) return;
  try {
    // Deno has datagrams only with --unstable-net, and no way to name an abstract socket ("@").
    if (typeof Deno.listenDatagram === "function" && socket.startsWith("/")) {
      await sendDatagram(socket, state, dir);
    } else await runSystemdNotify(state);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PlasmError("state", `Cannot tell systemd ${state}: ${reason}`, { cause: error });
  }
}
