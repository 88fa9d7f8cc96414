/**
 * Plans where a function body counts.
 *
 * Counting every block where it begins costs up to 1.4 times the time. Instead, instructions are counted ahead: at the
 * start of a function or loop iteration for one way through it. Where control flow takes another way, the difference is
 * corrected. What has been counted ahead is known at each place, so that the count at every checkpoint is exact.
 *
 * In innermost loops without calls, the expected way is that of the next iteration: no `br_if` branches, and every `if`
 * has a true condition. Elsewhere it is the one whose corrections need no further block: a `br_if` branches, and an `if`
 * without `else` is skipped.
 *
 * @module
 */
import { BLOCK, EVENT, type FuelEventReader } from "./fuel_events.ts";
import { IntList } from "./int_list.ts";

/** Number of branches in a row after a call that are looked at. */
const MAX_BRANCHES = 8;

/** Numbers of instructions that are counted ahead, for one body. */
export class FuelPlan {
  /** By event: after its instruction, on the way that the plan expects, before any correction. */
  readonly executed: IntList = new IntList();
  /** By event: after its instruction if control flow does not branch, after any correction. */
  readonly after: IntList = new IntList();
  /** By block: at its label, before the correction there. */
  readonly atLabel: IntList = new IntList();
  /** Numbers of the open blocks. The blocks are read backwards, so that each begins with its end. */
  readonly #open = new IntList();
  /** What is counted ahead for the time after the loops around each open block. */
  readonly #outer = new IntList();
  /** 1 for each open block whose surroundings are in an innermost loop without calls. */
  readonly #tight = new IntList();

  /** Plans the body that was read last. */
  plan(events: FuelEventReader): void {
    const count = events.kinds.length;
    this.executed.resize(count);
    this.after.resize(count);
    this.atLabel.resize(events.blocks.length);
    const [kinds, args, costs] = [events.kinds.values, events.args.values, events.costs.values];
    const blocks = events.blocks.values;
    const [executed, after] = [this.executed.values, this.after.values];
    const atLabel = this.atLabel.values;
    const open = this.#open;
    open.length = this.#outer.length = this.#tight.length = 0;
    // What is counted ahead for the time after the loops around the current place, and in total.
    let outer = 0;
    let ahead = 0;
    // 1 in an innermost loop without calls.
    let tight = 0;
    for (let at = count - 1; at >= 0; at--) {
      const arg = args[at]!;
      after[at] = ahead;
      switch (kinds[at]) {
        case EVENT.END: {
          open.push(arg);
          this.#outer.push(outer);
          this.#tight.push(tight);
          const properties = blocks[arg]!;
          const isLoop = (properties & BLOCK.LOOP) !== 0;
          if (isLoop) {
            outer = ahead;
            tight = (properties & BLOCK.CALLS) === 0 ? 1 : 0;
          }
          // The targets of a table have the same number, whatever surrounds them.
          const resets = (properties & BLOCK.TABLE_TARGET) !== 0;
          atLabel[arg] = resets ? 0 : ahead;
          if (!isLoop) ahead = atLabel[arg]!;
          break;
        }
        case EVENT.ELSE:
        case EVENT.CATCH:
          ahead = atLabel[open.values[open.length - 1]!]!;
          break;
        case EVENT.IF:
        case EVENT.BLOCK:
          open.length--;
          this.#outer.length--;
          tight = this.#tight.values[--this.#tight.length]!;
          if (kinds[at] === EVENT.BLOCK || tight === 1) break;
          // Without an else, the way around it has no place for a correction.
          if ((blocks[arg]! & BLOCK.ELSE) === 0 && !isGlobal(blocks, arg)) ahead = atLabel[arg]!;
          break;
        case EVENT.LOOP:
          ahead = atLabel[arg]!;
          open.length--;
          tight = this.#tight.values[--this.#tight.length]!;
          outer = this.#outer.values[--this.#outer.length]!;
          break;
        case EVENT.BRANCH_IF:
        case EVENT.BRANCH_ON: {
          const number = open.values[arg]!;
          // No instructions can be inserted into a branch that takes values, and few are to be into others.
          const fixed = kinds[at] === EVENT.BRANCH_ON || (blocks[number]! & BLOCK.VALUES) !== 0 ||
            (tight === 0 && !followsCall(events, at));
          if (fixed && !isGlobal(blocks, number)) ahead = atLabel[number]!;
          break;
        }
        case EVENT.BRANCH:
          ahead = atLabel[open.values[arg]!]!;
          break;
        case EVENT.CALL:
          // The global variable is stored before it: as it is, if nothing is counted ahead.
          if (arg === 1) ahead = 0;
          break;
        case EVENT.BRANCH_TABLE:
        case EVENT.LEAVE:
          ahead = 0;
          break;
      }
      executed[at] = ahead;
      ahead += costs[at]!;
    }
  }
}

/** Whether nothing but branches is between an event and the last call, so that the local variable is not current. */
function followsCall({ kinds, args }: FuelEventReader, at: number): boolean {
  let before = at - 1;
  while (before >= 0 && kinds.values[before] === EVENT.BRANCH_IF && at - before <= MAX_BRANCHES) {
    before--;
  }
  return before >= 0 && kinds.values[before] === EVENT.CALL && args.values[before] === 1;
}

/** Whether the global variable is current at a block's label, instead of the local one. */
export function isGlobal(blocks: Int32Array, number: number): boolean {
  return number === 0 || (blocks[number]! & BLOCK.HANDLED) !== 0;
}
