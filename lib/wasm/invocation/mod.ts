/**
 * Calls to exported functions of plain numbers.
 *
 * @module
 */
export {
  describeFunctions,
  type ExportedFunction,
  findInvocation,
  formatResults,
  hintForFunctions,
  type Invocation,
  type InvocationRequest,
  parseArguments,
} from "./invocation.ts";
