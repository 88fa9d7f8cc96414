/**
 * The one error class, carried unchanged over every boundary: CLI, HTTP, wire and PHP.
 * @module
 */
import { ERROR_CODES, type ErrorCode, isErrorCode } from "./error_codes.ts";

export type { ErrorCode };

/** A value that JSON can say. */
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
   * @default {the code's own, see ERROR_CODES}
   */
  retryable?: boolean | undefined;
  /**
   * When a retry makes sense, in milliseconds from now.
   * @default {undefined}
   */
  retryAfterMs?: number | undefined;
  /**
   * The figures of the message, for programs.
   * @default {{}}
   */
  details?: Record<string, JsonValue> | undefined;
  /**
   * What led to this error; never leaves the process.
   * @default {undefined}
   */
  cause?: unknown;
}

/** How an error looks as JSON, on every boundary. */
export interface PlasmErrorJson {
  /** The stable code. */
  code: ErrorCode;
  /** What was asked and what is allowed. */
  message: string;
  /** What to do next. */
  hint?: string;
  /** Whether the same request may succeed later without a change. */
  retryable: boolean;
  /** When a retry makes sense, in milliseconds from now. */
  retryAfterMs?: number;
  /** The figures of the message. */
  details: Record<string, JsonValue>;
}

/**
 * An error with a stable code, a message that states what was asked and what is allowed, and what
 * to do next.
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
  /** When a retry makes sense, in milliseconds from now. */
  readonly retryAfterMs: number | undefined;
  /** The figures of the message, for programs. */
  readonly details: Record<string, JsonValue>;

  /** Makes an error of a code and a message in sentence case, without a period. */
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

  /** What crosses a boundary: never the stack, never the cause. */
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
   * Reads an error that came from outside. What is malformed becomes an `internal` or `protocol`
   * error rather than an exception.
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

  /** Makes a PlasmError of anything thrown; what is not one already becomes `internal`. */
  static from(error: unknown): PlasmError {
    if (error instanceof PlasmError) return error;
    if (error instanceof DOMException && error.name === "AbortError") {
      return new PlasmError("interrupted", "Stopped: the caller asked for it", { cause: error });
    }
    const text = error instanceof Error ? error.message : String(error);
    return new PlasmError("internal", `Unexpected fault: ${text}`, {
      hint: "Please report this with the command that led to it",
      cause: error,
    });
  }
}
