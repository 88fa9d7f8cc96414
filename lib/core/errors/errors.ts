/**
 * Defines the error class of plasm, which the CLI, HTTP, the wire and PHP carry unchanged.
 *
 * @module
 */
import { ERROR_CODES, type ErrorCode, isErrorCode } from "./error_codes.ts";

export type { ErrorCode };

/** A JSON value. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | JsonValue[]
  | { [key: string]: JsonValue };

/** Options of {@linkcode PlasmError}. */
export interface PlasmErrorOptions {
  /**
   * What to do next, as a sentence without a period.
   * @default {undefined}
   */
  hint?: string | undefined;
  /**
   * Whether the same request may succeed later without a change.
   * @default {the value of the code in ERROR_CODES}
   */
  retryable?: boolean | undefined;
  /**
   * When to retry, in milliseconds from now.
   * @default {undefined}
   */
  retryAfterMs?: number | undefined;
  /**
   * The figures of the message, for programs.
   * @default {{}}
   */
  details?: Record<string, JsonValue> | undefined;
  /**
   * The error that caused this one; never leaves the process.
   * @default {undefined}
   */
  cause?: unknown;
}

/** JSON form of an error. */
export interface PlasmErrorJson {
  /** The stable code. */
  code: ErrorCode;
  /** What failed, with what was requested and what is allowed. */
  message: string;
  /** What to do next. */
  hint?: string;
  /** Whether the same request may succeed later without a change. */
  retryable: boolean;
  /** When to retry, in milliseconds from now. */
  retryAfterMs?: number;
  /** The figures of the message. */
  details: Record<string, JsonValue>;
}

/** Names of the default reasons of an aborted signal: `abort()` and `AbortSignal.timeout()`. */
const ABORTS: readonly string[] = ["AbortError", "TimeoutError"];

/**
 * An error with a stable code, a message with figures, and a hint that names the next step.
 *
 * @example
 * ```ts
 * import { PlasmError } from "@plasm/plasm";
 * import { assertEquals } from "@std/assert";
 *
 * const error = new PlasmError("over-limit", "Cannot accept job: asked 4096 MB, node allows 1024 MB", {
 *   hint: "Lower resources.memory_mb",
 *   details: { asked: 4096, allowed: 1024 },
 * });
 * assertEquals(error.exitCode, 77);
 * assertEquals(error.toJSON().retryable, false);
 * ```
 */
export class PlasmError extends Error {
  /** The stable code. */
  readonly code: ErrorCode;
  /** What to do next. */
  readonly hint: string | undefined;
  /** Whether the same request may succeed later without a change. */
  readonly retryable: boolean;
  /** When to retry, in milliseconds from now. */
  readonly retryAfterMs: number | undefined;
  /** The figures of the message, for programs. */
  readonly details: Record<string, JsonValue>;

  /** Creates an error; the message is in sentence case, without a period. */
  constructor(code: ErrorCode, message: string, options: PlasmErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "PlasmError";
    this.code = code;
    this.hint = options.hint;
    this.retryable = options.retryable ?? ERROR_CODES[code].retryable;
    this.retryAfterMs = options.retryAfterMs;
    this.details = options.details ?? {};
  }

  /** Exit status of a command that ends with this error. */
  get exitCode(): number {
    return ERROR_CODES[this.code].exit;
  }

  /** HTTP status of a response that carries this error. */
  get httpStatus(): number {
    return ERROR_CODES[this.code].http;
  }

  /** JSON form for other processes, without stack and cause. */
  toJSON(): PlasmErrorJson {
    return {
      code: this.code,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      retryable: this.retryable,
      ...(this.retryAfterMs === undefined ? {} : { retryAfterMs: this.retryAfterMs }),
      details: this.details,
    };
  }

  /**
   * Parses an error from outside. Malformed input results in a `protocol` error instead of an exception.
   */
  static fromJSON(value: unknown): PlasmError {
    const record = typeof value === "object" && value !== null
      ? value as Record<string, unknown>
      : {};
    const { code, message, hint, retryable, retryAfterMs, details } = record;
    if (!isErrorCode(code) || typeof message !== "string") {
      return new PlasmError("protocol", "Cannot read error: it has no known code and message");
    }
    return new PlasmError(code, message, {
      hint: typeof hint === "string" ? hint : undefined,
      retryable: typeof retryable === "boolean" ? retryable : undefined,
      retryAfterMs: typeof retryAfterMs === "number" ? retryAfterMs : undefined,
      details: typeof details === "object" && details !== null && !Array.isArray(details)
        ? details as Record<string, JsonValue>
        : undefined,
    });
  }

  /** Converts anything thrown to a PlasmError; unknown errors become `internal`. */
  static from(error: unknown): PlasmError {
    if (error instanceof PlasmError) return error;
    if (error instanceof DOMException && ABORTS.includes(error.name)) return interrupted(error);
    const text = error instanceof Error ? error.message : String(error);
    return new PlasmError("internal", `Unexpected fault: ${text}`, {
      hint: "Report this as a bug, with the command that caused it",
      cause: error,
    });
  }
}

function interrupted(cause: unknown): PlasmError {
  return new PlasmError("interrupted", "Interrupted by the caller", { cause });
}

/** Error of an operation whose signal aborted: the reason if it is a PlasmError, otherwise `interrupted`. */
export function abortError(signal: AbortSignal): PlasmError {
  const { reason } = signal;
  return reason instanceof PlasmError ? reason : interrupted(reason);
}

/** Error of a failed operation: that of the signal if it has aborted, unless a PlasmError names another cause. */
export function errorOf(error: unknown, signal: AbortSignal | undefined): PlasmError {
  if (!signal?.aborted || error instanceof PlasmError) return PlasmError.from(error);
  return abortError(signal);
}
