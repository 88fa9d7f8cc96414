/**
 * Every error code there is: what it means, whose fault it is, how a process exits with it and
 * how HTTP says it. Codes are a contract with the wire, the local API and the PHP SDK: a code may be
 * added, never renamed.
 * @module
 */

/** Who can mend an error: the caller, the job's author, the node's operator, or the network. */
export type Fault = "caller" | "job" | "node" | "network";

/** One row of {@linkcode ERROR_CODES}. */
export interface ErrorCodeInfo {
  /** What the code means, in one sentence. */
  meaning: string;
  /** Who can mend it. */
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

/** A stable, kebab-case error code; {@linkcode ERROR_CODES} says what each means. */
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
  | "interrupted"
  | "output-closed"
  | "bad-receipt"
  | "bad-identity"
  | "protocol"
  | "no-daemon"
  | "no-peer"
  | "peer-timeout"
  | "state"
  | "executor"
  | "internal";

// Exit statuses follow sysexits.h (65 data, 69 unavailable, 70 software, 73 can't create, 75 try
// again, 76 protocol, 77 no permission, 78 config) and the shell (124 timeout(1), 128 + signal).
/** What each code means. */
export const ERROR_CODES: Readonly<Record<ErrorCode, ErrorCodeInfo>> = {
  "usage": row("The command line or the request is not understood", "caller", 2, 400),
  "bad-manifest": row("The manifest does not follow its schema", "caller", 65, 422),
  "bad-module": row("The module is not a WASI command that can be run", "caller", 65, 422),
  "bad-input": row(
    "An input of the job cannot be read or differs from its hash",
    "caller",
    65,
    422,
  ),
  "bad-config": row("The configuration does not follow its schema", "node", 78, 500),
  "not-found": row("There is no such thing", "caller", 65, 404),
  "conflict": row("The thing is not in a state that allows this", "caller", 65, 409),
  "method-not-allowed": row("The route does not take this method", "caller", 2, 405),
  "unsupported-media": row("The content type is not one that is taken", "caller", 2, 415),
  "too-large": row("What was sent is over a size limit", "caller", 65, 413),
  "slow-request": row("The request did not arrive in time", "caller", 75, 408, true),
  "unauthorized": row("The bearer token is missing or wrong", "caller", 77, 401),
  "forbidden": row("The request comes from where it may not", "caller", 77, 403),
  "policy": row("The node's policy does not allow the job", "node", 77, 403),
  "over-limit": row("The job asks for more than the node ever gives", "caller", 77, 422),
  "queue-full": row("The node has no room for another job now", "node", 75, 503, true),
  "busy": row("Something else holds what is needed", "node", 75, 503, true),
  "job-timeout": row("The job ran longer than its time limit", "job", 124, 200),
  "job-trap": row("The job trapped", "job", 134, 200),
  "job-memory": row("The job needed more memory than its limit", "job", 137, 200),
  "job-output": row("The job wrote more than its output limit", "job", 137, 200),
  "interrupted": row("The work was stopped before its end", "caller", 130, 499),
  "output-closed": row("The reader of standard output went away", "caller", 141, 499),
  "bad-receipt": row("The receipt does not prove what it should", "node", 76, 422),
  "bad-identity": row("The identity key cannot be used", "node", 78, 500),
  "protocol": row("The other side does not keep to the protocol", "network", 76, 502),
  "no-daemon": row("No daemon answers", "node", 69, 503, true),
  "no-peer": row("No peer can be reached or runs such a job", "network", 69, 503, true),
  "peer-timeout": row("The peer did not answer in time", "network", 75, 504, true),
  "state": row("The state directory cannot be used", "node", 73, 507),
  "executor": row("The process around the job failed", "node", 70, 500, true),
  "internal": row("plasm has a fault", "node", 70, 500),
};

/** Tells whether a string from outside is one of our codes. */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(ERROR_CODES, value);
}
