/**
 * The new places of functions: chosen ones change places with those that stand first, and those that
 * are not to stand there, where there are not enough of the former, with fillers behind the last.
 * @module
 */

/** An order of functions; indices count imported ones, which stay. */
export interface FunctionOrder {
  /** How many functions are imported. */
  imported: number;
  /** How many functions that are never called come after the last. */
  fillers: number;
  /** Whether anything has another index now. */
  changes: boolean;
  /** The new index of a function. Its own inverse, for all that moves changes places in pairs. */
  index(old: number): number;
}

/** Options of {@linkcode orderFunctions}. */
export interface OrderOptions {
  /** How many functions are imported. */
  imported: number;
  /** How many functions have a body. */
  count: number;
  /** How many places there are in front. */
  places: number;
}

/**
 * The order in which `chosen`, no more than there are places, are those that stand in front.
 * Indices in `chosen` do not count imported functions.
 */
export function orderFunctions(
  chosen: readonly number[],
  { imported, count, places }: OrderOptions,
): FunctionOrder {
  const wanted = new Set(chosen);
  const arriving = chosen.filter((index) => index >= places);
  const leaving = Array.from({ length: Math.min(places, count) }, (_, place) => place)
    .filter((place) => !wanted.has(place));
  const moved = new Map<number, number>();
  const behind = Math.max(count, places);
  let last = behind;
  for (const place of leaving) {
    const other = arriving.shift() ?? last++;
    moved.set(imported + place, imported + other);
    moved.set(imported + other, imported + place);
  }
  const fillers = last === behind ? 0 : last - count;
  return { imported, fillers, changes: moved.size > 0, index: (old) => moved.get(old) ?? old };
}
