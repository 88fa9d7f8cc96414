/**
 * Awaits that the process of an executor has started.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { type Frame, FrameKind } from "../ipc/mod.ts";

/** How long a process may take to become ready, in ms: about 0.1 s natively, 2 s emulated. */
const START_TIMEOUT_MS = 60_000;

/** Options of {@linkcode ExecutorStart}. */
export interface ExecutorStartOptions {
  /** What the process sends. */
  frames: AsyncGenerator<Frame, void, void>;
  /** Asks the system to end it. */
  end: () => void;
  /** Ends it, if it has not ended, and tells why it did. */
  reason: () => Promise<string>;
}

/** What a process says before its first job. */
export class ExecutorStart {
  readonly #options: ExecutorStartOptions;
  #alive: Promise<boolean> | undefined;
  #ready: Promise<void> | undefined;

  constructor(options: ExecutorStartOptions) {
    this.#options = options;
  }

  /** Resolves once there is a process, to whether it is ready too. */
  alive(): Promise<boolean> {
    return this.#alive ??= this.#next([FrameKind.Alive, FrameKind.Ready])
      .then((kind) => kind === FrameKind.Ready);
  }

  /** Resolves once it waits for a job, or has begun with one that it was sent before. */
  ready(): Promise<void> {
    return this.#ready ??= this.alive().then(async (isReady) => {
      if (!isReady) await this.#next([FrameKind.Ready]);
    });
  }

  /** @throws {PlasmError} `executor` */
  async #next(kinds: readonly number[]): Promise<number> {
    const { frames, end, reason } = this.#options;
    const timeout = setTimeout(end, START_TIMEOUT_MS);
    try {
      const next = await frames.next();
      if (!next.done && kinds.includes(next.value.kind)) return next.value.kind;
      throw new PlasmError("executor", `Cannot start executor: ${await reason()}`, {
        hint: "Run plasm doctor",
      });
    } finally {
      clearTimeout(timeout);
    }
  }
}
