/**
 * Writes function bodies with the instructions that count.
 *
 * The fuel left is in a global variable. A function counts in a local variable, which is the global one less what has
 * been counted ahead, and stores the exact number at checkpoints: before calls and instructions with a length, and
 * where the function is left.
 *
 * @module
 */
import { ByteWriter } from "../writer.ts";
import { BLOCK, EVENT, type FuelEventReader, LENGTH } from "./fuel_events.ts";
import { FuelPlan, isGlobal } from "./fuel_plan.ts";
import { IntList } from "./int_list.ts";

const I32 = 0x7f;
const I64 = 0x7e;
const EMPTY_TYPE = 0x40;

/** Largest number of items that is counted: more fuel than a job can have. */
const MAX_ITEMS = 2 ** 53;

/** Instructions that are inserted. */
const OP = {
  UNREACHABLE: 0x00,
  IF: 0x04,
  ELSE: 0x05,
  END: 0x0b,
  BR: 0x0c,
  SELECT: 0x1b,
  LOCAL_GET: 0x20,
  LOCAL_SET: 0x21,
  LOCAL_TEE: 0x22,
  GLOBAL_GET: 0x23,
  GLOBAL_SET: 0x24,
  I64_CONST: 0x42,
  I64_LT_S: 0x53,
  I64_LT_U: 0x54,
  I64_ADD: 0x7c,
  I64_SUB: 0x7d,
  I64_SHR_U: 0x88,
  I64_EXTEND_I32_U: 0xad,
} as const;

/** Writes bodies one after another. */
export class FuelCodeWriter {
  /** Offsets in the module where bytes were inserted into the last body; the first is the start of its code. */
  readonly places: IntList = new IntList();
  /** Offsets after the inserted bytes, relative to the written body. */
  readonly ends: IntList = new IntList();
  readonly #bytes: Uint8Array;
  readonly #events: FuelEventReader;
  /** Index of the global variable. */
  readonly #global: number;
  readonly #plan = new FuelPlan();
  readonly #code = new ByteWriter(0x10000);
  /** Numbers of the open blocks. */
  readonly #open = new IntList();
  /** What is counted ahead where each open `if` begins. */
  readonly #starts = new IntList();
  /** Whether the local variable is current. */
  #valid = false;
  /** What is counted ahead where the global variable was current, if the local one is not. */
  #base = 0;
  /** Whether the code cannot be reached. */
  #dead = false;
  #copied = 0;
  /** Index of the local variable for the fuel; those for lengths follow. */
  #fuel = 0;
  #usesWide = false;
  #usesNarrow = false;

  constructor(bytes: Uint8Array, options: { events: FuelEventReader; global: number }) {
    this.#bytes = bytes;
    this.#events = options.events;
    this.#global = options.global;
  }

  /** Writes the body that was read last, without its size. */
  write(writer: ByteWriter, end: number): void {
    const { groups, groupsStart, codeStart, count } = this.#events.locals;
    this.#code.clear();
    this.places.length = this.ends.length = 0;
    this.#copied = codeStart;
    this.#mark();
    this.#fuel = count;
    this.#usesWide = this.#usesNarrow = false;
    this.#plan.plan(this.#events);
    this.#writeCode();
    this.#copyTo(end);
    const narrow = this.#usesNarrow || this.#usesWide;
    writer.u32(groups + 1 + (narrow ? 1 : 0) + (this.#usesWide ? 1 : 0));
    writer.copy(this.#bytes, groupsStart, codeStart);
    writer.u32(1);
    writer.byte(I64);
    if (narrow) {
      writer.u32(1);
      writer.byte(I32);
    }
    if (this.#usesWide) {
      writer.u32(1);
      writer.byte(I64);
    }
    const headerBytes = writer.length;
    for (let at = 0; at < this.ends.length; at++) this.ends.values[at]! += headerBytes;
    writer.copy(this.#code.bytes, 0, this.#code.length);
  }

  #writeCode(): void {
    const events = this.#events;
    const count = events.kinds.length;
    const [kinds, args, places] = [events.kinds.values, events.args.values, events.places.values];
    const [afters, blocks] = [events.afters.values, events.blocks.values];
    const targets = events.targets.values;
    const [executed, after] = [this.#plan.executed.values, this.#plan.after.values];
    const atLabel = this.#plan.atLabel.values;
    const open = this.#open;
    const starts = this.#starts;
    open.length = starts.length = 0;
    this.#valid = this.#dead = false;
    this.#base = after[0]!;
    let firstTarget = 0;
    for (let at = 0; at < count; at++) {
      const place = places[at]!;
      const arg = args[at]!;
      switch (kinds[at]) {
        case EVENT.BLOCK:
          open.push(arg);
          // Only a call can lead to this function again without a loop.
          if (at === 0 && events.calls) this.#check(place, this.#base);
          break;
        case EVENT.IF:
          this.#load(place);
          open.push(arg);
          starts.push(executed[at]!);
          this.#correct(afters[at]!, after[at]! - executed[at]!);
          break;
        case EVENT.LOOP:
          this.#meet(place, { label: arg, ahead: executed[at]! });
          open.push(arg);
          this.#arrive(arg);
          this.#check(afters[at]!, atLabel[arg]!);
          this.#correct(afters[at]!, after[at]! - atLabel[arg]!);
          break;
        case EVENT.ELSE:
          this.#meet(place, { label: open.values[open.length - 1]!, ahead: executed[at]! });
          this.#dead = false;
          this.#valid = true;
          this.#correct(afters[at]!, after[at]! - starts.values[--starts.length]!);
          break;
        case EVENT.CATCH:
          this.#meet(place, { label: open.values[open.length - 1]!, ahead: executed[at]! });
          this.#dead = this.#valid = false;
          this.#base = after[at]!;
          break;
        case EVENT.END: {
          open.length--;
          if ((blocks[arg]! & BLOCK.LOOP) !== 0) break;
          this.#meet(place, { label: arg, ahead: executed[at]! });
          if ((blocks[arg]! & BLOCK.IF) !== 0 && (blocks[arg]! & BLOCK.ELSE) === 0) {
            this.#otherwise(place, { label: arg, ahead: starts.values[--starts.length]! });
          }
          this.#dead = false;
          if (arg === 0) break;
          this.#arrive(arg);
          this.#correct(afters[at]!, after[at]! - atLabel[arg]!);
          break;
        }
        case EVENT.BRANCH_IF:
        case EVENT.BRANCH_ON: {
          const label = open.values[arg]!;
          const difference = atLabel[label]! - executed[at]!;
          if (difference !== 0 && !isGlobal(blocks, label) && !this.#valid && !this.#dead) {
            // Only the way of the branch needs the local variable.
            this.#copyTo(place);
            this.#write(OP.IF, EMPTY_TYPE);
            this.#loadHere(this.#base + difference);
            this.#write(OP.BR);
            this.#code.u32(open.length - arg);
            this.#write(OP.END);
            this.#copied = afters[at]!;
            this.#mark();
            this.#base += after[at]! - executed[at]!;
            break;
          }
          this.#meet(place, { label, ahead: executed[at]! });
          if (difference === 0 || isGlobal(blocks, label) || this.#dead) {
            this.#correct(afters[at]!, after[at]! - executed[at]!);
            break;
          }
          // The correction is on the way of the branch.
          this.#copyTo(place);
          this.#write(OP.IF, EMPTY_TYPE);
          this.#subtract(difference);
          this.#write(OP.BR);
          this.#code.u32(open.length - arg);
          this.#write(OP.END);
          this.#copied = afters[at]!;
          this.#mark();
          break;
        }
        case EVENT.BRANCH:
          this.#meet(place, { label: open.values[arg]!, ahead: executed[at]! });
          this.#dead = true;
          break;
        case EVENT.BRANCH_TABLE:
          for (; firstTarget < arg; firstTarget++) {
            this.#meet(place, { label: targets[firstTarget]!, ahead: executed[at]! });
          }
          this.#dead = true;
          break;
        case EVENT.LEAVE:
          this.#store(place, executed[at]!);
          this.#dead = true;
          break;
        case EVENT.CALL:
          this.#store(place, executed[at]!);
          if (arg === 0) break;
          this.#valid = false;
          this.#base = after[at]!;
          break;
        case EVENT.LENGTH:
          this.#countLength(place, { unit: arg, ahead: executed[at]! });
      }
    }
  }

  /** Makes the variable current that a label needs, before a way to it. */
  #meet(place: number, { label, ahead }: { label: number; ahead: number }): void {
    if (isGlobal(this.#events.blocks.values, label)) this.#store(place, ahead);
    else this.#load(place);
  }

  /** Continues at a label. */
  #arrive(label: number): void {
    this.#valid = !isGlobal(this.#events.blocks.values, label);
    this.#base = this.#plan.atLabel.values[label]!;
  }

  /** Writes the `else` of an `if` that has none. */
  #otherwise(place: number, { label, ahead }: { label: number; ahead: number }): void {
    const isStored = isGlobal(this.#events.blocks.values, label);
    const difference = this.#plan.atLabel.values[label]! - ahead;
    if (!isStored && difference === 0) return;
    this.#dead = false;
    this.#valid = true;
    this.#copyTo(place);
    this.#write(OP.ELSE);
    if (isStored) this.#store(place, ahead);
    else this.#correct(place, difference);
    this.#mark();
  }

  #copyTo(place: number): void {
    this.#code.copy(this.#bytes, this.#copied, place);
    this.#copied = place;
  }

  /** Records that what follows in the code was at {@linkcode #copied} before. */
  #mark(): void {
    this.places.push(this.#copied);
    this.ends.push(this.#code.length);
  }

  #write(...bytes: number[]): void {
    for (const byte of bytes) this.#code.byte(byte);
  }

  #onFuel(opcode: number): void {
    this.#code.byte(opcode);
    this.#code.u32(this.#fuel);
  }

  #onGlobal(opcode: number): void {
    this.#code.byte(opcode);
    this.#code.u32(this.#global);
  }

  #constant(value: number): void {
    this.#code.byte(OP.I64_CONST);
    this.#code.signed(value);
  }

  /** Subtracts from the local variable. */
  #subtract(count: number): void {
    this.#onFuel(OP.LOCAL_GET);
    this.#constant(count);
    this.#write(OP.I64_SUB);
    this.#onFuel(OP.LOCAL_SET);
  }

  /** Counts more ahead, or less. */
  #correct(place: number, count: number): void {
    if (count === 0 || this.#dead) return;
    if (!this.#valid) {
      this.#base += count;
      return;
    }
    this.#copyTo(place);
    this.#subtract(count);
    this.#mark();
  }

  /** Makes the local variable current. */
  #load(place: number): void {
    if (this.#valid || this.#dead) return;
    this.#copyTo(place);
    this.#loadHere(this.#base);
    this.#mark();
    this.#valid = true;
  }

  #loadHere(ahead: number): void {
    this.#onGlobal(OP.GLOBAL_GET);
    if (ahead !== 0) {
      this.#constant(ahead);
      this.#write(OP.I64_SUB);
    }
    this.#onFuel(OP.LOCAL_SET);
  }

  /** Makes the global variable current, where this number is counted ahead. */
  #store(place: number, ahead: number): void {
    if (this.#dead || (!this.#valid && this.#base === ahead)) return;
    this.#copyTo(place);
    this.#storeHere(ahead);
    this.#mark();
    if (!this.#valid) this.#base = ahead;
  }

  #storeHere(ahead: number): void {
    const difference = this.#valid ? ahead : ahead - this.#base;
    if (this.#valid) this.#onFuel(OP.LOCAL_GET);
    else this.#onGlobal(OP.GLOBAL_GET);
    if (difference !== 0) {
      this.#constant(difference);
      this.#write(OP.I64_ADD);
    }
    this.#onGlobal(OP.GLOBAL_SET);
  }

  /** Ends the job if the fuel is negative, where this number is counted ahead. */
  #check(place: number, ahead: number): void {
    if (this.#dead) return;
    this.#copyTo(place);
    if (this.#valid) this.#onFuel(OP.LOCAL_GET);
    else this.#onGlobal(OP.GLOBAL_GET);
    this.#constant(this.#valid ? -ahead : this.#base - ahead);
    this.#write(OP.I64_LT_S, OP.IF, EMPTY_TYPE);
    if (this.#valid || this.#base !== ahead) this.#storeHere(ahead);
    this.#write(OP.UNREACHABLE, OP.END);
    this.#mark();
  }

  /** Counts the length on the stack: one for eight bytes begun, or for one item. */
  #countLength(place: number, { unit, ahead }: { unit: number; ahead: number }): void {
    if (this.#dead) return;
    const wide = unit === LENGTH.BYTES_64 || unit === LENGTH.ITEMS_64;
    if (wide) this.#usesWide = true;
    else this.#usesNarrow = true;
    const length = this.#fuel + (wide ? 2 : 1);
    this.#load(place);
    this.#copyTo(place);
    this.#write(OP.LOCAL_TEE);
    this.#code.u32(length);
    this.#onFuel(OP.LOCAL_GET);
    this.#write(OP.LOCAL_GET);
    this.#code.u32(length);
    if (!wide) this.#write(OP.I64_EXTEND_I32_U);
    if (unit === LENGTH.BYTES_32 || unit === LENGTH.BYTES_64) {
      this.#write(OP.I64_CONST, 7, OP.I64_ADD, OP.I64_CONST, 3, OP.I64_SHR_U);
    } else if (wide) {
      // As a signed number, a larger one would add fuel.
      this.#constant(MAX_ITEMS);
      this.#write(OP.LOCAL_GET);
      this.#code.u32(length);
      this.#constant(MAX_ITEMS);
      this.#write(OP.I64_LT_U, OP.SELECT);
    }
    this.#write(OP.I64_SUB);
    this.#onFuel(OP.LOCAL_SET);
    this.#check(place, ahead);
  }
}
