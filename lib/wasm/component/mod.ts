/**
 * Reads components of WASI 0.2: decodes and links them, and inspects their core modules.
 *
 * @module
 */
export {
  coreModulesOf,
  inspectComponent,
  linkInspected,
  numberSection,
} from "./inspect_component.ts";
export { type ComponentPlan, type LiftedFunction } from "./plan.ts";
export { type FunctionType, type ValueType } from "./value_types.ts";
export { isDenied, wasiFunctions } from "./wasi_functions.ts";
