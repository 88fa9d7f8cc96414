/**
 * Reads the fuel of a job's instances.
 *
 * @module
 */

/** Name of the exported fuel, before the number that makes it unique. */
const FUEL = "fuel";

/**
 * Fuel of the instances of one job. Each counts its own instructions from the whole limit; what they have used
 * together is compared with it at each call of the host, and at the end.
 */
export class FuelGauge {
  readonly #limit: bigint;
  readonly #left: WebAssembly.Global[] = [];

  /** @param limit Instructions that the job may execute. */
  constructor(limit: number) {
    this.#limit = BigInt(limit);
  }

  /** Fuel that is left at the last checkpoint of each instance; negative if it is used up. */
  left(): bigint {
    // Written out for the one instance of a module: guests may call the host a million times a second.
    if (this.#left.length === 1) return this.#left[0]!.value;
    return this.#left.reduce((left, { value }) => left - (this.#limit - value), this.#limit);
  }

  /**
   * Adds an instance of a module that lib/wasm/instrument has rewritten to count, and runs its start function, which
   * its instantiation does not.
   */
  add({ exports }: WebAssembly.Instance): void {
    const [name, fuel] = Object.entries(exports).at(-1) as [string, WebAssembly.Global];
    this.#left.push(fuel);
    const start = exports[`start${name.slice(FUEL.length)}`] as (() => void) | undefined;
    start?.();
  }
}
