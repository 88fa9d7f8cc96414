/**
 * The error class and its table of codes. A component of its own, so that code that starts fast or runs without permissions
 * (the child process, its worker) does not load the rest of core.
 *
 * @module
 */
export { ERROR_CODES, type ErrorCodeInfo, type Fault, isErrorCode } from "./error_codes.ts";
export {
  type ErrorCode,
  type JsonValue,
  PlasmError,
  type PlasmErrorJson,
  type PlasmErrorOptions,
} from "./errors.ts";
