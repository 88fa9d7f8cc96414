/**
 * Reads a function body as far as counting needs: how many instructions are executed between the places where control
 * flow branches, calls functions, or runs an instruction whose duration depends on an operand.
 *
 * @module
 */
import { OPERAND } from "../opcodes.ts";
import type { LimitsField } from "../size_limits.ts";
import {
  BLOCK_TYPE,
  type BodyLocals,
  InstructionReader,
  prefixedOpcode,
} from "./instruction_reader.ts";
import { IntList } from "./int_list.ts";
import type { ModuleFacts } from "./module_facts.ts";

/** Kinds of events, in the order of the code. */
export const EVENT = {
  /** A `block`, `try` or `try_table` begins, or the body; the argument is the block's number. */
  BLOCK: 0,
  /** An `if` begins; the argument is the block's number. */
  IF: 1,
  /** A loop begins; the argument is the block's number. */
  LOOP: 2,
  /** `else`. */
  ELSE: 3,
  /** `catch` or `catch_all`. */
  CATCH: 4,
  /** `end` or `delegate`; the argument is the block's number. */
  END: 5,
  /** `br_if`; the argument is the number of open blocks around its target. */
  BRANCH_IF: 6,
  /** `br_on_null` and the like; the argument is as for `br_if`. */
  BRANCH_ON: 7,
  /** `br`; the argument is as for `br_if`. */
  BRANCH: 8,
  /** `br_table`; the argument is the end of its targets in {@linkcode FuelEventReader.targets}. */
  BRANCH_TABLE: 9,
  /** `return`, `throw`, `rethrow`, `throw_ref`, `unreachable` or a tail call. */
  LEAVE: 10,
  /** A call; the argument is 1 if it can run code of the module, else 0. */
  CALL: 11,
  /** An instruction that takes a length; the argument is a {@linkcode LENGTH}. */
  LENGTH: 12,
} as const;

/** Properties of a block. */
export const BLOCK = {
  /** A handler of `try_table` branches to it. */
  HANDLED: 1,
  /** It is an `if` with `else`. */
  ELSE: 2,
  /** A `br_table` branches to it. */
  TABLE_TARGET: 4,
  /** Branches to it take values. */
  VALUES: 8,
  /** It is an `if`. */
  IF: 32,
  /** It is a loop. */
  LOOP: 16,
  /** It is a loop that calls functions, outside of the loops in it. */
  CALLS: 64,
} as const;

/** What the length on top of the stack counts. */
export const LENGTH = {
  /** Bytes, as a 32-bit integer. */
  BYTES_32: 0,
  /** Bytes, as a 64-bit integer. */
  BYTES_64: 1,
  /** Table entries or array elements, as a 32-bit integer. */
  ITEMS_32: 2,
  /** Table entries, as a 64-bit integer. */
  ITEMS_64: 3,
} as const;

/** Deepest block nesting; compilers emit far less. */
const MAX_NESTING = 10_000;

/** Reads bodies one after another; the fields hold the results of the last. */
export class FuelEventReader {
  /** Kind of each event. */
  readonly kinds: IntList = new IntList();
  /** Offset of each event's instruction in the module. */
  readonly places: IntList = new IntList();
  /** Offset after each event's instruction. */
  readonly afters: IntList = new IntList();
  /** Argument of each event. */
  readonly args: IntList = new IntList();
  /** Instructions since the event before, including that of the event itself. */
  readonly costs: IntList = new IntList();
  /** {@linkcode BLOCK} bits of each block; the body itself is block 0. */
  readonly blocks: IntList = new IntList();
  /** Numbers of the blocks that `br_table` instructions branch to. */
  readonly targets: IntList = new IntList();
  /** Whether the body contains a call that can run code of the module. */
  calls = false;
  /** Parameters and locals. */
  locals: BodyLocals = { count: 0, groups: 0, groupsStart: 0, codeStart: 0 };
  readonly #reader: InstructionReader;
  readonly #facts: ModuleFacts;
  /** Number of each open block. */
  readonly #numbers = new Int32Array(MAX_NESTING);
  /** Number of the innermost loop around or at each open block; 0 if there is none. */
  readonly #loops = new Int32Array(MAX_NESTING);
  #open = 0;
  /** Instructions since the last event. */
  #pending = 0;

  constructor(bytes: Uint8Array, facts: ModuleFacts) {
    this.#reader = new InstructionReader(bytes);
    this.#facts = facts;
  }

  /**
   * Reads the body in `[start, end)`, including its locals.
   *
   * @throws {PlasmError} `bad-module` for an unknown instruction, and for an index of a local or global variable that
   * is out of range: V8 could not refuse it once the module has more of them
   */
  read(start: number, end: number, parameters: number): void {
    const reader = this.#reader;
    this.kinds.length =
      this.places.length =
      this.afters.length =
      this.args.length =
        0;
    this.costs.length = this.blocks.length = this.targets.length = 0;
    this.calls = false;
    reader.seek(start, end);
    this.locals = reader.readLocals(parameters);
    this.#open = 0;
    this.#pending = 0;
    reader.start = reader.position;
    this.#push(EVENT.BLOCK, false);
    while (this.#open > 0) this.#instruction();
    if (reader.position !== end) reader.fail("has a function with a wrong size");
  }

  #instruction(): void {
    const reader = this.#reader;
    this.#pending += reader.skipFrequent(this.locals.count);
    const kind = reader.next();
    switch (kind) {
      case OPERAND.NONE:
        this.#pending++;
        if (reader.opcode < 0x100) this.#plain(reader.opcode);
        return;
      case OPERAND.INDEX:
        if (reader.opcode >= 0x100) this.#prefixedIndex();
        else this.#index(reader.opcode, reader.first);
        return;
      case OPERAND.TWO_INDICES:
        this.#pending++;
        if (reader.opcode >= 0x100) this.#twoIndices();
        else if (reader.opcode === 0x13) this.#tailCall(); // return_call_indirect
        else this.#call(true);
        return;
      case OPERAND.FUNCTION:
        this.#pending++;
        if (reader.opcode === 0x12) this.#tailCall(); // return_call
        else if (reader.opcode === 0x10) this.#call(reader.first >= this.#facts.imported);
        return;
      case OPERAND.BLOCK:
      case OPERAND.LOOP:
      case OPERAND.TRY_TABLE:
        return this.#block(reader.opcode);
      case OPERAND.END:
      case OPERAND.DELEGATE:
        return this.#event(EVENT.END, this.#numbers[--this.#open]!);
      case OPERAND.BR_TABLE:
        this.#pending++;
        for (const label of reader.labels) {
          const outer = this.#target(label);
          this.#mark(outer, BLOCK.TABLE_TARGET);
          this.targets.push(this.#numbers[outer]!);
        }
        return this.#event(EVENT.BRANCH_TABLE, this.targets.length);
      case OPERAND.BR_ON_CAST:
        this.#pending++;
        return this.#event(EVENT.BRANCH_ON, this.#target(reader.first));
      default:
        this.#pending++;
    }
  }

  /** One-byte instructions without operands. */
  #plain(opcode: number): void {
    switch (opcode) {
      case 0x05: // else
        this.#pending--;
        if (
          (this.blocks.values[this.#numbers[this.#open - 1]!]! & (BLOCK.IF | BLOCK.ELSE)) !==
            BLOCK.IF
        ) {
          this.#reader.fail("has an else without an if");
        }
        this.#mark(this.#open - 1, BLOCK.ELSE);
        return this.#event(EVENT.ELSE, 0);
      case 0x00:
      case 0x0a:
      case 0x0f: // unreachable, throw_ref, return
        return this.#event(EVENT.LEAVE, 0);
      case 0x19: // catch_all
        this.#pending--;
        return this.#event(EVENT.CATCH, 0);
    }
  }

  /** One-byte instructions with an index. */
  #index(opcode: number, index: number): void {
    switch (opcode) {
      case 0x07: // catch
        return this.#event(EVENT.CATCH, 0);
      case 0x20:
      case 0x21:
      case 0x22: // local.get, local.set, local.tee
        if (index >= this.locals.count) this.#reader.fail(`has no local variable ${index}`);
        break;
      case 0x23:
      case 0x24: // global.get, global.set
        if (index >= this.#facts.globals) this.#reader.fail(`has no global variable ${index}`);
        break;
    }
    this.#pending++;
    switch (opcode) {
      case 0x08:
      case 0x09: // throw, rethrow
        return this.#event(EVENT.LEAVE, 0);
      case 0x15: // return_call_ref
        return this.#tailCall();
      case 0x0c: // br
        return this.#event(EVENT.BRANCH, this.#target(index));
      case 0x0d: // br_if
        return this.#event(EVENT.BRANCH_IF, this.#target(index));
      case 0xd5:
      case 0xd6: // br_on_null, br_on_non_null
        return this.#event(EVENT.BRANCH_ON, this.#target(index));
      case 0x14: // call_ref
        return this.#call(true);
    }
  }

  #prefixedIndex(): void {
    this.#pending++;
    const { opcode, first } = this.#reader;
    switch (opcode) {
      case prefixedOpcode(0xfb, 6):
      case prefixedOpcode(0xfb, 7):
      case prefixedOpcode(0xfb, 16): // array.new, array.new_default, array.fill
        return this.#event(EVENT.LENGTH, LENGTH.ITEMS_32);
      case prefixedOpcode(0xfc, 11): // memory.fill
        return this.#bytesLength(isWide(this.#facts.memories[first]));
      case prefixedOpcode(0xfc, 15):
      case prefixedOpcode(0xfc, 17): // table.grow, table.fill
        return this.#itemsLength(isWide(this.#facts.tables[first]));
    }
  }

  #twoIndices(): void {
    const { opcode, first, second } = this.#reader;
    const { memories, tables } = this.#facts;
    switch (opcode) {
      case prefixedOpcode(0xfb, 9):
      case prefixedOpcode(0xfb, 10):
      case prefixedOpcode(0xfb, 17):
      case prefixedOpcode(0xfb, 18):
      case prefixedOpcode(0xfb, 19): // array.new_data, new_elem, copy, init_data, init_elem
      case prefixedOpcode(0xfc, 12): // table.init
        return this.#itemsLength(false);
      case prefixedOpcode(0xfc, 8): // memory.init
        return this.#bytesLength(false);
      case prefixedOpcode(0xfc, 10): // memory.copy
        return this.#bytesLength(isWide(memories[first]) && isWide(memories[second]));
      case prefixedOpcode(0xfc, 14): // table.copy
        return this.#itemsLength(isWide(tables[first]) && isWide(tables[second]));
    }
  }

  #bytesLength(isWide: boolean): void {
    this.#event(EVENT.LENGTH, isWide ? LENGTH.BYTES_64 : LENGTH.BYTES_32);
  }

  #itemsLength(isWide: boolean): void {
    this.#event(EVENT.LENGTH, isWide ? LENGTH.ITEMS_64 : LENGTH.ITEMS_32);
  }

  #block(opcode: number): void {
    const reader = this.#reader;
    if (this.#open === MAX_NESTING) reader.fail("nests blocks too deeply");
    const isLoop = opcode === 0x03;
    // Only a type given by an index can have parameters.
    const values = isLoop ? reader.blockType >= 0 : reader.blockType !== BLOCK_TYPE.EMPTY;
    if (opcode === 0x04) this.#pending++;
    if (opcode === 0x1f) {
      // Labels of handlers are relative to the blocks around the instruction.
      for (const label of reader.labels) this.#mark(this.#target(label), BLOCK.HANDLED);
    }
    this.#push(isLoop ? EVENT.LOOP : opcode === 0x04 ? EVENT.IF : EVENT.BLOCK, values);
  }

  #event(kind: number, arg: number): void {
    this.kinds.push(kind);
    this.places.push(this.#reader.start);
    this.afters.push(this.#reader.position);
    this.args.push(arg);
    this.costs.push(this.#pending);
    this.#pending = 0;
  }

  #call(isOwn: boolean): void {
    if (isOwn) {
      this.calls = true;
      this.blocks.values[this.#loops[this.#open - 1]!]! |= BLOCK.CALLS;
    }
    this.#event(EVENT.CALL, isOwn ? 1 : 0);
  }

  #tailCall(): void {
    this.calls = true;
    this.#event(EVENT.LEAVE, 0);
  }

  /** Number of open blocks around the target of a branch. */
  #target(label: number): number {
    if (label >= this.#open) this.#reader.fail(`has no label ${label}`);
    return this.#open - 1 - label;
  }

  /** Sets a property of an open block, given by the number of blocks around it. */
  #mark(outer: number, property: number): void {
    this.blocks.values[this.#numbers[outer]!]! |= property;
  }

  /** Opens a block. */
  #push(kind: number, values: boolean): void {
    const form = kind === EVENT.LOOP ? BLOCK.LOOP : kind === EVENT.IF ? BLOCK.IF : 0;
    const properties = (values ? BLOCK.VALUES : 0) | form;
    const number = this.blocks.length;
    this.blocks.push(properties);
    this.#event(kind, number);
    this.#loops[this.#open] = form === BLOCK.LOOP ? number : this.#loops[this.#open - 1] ?? 0;
    this.#numbers[this.#open++] = number;
  }
}

/** Whether indices of a memory or table have 64 bits. */
function isWide(limits: LimitsField | undefined): boolean {
  return limits?.is64 === true;
}
