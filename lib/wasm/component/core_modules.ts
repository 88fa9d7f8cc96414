/**
 * Links the core modules of a component: checks the imports of each instance, and records the plan.
 *
 * @module
 */
import { type CoreModule, inspectCoreModule, type InspectLimits } from "../inspect.ts";
import type { ExternalKind } from "../import_section.ts";
import { badModule, quoteName } from "../reader.ts";
import type { CoreItem, InstancePlan } from "./plan.ts";
import { refuseLimits } from "./refusals.ts";

/** A core function, table, memory, global or tag. */
export interface CoreEntity {
  /** Its kind. */
  kind: ExternalKind;
  /** Its type, if it is a function. */
  signature?: string;
  /** Where it comes from. */
  item: CoreItem;
}

/** Most core instances. wit-component makes one for each module and one for each interface. */
const MAX_CORE_INSTANCES = 1000;

/** Largest sum of the imports and exports of all core instances. */
const MAX_CORE_ITEMS = 500_000;

/** The core modules of one component. */
export class CoreModules {
  /** Instances, in order. */
  readonly instances: InstancePlan[] = [];
  /** Ranges of the modules in the file. */
  readonly spans: { start: number; end: number }[] = [];
  /** What the inspection of the modules found. */
  readonly inspected: CoreModule[] = [];
  readonly #bytes: Uint8Array;
  readonly #limits: InspectLimits;
  readonly #numbers = new Map<number, number>();
  #itemsLeft = MAX_CORE_ITEMS;
  #memoryBytes = 0;

  constructor(bytes: Uint8Array, limits: InspectLimits) {
    this.#bytes = bytes;
    this.#limits = limits;
  }

  /** Adds a module and returns its number; one that is defined again has the same. */
  add({ start, end }: { start: number; end: number }): number {
    const known = this.#numbers.get(start);
    if (known !== undefined) return known;
    const module = this.#bytes.subarray(start, end);
    const number = this.inspected.push(inspectCoreModule(module, this.#limits)) - 1;
    this.spans.push({ start, end });
    this.#numbers.set(start, number);
    return number;
  }

  /** Instantiates a module with instances as arguments; returns its exports. */
  instantiate(
    module: number,
    args: ReadonlyMap<string, ReadonlyMap<string, CoreEntity>>,
  ): Map<string, CoreEntity> {
    const instance = this.instances.length;
    if (instance >= MAX_CORE_INSTANCES) {
      throw badModule(`it has more than ${MAX_CORE_INSTANCES} core instances`, {
        details: { allowed: MAX_CORE_INSTANCES },
      });
    }
    const inspected = this.inspected[module]!;
    this.#itemsLeft -= inspected.imports.length + inspected.exports.size;
    if (this.#itemsLeft < 0) {
      throw badModule(`its core instances have more than ${MAX_CORE_ITEMS} imports and exports`, {
        details: { allowed: MAX_CORE_ITEMS },
      });
    }
    this.#memoryBytes += inspected.memories.reduce((sum, one) => sum + one.initialBytes, 0);
    if (this.#memoryBytes > this.#limits.memoryBytes) {
      throw refuseLimits(this.#memoryBytes, this.#limits.memoryBytes);
    }
    let position = 0;
    const imports = inspected.imports.map(({ module: from, name, kind }) => {
      const found = args.get(from)?.get(name);
      const type = kind === "function" ? inspected.importedType(position++) : undefined;
      if (found?.kind !== kind) {
        throw badModule(
          `its core module ${module} imports ${kind} ${quoteName(from)}.${quoteName(name)}, ` +
            "which the component does not give it",
          { hint: "Build it with wasm-tools component new or another tool of WASI 0.2" },
        );
      }
      if (found.signature !== type) {
        throw badModule(
          `its core module ${module} imports ${quoteName(name)} as (${type}), ` +
            `the component gives (${found.signature})`,
          { hint: "The file is damaged; build it again" },
        );
      }
      return { module: from, name, item: found.item };
    });
    this.instances.push({ module, imports });
    const exports = new Map<string, CoreEntity>();
    for (const [name, { kind, index }] of inspected.exports) {
      const item: CoreItem = { kind: "export", instance, name };
      exports.set(name, {
        kind,
        item,
        get signature() {
          return kind === "function" ? inspected.functionType(index) : undefined!;
        },
      });
    }
    return exports;
  }
}
