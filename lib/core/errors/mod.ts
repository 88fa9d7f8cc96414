/**
 * The error class and its table of codes.
 *
 * Separate from core, so that the child process and its worker load nothing else.
 *
 * @module
 */
export { ERROR_CODES, type ErrorCodeInfo, type Fault, isErrorCode } from "./error_codes.ts";
export {
  abortError,
  type ErrorCode,
  errorOf,
  type JsonValue,
  PlasmError,
  type PlasmErrorJson,
  type PlasmErrorOptions,
} from "./errors.ts";
