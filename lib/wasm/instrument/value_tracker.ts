/**
 * Follows values through the stack, the local variables and the labels of a function body.
 *
 * @module
 */
import { MAX_LOCALS } from "./code_replacement.ts";
import { FloatFlow, FLOW, MOVED_VALUE, NEUTRAL_VALUE, NO_PLACE } from "./float_flow.ts";
import { BLOCK_TYPE, type BodyLocals, type InstructionReader } from "./instruction_reader.ts";
import type { FunctionShape } from "./module_facts.ts";

/** Deepest block nesting; compilers emit far less. */
const MAX_NESTING = 10_000;

/**
 * Bound of the work for local variables in one function: the number of those that hold floats, times the number of
 * blocks and branches. Beyond, what is set is made canonical first.
 */
const MAX_STATES = 1_000_000;

/** What a block is. */
export const FRAME = { BODY: 0, BLOCK: 1, LOOP: 2, IF: 3, TRY: 4 } as const;

/** A block that is open. */
interface Frame {
  /** One of {@linkcode FRAME}. */
  kind: number;
  shape: FunctionShape;
  /** Height of the stack without the block's parameters. */
  height: number;
  /** Identifies the block among those of the function. */
  serial: number;
  /** Whether code reaches the label: the end of the block, or the start of a loop. */
  reached: boolean;
  /** Values that branches take to the label. */
  joined: number[];
  /** Values of the local variables at the label. */
  locals: Int32Array<ArrayBuffer> | undefined;
  /** Values of the local variables for `else`. */
  atElse: Int32Array<ArrayBuffer> | undefined;
}

/** Values of one body at a time. */
export class ValueTracker {
  /** The graph of the values. */
  readonly flow: FloatFlow = new FloatFlow();
  /** Local variables of the body. */
  locals: BodyLocals = { count: 0, groups: 0, groupsStart: 0, codeStart: 0 };
  /** Whether values are followed through local variables. */
  isTracking = true;
  /** Whether the code cannot be reached. */
  isDead = false;
  readonly #reader: InstructionReader;
  readonly #stack: number[] = [];
  readonly #frames: Frame[] = [];
  /** Number of each local variable among those that hold floats or vectors; -1 for others. */
  #slots = new Int32Array(64);
  #slotCount = 0;
  /** Value of each such local variable. */
  #current = new Int32Array(0);
  #serial = 0;
  #states = 0;

  /** @param reader Reads the body; errors name its current instruction. */
  constructor(reader: InstructionReader) {
    this.#reader = reader;
  }

  /** Begins a body of a function of the given shape, and reads its local variables. */
  begin(shape: FunctionShape, { isTracking }: { isTracking: boolean }): void {
    this.isTracking = isTracking;
    this.flow.clear();
    this.#stack.length = this.#frames.length = 0;
    this.#serial = this.#states = 0;
    this.isDead = false;
    this.#readLocals(shape);
    this.#open(FRAME.BODY, shape, 0);
  }

  /** Whether the body has not ended. */
  get isOpen(): boolean {
    return this.#frames.length > 0;
  }

  /** Height of the stack, including that of the blocks around. */
  get height(): number {
    return this.#stack.length;
  }

  /** Whether tracking local variables takes too long. */
  get isTooLarge(): boolean {
    return this.isTracking && this.#states > MAX_STATES;
  }

  /** Stops tracking local variables: an exception may come from any call, with their values at that time. */
  stopTracking(): void {
    this.#states = Infinity;
  }

  #readLocals({ parameters }: FunctionShape): void {
    const reader = this.#reader;
    this.#slotCount = 0;
    let count = 0;
    const declare = (type: number, times: number) => {
      if (count + times > MAX_LOCALS) {
        reader.fail(`has a function with more than ${MAX_LOCALS} local variables`);
      }
      if (count + times > this.#slots.length) {
        const grown = new Int32Array((count + times) * 2);
        grown.set(this.#slots);
        this.#slots = grown;
      }
      const isFloat = type === BLOCK_TYPE.F32 || type === BLOCK_TYPE.F64 ||
        type === BLOCK_TYPE.V128;
      for (let left = times; left > 0; left--) {
        this.#slots[count++] = isFloat ? this.#slotCount++ : -1;
      }
    };
    for (const type of parameters) declare(type, 1);
    const fromCaller = this.#slotCount;
    this.locals = reader.readLocals(count, (times, type) => declare(type, times));
    this.#current = new Int32Array(this.#slotCount).fill(NEUTRAL_VALUE);
    this.#current.fill(MOVED_VALUE, 0, fromCaller);
  }

  // Blocks

  #open(kind: number, shape: FunctionShape, taken: number): void {
    if (this.#frames.length === MAX_NESTING) this.#reader.fail("nests blocks too deeply");
    const serial = ++this.#serial;
    const height = Math.max(this.#base(), this.#stack.length - taken);
    const frame: Frame = {
      kind,
      shape,
      height,
      serial,
      reached: kind === FRAME.LOOP,
      joined: [],
      locals: undefined,
      atElse: undefined,
    };
    const types = kind === FRAME.LOOP ? shape.parameters : shape.results;
    if (kind !== FRAME.BODY) {
      for (const type of types) {
        frame.joined.push(
          this.isTracking && type !== BLOCK_TYPE.OTHER
            ? this.flow.join(serial, NO_PLACE)
            : MOVED_VALUE,
        );
      }
    }
    this.#frames.push(frame);
    if (!this.isTracking) return;
    if (kind === FRAME.IF) frame.atElse = this.#copyOfLocals();
    else if (kind === FRAME.LOOP) {
      for (let slot = 0; slot < this.#slotCount; slot++) {
        const value = this.flow.join(serial, NO_PLACE);
        this.flow.connect(value, this.#current[slot]!);
        this.#current[slot] = value;
      }
      frame.locals = this.#copyOfLocals();
    }
  }

  /** Opens a block whose parameters are on the stack. `kind` is one of {@linkcode FRAME}. */
  block(kind: number, shape: FunctionShape): void {
    const taken = shape.parameters.length;
    if (taken === 0) this.#open(kind, shape, 0);
    else if (kind === FRAME.LOOP) {
      const values = this.popMany(taken);
      this.#open(kind, shape, 0);
      const { joined } = this.#frames.at(-1)!;
      values.forEach((value, at) => {
        this.#join(joined[at]!, value);
        this.push(joined[at]!);
      });
    } else if (kind === FRAME.IF || kind === FRAME.TRY) {
      for (const value of this.popMany(taken)) this.flow.observe(value);
      this.#open(kind, shape, 0);
      for (let left = taken; left > 0; left--) this.push(MOVED_VALUE);
    } else this.#open(kind, shape, taken);
  }

  /** Joins a value into one that stands for several, or has it made canonical where there is none. */
  #join(joined: number, value: number): void {
    if (joined === MOVED_VALUE) this.flow.observe(value);
    else this.flow.connect(joined, value);
  }

  /** Takes the values on top of the stack and the local variables to a label, without removing them. */
  branch(label: number): void {
    const frame = this.#frames[this.#frames.length - 1 - label];
    if (frame === undefined) this.#reader.fail(`has no label ${label}`);
    const types = frame.kind === FRAME.LOOP ? frame.shape.parameters : frame.shape.results;
    const base = this.#base();
    for (let at = 0; at < types.length; at++) {
      const from = this.#stack.length - types.length + at;
      const value = from < base ? MOVED_VALUE : this.#stack[from]!;
      this.#join(frame.joined[at] ?? MOVED_VALUE, value);
    }
    this.#reach(frame);
  }

  /** Merges the local variables into those at a label. */
  #reach(frame: Frame, from = this.#current): void {
    frame.reached = true;
    if (!this.isTracking || frame.kind === FRAME.BODY) return;
    this.#states += from.length;
    const { locals, serial } = frame;
    if (locals === undefined) {
      frame.locals = Int32Array.from(from);
      return;
    }
    for (let slot = 0; slot < from.length; slot++) {
      const before = locals[slot]!;
      const value = from[slot]!;
      if (before === value) continue;
      if (this.flow.owner(before) === serial) this.flow.connect(before, value);
      else {
        const joined = this.flow.join(serial, NO_PLACE);
        this.flow.connect(joined, before);
        this.flow.connect(joined, value);
        locals[slot] = joined;
      }
    }
  }

  /** Ends the innermost block. */
  end(): void {
    const frame = this.#frames.at(-1)!;
    const { kind, shape } = frame;
    const count = shape.results.length;
    if (kind === FRAME.BODY) {
      if (!this.isDead) this.branch(0);
      this.#frames.pop();
      return;
    }
    if (kind === FRAME.LOOP) {
      // The label of a loop is its start, so its results are those of the last instruction.
      const results = this.isDead ? [] : this.popMany(count);
      this.#frames.pop();
      this.#stack.length = frame.height;
      for (const value of results) this.push(value);
      return;
    }
    if (!this.isDead) this.branch(0);
    this.#frames.pop();
    if (kind === FRAME.IF) {
      // Without `else`, it returns its parameters.
      for (const value of frame.joined) this.#join(value, MOVED_VALUE);
      this.#reach(frame, frame.atElse);
    }
    this.isDead = !frame.reached;
    this.#stack.length = frame.height;
    for (const value of frame.joined) this.push(value);
    if (frame.joined.length === 1 && frame.joined[0]! > NEUTRAL_VALUE) {
      this.flow.setPlace(frame.joined[0]!, this.#reader.position);
    }
    if (frame.locals !== undefined) this.#current = frame.locals;
  }

  /** Continues with the other arm of an `if`. */
  else(): void {
    const frame = this.#frames.at(-1)!;
    if (frame.kind !== FRAME.IF) this.#reader.fail("has an else without an if");
    if (!this.isDead) this.branch(0);
    this.#restart(frame);
    if (frame.atElse !== undefined) this.#current = frame.atElse;
    frame.kind = FRAME.BLOCK;
    for (let left = frame.shape.parameters.length; left > 0; left--) this.push(MOVED_VALUE);
  }

  /** Starts a handler of `try`. */
  catch(payload: number): void {
    const frame = this.#frames.at(-1)!;
    if (frame.kind !== FRAME.TRY) this.#reader.fail("has a catch without a try");
    if (!this.isDead) this.branch(0);
    this.#restart(frame);
    for (let left = payload; left > 0; left--) this.push(MOVED_VALUE);
  }

  #restart(frame: Frame): void {
    this.isDead = false;
    this.#stack.length = frame.height;
  }

  #copyOfLocals(): Int32Array<ArrayBuffer> {
    this.#states += this.#slotCount;
    return Int32Array.from(this.#current);
  }

  /** Takes the function's results from the stack to its end, without removing them. */
  branchOut(): void {
    this.branch(this.#frames.length - 1);
  }

  /** Records that a handler takes payloads, which are moved bits, to a label. */
  handle(label: number): void {
    const frame = this.#frames.at(-1 - label);
    if (frame !== undefined) frame.reached = true;
  }

  // Stack

  #base(): number {
    return this.#frames.at(-1)?.height ?? 0;
  }

  /** Pushes a value. */
  push(value: number): void {
    this.#stack.push(value);
  }

  /** Pops a value. */
  pop(): number {
    if (this.#stack.length <= this.#base()) return MOVED_VALUE; // invalid: V8 rejects the module
    return this.#stack.pop()!;
  }

  /** Pops values, the last first. */
  popMany(count: number): number[] {
    const values = new Array<number>(count);
    for (let at = count - 1; at >= 0; at--) values[at] = this.pop();
    return values;
  }

  /** Pops values whose bits can be seen. */
  observe(count: number): void {
    for (let left = count; left > 0; left--) this.flow.observe(this.pop());
  }

  /** Pushes values whose bits must be kept. */
  pushMoved(count: number): void {
    for (let left = count; left > 0; left--) this.push(MOVED_VALUE);
  }

  /** Ends the code that can be reached. */
  leave(): void {
    this.isDead = true;
  }

  // Local variables

  /** Number of a local variable among those that hold floats; -1 for others. */
  checkLocal(index: number): number {
    if (index >= this.locals.count) this.#reader.fail(`has no local variable ${index}`);
    return this.#slots[index]!;
  }

  /** Pushes the value of a local variable. */
  getLocal(index: number): void {
    const slot = this.checkLocal(index);
    if (slot < 0 || !this.isTracking) return this.push(MOVED_VALUE);
    this.push(this.flow.flow(this.#current[slot]!, FLOW.COPY, this.#reader.position));
  }

  /** Pops the value of a local variable, and returns it if it holds floats. */
  setLocal(index: number): number {
    const slot = this.checkLocal(index);
    const value = this.pop();
    if (slot < 0) return MOVED_VALUE;
    if (this.isTracking) this.#current[slot] = value;
    else this.flow.observe(value);
    return value;
  }
}
