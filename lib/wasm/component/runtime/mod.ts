/**
 * Runs linked components: instances, canonical ABI and handles.
 *
 * @module
 */
export {
  AbiError,
  type ComponentValue,
  type ResourceValue,
  type VariantValue,
} from "./canonical_abi.ts";
export { type ComponentHost, ComponentInstance, type HostFunction } from "./component_instance.ts";
