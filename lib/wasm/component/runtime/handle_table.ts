/**
 * Stores the handles of a component instance.
 * Source: WebAssembly/component-model design/mvp/CanonicalABI.md, resources.
 *
 * @module
 */
import type { ResourceType } from "../value_types.ts";
import { AbiError, type Handles, type ResourceValue } from "./canonical_abi.ts";

/** Most handles of one component instance. */
const MAX_HANDLES = 2 ** 18;

/** An entry of the table. */
interface Handle {
  resource: number;
  value: ResourceValue;
  isOwned: boolean;
}

/** Handles of one component instance. New ones get the lowest free number. */
export class HandleTable implements Handles {
  readonly #instance: number;
  readonly #table: (Handle | undefined)[] = [undefined];
  readonly #free: number[] = [];
  /** Number of handles that are lent to the instance for the calls in progress. */
  #borrowed = 0;

  /** @param instance Number of the component instance. */
  constructor(instance: number) {
    this.#instance = instance;
  }

  /** Number of handles that are lent to the instance. */
  get borrowed(): number {
    return this.#borrowed;
  }

  add(resource: ResourceType, value: ResourceValue): number {
    return this.#insert({ resource: resource.id, value, isOwned: true });
  }

  borrow(resource: ResourceType, value: ResourceValue): number {
    // A component gets its own resources as they are.
    if (resource.owner === this.#instance) return value.rep as number;
    this.#borrowed++;
    return this.#insert({ resource: resource.id, value, isOwned: false });
  }

  take(resource: ResourceType, handle: number): ResourceValue {
    const found = this.#find(resource, handle);
    if (!found.isOwned) throw new AbiError(`handle ${handle} is lent, and cannot be given away`);
    this.#remove(handle);
    return found.value;
  }

  lend(resource: ResourceType, handle: number): ResourceValue {
    return this.#find(resource, handle).value;
  }

  /** Removes a handle; returns what it represents if it was owned. */
  drop(resource: ResourceType, handle: number): ResourceValue | undefined {
    const { value, isOwned } = this.#find(resource, handle);
    this.#remove(handle);
    if (isOwned) return value;
    this.#borrowed--;
    return undefined;
  }

  #insert(handle: Handle): number {
    const free = this.#free.pop();
    if (free !== undefined) {
      this.#table[free] = handle;
      return free;
    }
    if (this.#table.length > MAX_HANDLES) {
      throw new AbiError(`it has more than ${MAX_HANDLES} handles`);
    }
    return this.#table.push(handle) - 1;
  }

  #find(resource: ResourceType, handle: number): Handle {
    const found = this.#table[handle];
    if (found?.resource === resource.id) return found;
    throw new AbiError(`${handle} is not a handle of ${resource.text}`);
  }

  #remove(handle: number): void {
    this.#table[handle] = undefined;
    this.#free.push(handle);
  }
}
