/**
 * Replaces the clock of this process by a virtual one, which advances to the next timer as soon as nothing else is left
 * to do: a simulation then measures time that does not depend on the machine.
 *
 * @module
 */
import { setImmediate } from "node:timers";

interface Timer {
  at: number;
  call: () => void;
}

/** Handle of a timer, with the methods that npm packages use. */
type TimerHandle = { ref(): TimerHandle; unref(): TimerHandle };

/** Methods of WebCrypto that take real time. */
const CRYPTO = ["digest", "importKey", "exportKey", "sign", "verify"] as const;

/** Virtual clock. Only timers and WebCrypto may be waited for while it runs. */
export class VirtualClock implements Disposable {
  /** Time since the installation, in milliseconds. */
  #now = 0;
  readonly #timers = new Map<number, Timer[]>();
  /** Times of {@linkcode #timers} as a binary heap. */
  readonly #times: number[] = [];
  readonly #handles = new WeakMap<TimerHandle, Timer>();
  /** Calls of WebCrypto that have not returned. */
  #pending = 0;
  readonly #restore: (() => void)[] = [];

  /** Installs the clock until it is disposed. */
  constructor() {
    const realDate = Date;
    const start = realDate.now();
    const now = () => start + this.#now;
    const virtualDate = class extends realDate {
      constructor(...parts: unknown[]) {
        super(...(parts.length === 0 ? [now()] : parts) as [number]);
      }
      static override now = now;
    };
    const set = this.#set.bind(this);
    const clear = (handle?: TimerHandle) => {
      const timer = handle && this.#handles.get(handle);
      if (timer !== undefined) timer.call = () => {};
    };
    const timeout = (ms: number): AbortSignal => {
      const controller = new AbortController();
      set(() => controller.abort(new DOMException("Signal timed out", "TimeoutError")), ms);
      return controller.signal;
    };
    this.#replace(globalThis, { Date: virtualDate, setTimeout: set, clearTimeout: clear });
    this.#replace(performance, { now: () => this.#now });
    this.#replace(AbortSignal, { timeout });
    for (const name of CRYPTO) this.#countCalls(name);
  }

  /** Advances the clock until the work has ended. */
  async run<T>(work: Promise<T>): Promise<T> {
    let hasEnded = false;
    const ended = work.finally(() => hasEnded = true);
    ended.catch(() => {});
    for (;;) {
      do await new Promise((resolve) => setImmediate(resolve)); while (this.#pending > 0);
      if (hasEnded) return await ended;
      const time = this.#pop();
      if (time === undefined) throw new Error("Nothing is left that could end the work");
      this.#now = time;
      const due = this.#timers.get(time)!;
      this.#timers.delete(time);
      for (const timer of due) timer.call();
    }
  }

  [Symbol.dispose](): void {
    for (const restore of this.#restore) restore();
  }

  #set(call: (...rest: unknown[]) => void, ms: number = 0, ...rest: unknown[]): TimerHandle {
    const at = Math.ceil(this.#now + Math.max(ms, 1));
    const timer = { at, call: () => call(...rest) };
    const same = this.#timers.get(at);
    if (same === undefined) {
      this.#timers.set(at, [timer]);
      this.#push(at);
    } else same.push(timer);
    const handle: TimerHandle = { ref: () => handle, unref: () => handle };
    this.#handles.set(handle, timer);
    return handle;
  }

  #push(time: number): void {
    const heap = this.#times;
    let at = heap.push(time) - 1;
    for (let up = (at - 1) >> 1; at > 0 && heap[up]! > time; at = up, up = (at - 1) >> 1) {
      heap[at] = heap[up]!;
    }
    heap[at] = time;
  }

  #pop(): number | undefined {
    const heap = this.#times;
    const first = heap[0];
    const last = heap.pop();
    if (heap.length === 0 || last === undefined) return first;
    let at = 0;
    for (let down = 1; down < heap.length; down = 2 * at + 1) {
      if (down + 1 < heap.length && heap[down + 1]! < heap[down]!) down++;
      if (heap[down]! >= last) break;
      heap[at] = heap[down]!;
      at = down;
    }
    heap[at] = last;
    return first;
  }

  #countCalls(name: typeof CRYPTO[number]): void {
    const { subtle } = crypto;
    const call = (subtle[name] as (...rest: unknown[]) => Promise<unknown>).bind(subtle);
    const counted = async (...rest: unknown[]): Promise<unknown> => {
      this.#pending++;
      try {
        return await call(...rest);
      } finally {
        this.#pending--;
      }
    };
    this.#replace(subtle, { [name]: counted });
  }

  #replace(target: object, members: Record<string, unknown>): void {
    for (const [name, value] of Object.entries(members)) {
      const before = Object.getOwnPropertyDescriptor(target, name);
      Object.defineProperty(target, name, { value, configurable: true, writable: true });
      this.#restore.push(() => {
        if (before === undefined) Reflect.deleteProperty(target, name);
        else Object.defineProperty(target, name, before);
      });
    }
  }
}
