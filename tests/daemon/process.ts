/**
 * A daemon as a real process, started from the command line.
 * @module
 */
import { assertEquals } from "@std/assert";
import { spawnPlasm } from "../plasm.ts";

/** Options of {@linkcode DaemonProcess.start}. */
export interface DaemonProcessOptions {
  /** Directory for state and socket. */
  dir: string;
  /** Keys of the configuration. @default {{}} */
  set?: Record<string, string | number>;
  /** Environment besides what a daemon needs. @default {{}} */
  env?: Record<string, string>;
  /** The program and its first arguments. @default {`programCommand()`} */
  program?: readonly string[];
}

type LogLine = Record<string, unknown> & { event: string };

/** Variables that keep a command line in a directory. */
export function environment(dir: string): Record<string, string> {
  return {
    PLASM_STATE_DIR: `${dir}/state`,
    PLASM_SOCKET: `${dir}/plasm.sock`,
    XDG_CONFIG_HOME: dir,
  };
}

/** A daemon's process and its log. */
export class DaemonProcess implements AsyncDisposable {
  readonly socket: string;
  readonly #child: Deno.ChildProcess;
  readonly #lines: LogLine[] = [];
  readonly #reading: Promise<void>;
  #waiters: (() => void)[] = [];
  #ended = false;

  private constructor(child: Deno.ChildProcess, socket: string) {
    this.#child = child;
    this.socket = socket;
    this.#reading = this.#read();
  }

  /** Starts a daemon and waits until it answers. */
  static async start(options: DaemonProcessOptions): Promise<DaemonProcess> {
    const started = await DaemonProcess.spawn(options);
    await started.untilEvent("daemon-started");
    return started;
  }

  /** Starts a daemon and waits for nothing. */
  static async spawn(options: DaemonProcessOptions): Promise<DaemonProcess> {
    const { dir, set = {}, env = {}, program } = options;
    const flags = Object.entries(set).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
    const args = ["daemon", "--log-format", "json", ...flags];
    const child = spawnPlasm(args, {
      env: { ...environment(dir), ...env },
      ...(program === undefined ? {} : { program }),
    });
    await child.stdin.close();
    return new DaemonProcess(child, `${dir}/plasm.sock`);
  }

  async #read(): Promise<void> {
    let rest = "";
    const text = this.#child.stderr.pipeThrough(new TextDecoderStream());
    const drained = this.#child.stdout.pipeTo(new WritableStream());
    for await (const part of text) {
      const lines = (rest + part).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        this.#lines.push(line.startsWith("{") ? JSON.parse(line) : { event: "text", text: line });
      }
      for (const wake of this.#waiters.splice(0)) wake();
    }
    await drained;
    this.#ended = true;
    for (const wake of this.#waiters.splice(0)) wake();
  }

  /** Process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** The log so far. */
  get log(): readonly LogLine[] {
    return this.#lines;
  }

  /** Waits for the first line of an event. */
  untilEvent(event: string): Promise<LogLine> {
    return this.untilLine((line) => line.event === event);
  }

  /** Waits for a line of the log. */
  async untilLine(matches: (line: LogLine) => boolean): Promise<LogLine> {
    while (true) {
      const line = this.#lines.find(matches);
      if (line !== undefined) return line;
      assertEquals(this.#ended, false, `no such line in ${JSON.stringify(this.#lines)}`);
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** Sends a signal. */
  signal(name: Deno.Signal): void {
    this.#child.kill(name);
  }

  /** Waits for its end. */
  async ended(): Promise<Deno.CommandStatus> {
    const status = await this.#child.status;
    await this.#reading;
    return status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch { /* it has ended */ }
    await this.ended();
  }
}
