/**
 * Defines the error codes: meaning, fault, exit status and HTTP status.
 *
 * Codes are a contract with the wire, the local API and the PHP SDK: a code may be added, never renamed.
 *
 * @module
 */

/** Which party can correct an error: the caller, the job's author, the node's operator, or the network. */
export type Fault = "caller" | "job" | "node" | "network";

/** One row of {@linkcode ERROR_CODES}. */
export interface ErrorCodeInfo {
  /** Meaning of the code, in one sentence. */
  meaning: string;
  /** Which party can correct it. */
  fault: Fault;
  /** Exit status of the command line. */
  exit: number;
  /** HTTP status of the local API. */
  http: number;
  /** Whether the same request may succeed later without a change. */
  retryable: boolean;
}

function row(
  meaning: string,
  fault: Fault,
  exit: number,
  http: number,
  retryable = false,
): ErrorCodeInfo {
  return { meaning, fault, exit, http, retryable };
}

/** A stable, kebab-case error code; see {@linkcode ERROR_CODES}. */
export type ErrorCode =
  | "usage"
  | "bad-manifest"
  | "bad-module"
  | "bad-input"
  | "bad-config"
  | "not-found"
  | "conflict"
  | "method-not-allowed"
  | "unsupported-media"
  | "too-large"
  | "slow-request"
  | "unauthorized"
  | "forbidden"
  | "policy"
  | "over-limit"
  | "queue-full"
  | "busy"
  | "job-timeout"
  | "job-trap"
  | "job-memory"
  | "job-output"
  | "job-fuel"
  | "interrupted"
  | "output-closed"
  | "bad-receipt"
  | "bad-identity"
  | "protocol"
  | "no-daemon"
  | "no-peer"
  | "disabled"
  | "peer-timeout"
  | "unreachable"
  | "state"
  | "executor"
  | "internal";

// Exit statuses follow sysexits.h (65 data, 69 unavailable, 70 software, 73 can't create, 75 try
// again, 76 protocol, 77 no permission, 78 config) and the shell (124 timeout(1), 128 + signal).
/** Every error code. */
export const ERROR_CODES: Readonly<Record<ErrorCode, ErrorCodeInfo>> = {
  "usage": row("The command line or the request is invalid", "caller", 2, 400),
  "bad-manifest": row("The manifest violates its schema", "caller", 65, 422),
  "bad-module": row("The module is not a WASI command that can be run", "caller", 65, 422),
  "bad-input": row(
    "An input of the job cannot be read or differs from its hash",
    "caller",
    65,
    422,
  ),
  "bad-config": row("The configuration violates its schema", "node", 78, 500),
  "not-found": row("The requested resource does not exist", "caller", 65, 404),
  "conflict": row("The state of the resource does not allow this", "caller", 65, 409),
  "method-not-allowed": row("The route does not support this method", "caller", 2, 405),
  "unsupported-media": row("The content type is not supported", "caller", 2, 415),
  "too-large": row("The content exceeds a size limit", "caller", 65, 413),
  "slow-request": row("The request did not arrive in time", "caller", 75, 408, true),
  "unauthorized": row("The bearer token is missing or wrong", "caller", 77, 401),
  "forbidden": row("The origin of the request is not allowed", "caller", 77, 403),
  "policy": row("The node's policy does not allow the job", "node", 77, 403),
  "over-limit": row("The job requests more than the node's ceilings", "caller", 77, 422),
  "queue-full": row("The queue of the node is full", "node", 75, 503, true),
  "busy": row("A required resource is in use", "node", 75, 503, true),
  "job-timeout": row("The job exceeded its time limit", "job", 124, 200),
  "job-trap": row("The job trapped", "job", 134, 200),
  "job-memory": row("The job exceeded its memory limit", "job", 137, 422),
  "job-output": row("The job exceeded its output limit", "job", 137, 200),
  "job-fuel": row("The job used up its fuel", "job", 137, 200),
  "interrupted": row("The operation was interrupted", "caller", 130, 499),
  "output-closed": row("The reader of standard output closed it", "caller", 141, 499),
  "bad-receipt": row("The receipt is invalid or does not match the job", "node", 76, 422),
  "bad-identity": row("The identity key cannot be used", "node", 78, 500),
  "protocol": row("The other side violated the protocol", "network", 76, 502),
  "no-daemon": row("No daemon responds", "node", 69, 503, true),
  "no-peer": row("No peer can be reached or accepts the job", "network", 69, 503, true),
  "disabled": row("The node's configuration has this off", "node", 69, 409),
  "peer-timeout": row("The peer did not respond in time", "network", 75, 504, true),
  "unreachable": row("A server does not respond as expected", "network", 69, 502, true),
  "state": row("The state directory cannot be used", "node", 73, 507),
  "executor": row("The executor process failed", "node", 70, 500, true),
  "internal": row("plasm has a bug", "node", 70, 500),
};

/** Reports whether a value from outside is an error code. */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(ERROR_CODES, value);
}
