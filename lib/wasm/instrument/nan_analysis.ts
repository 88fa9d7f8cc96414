/**
 * Finds the places of a function body at which the result of float arithmetic must be made canonical, by what each
 * instruction does with its values.
 *
 * @module
 */
import { OPERAND } from "../opcodes.ts";
import {
  type FloatFlow,
  FLOW,
  MOVED_VALUE,
  NEUTRAL_VALUE,
  NO_PLACE,
  ORIGIN,
} from "./float_flow.ts";
import { type BodyLocals, type InstructionReader, prefixedOpcode } from "./instruction_reader.ts";
import type { FunctionShape, ModuleFacts } from "./module_facts.ts";
import { PLAIN_EFFECTS, PREFIXED_EFFECTS, ROLE, type StackEffects } from "./stack_effects.ts";
import { FRAME, ValueTracker } from "./value_tracker.ts";

/** Analyses bodies one after another. */
export class NanAnalysis {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #facts: ModuleFacts;
  readonly #reader: InstructionReader;
  readonly #values: ValueTracker;
  #deadBlocks = 0;

  constructor(bytes: Uint8Array, options: { facts: ModuleFacts; reader: InstructionReader }) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#facts = options.facts;
    this.#reader = options.reader;
    this.#values = new ValueTracker(options.reader);
  }

  /** The values of the last body; its insertions are the result. */
  get flow(): FloatFlow {
    return this.#values.flow;
  }

  /** Local variables of the last body. */
  get locals(): BodyLocals {
    return this.#values.locals;
  }

  /**
   * Analyses the body in `[start, end)` of a function of the given shape.
   *
   * @throws {PlasmError} `bad-module` for an instruction that is unknown or has an index that is out of range
   */
  analyse(start: number, end: number, shape: FunctionShape): void {
    if (this.#pass(start, end, { shape, isTracking: true }) && this.flow.resolve()) return;
    this.#pass(start, end, { shape, isTracking: false });
    this.flow.resolve();
  }

  /** Returns false if tracking local variables takes too long. */
  #pass(
    start: number,
    end: number,
    { shape, isTracking }: { shape: FunctionShape; isTracking: boolean },
  ): boolean {
    const reader = this.#reader;
    const values = this.#values;
    this.#deadBlocks = 0;
    reader.seek(start, end);
    values.begin(shape, { isTracking });
    while (values.isOpen) {
      const kind = reader.next();
      if (values.isDead) this.#dead(kind);
      else this.#live();
      if (values.isTooLarge) return false;
    }
    return true;
  }

  /** Skips code that is never executed. */
  #dead(kind: number): void {
    const reader = this.#reader;
    switch (kind) {
      case OPERAND.BLOCK:
      case OPERAND.LOOP:
      case OPERAND.TRY_TABLE:
        this.#deadBlocks++;
        return;
      case OPERAND.END:
      case OPERAND.DELEGATE:
        if (this.#deadBlocks > 0) this.#deadBlocks--;
        else this.#values.end();
        return;
      case OPERAND.INDEX:
        if (reader.opcode >= 0x20 && reader.opcode <= 0x22) this.#values.checkLocal(reader.first);
        if (this.#deadBlocks === 0 && reader.opcode === 0x07) this.#catchTag();
        return;
      case OPERAND.NONE:
        if (this.#deadBlocks > 0) return;
        if (reader.opcode === 0x05) this.#values.else();
        else if (reader.opcode === 0x19) this.#values.catch(0);
    }
  }

  #live(): void {
    const reader = this.#reader;
    const { opcode } = reader;
    if (opcode < 0x100) {
      if (PLAIN_EFFECTS.role[opcode] !== ROLE.OTHER) return this.#apply(PLAIN_EFFECTS, opcode);
      return this.#control(opcode);
    }
    const effects = PREFIXED_EFFECTS.get(opcode >>> 16);
    const at = opcode & 0xffff;
    if (effects !== undefined && (effects.role[at] ?? ROLE.OTHER) !== ROLE.OTHER) {
      return this.#apply(effects, at);
    }
    switch (opcode) {
      case prefixedOpcode(0xfb, 0): // struct.new
        this.#values.observe(this.#facts.fields(reader.first) ?? 0);
        return this.#values.push(MOVED_VALUE);
      case prefixedOpcode(0xfb, 8): // array.new_fixed
        this.#values.observe(Math.min(reader.second, this.#values.height));
        return this.#values.push(MOVED_VALUE);
      case prefixedOpcode(0xfb, 24):
      case prefixedOpcode(0xfb, 25): // br_on_cast, br_on_cast_fail
        return this.#values.branch(reader.first);
    }
    reader.fail(`has an unsupported instruction 0x${(opcode >>> 16).toString(16)} ${at}`);
  }

  /** Applies an instruction without control flow. */
  #apply(effects: StackEffects, at: number): void {
    const { flow } = this;
    const reads = effects.reads[at]!;
    const place = this.#reader.position;
    switch (effects.role[at]) {
      case ROLE.OBSERVE:
        this.#values.observe(effects.takes[at]!);
        if (effects.returns[at] === 1) this.#values.push(MOVED_VALUE);
        return;
      case ROLE.DROP:
        this.#values.pop();
        return;
      case ROLE.ARITHMETIC:
      case ROLE.NUMBER:
        for (let left = effects.takes[at]!; left > 0; left--) flow.use(this.#values.pop(), reads);
        this.#values.push(
          effects.role[at] === ROLE.NUMBER
            ? MOVED_VALUE
            : flow.arithmetic(effects.result[at]!, place),
        );
        return;
      case ROLE.NEUTRAL:
        this.#values.observe(1);
        return this.#values.push(NEUTRAL_VALUE);
      case ROLE.SIGN: {
        // The result of copysign is no NaN where only the sign's operand is one.
        if (effects.takes[at] === 2) this.#values.observe(1);
        const value = this.#values.pop();
        // A change of sign makes another NaN of a canonical one.
        return this.#values.push(
          value <= NEUTRAL_VALUE ? MOVED_VALUE : flow.flow(value, FLOW.BITS, NO_PLACE),
        );
      }
      case ROLE.CHOOSE: {
        const [one, other] = [this.#values.pop(), this.#values.pop()];
        flow.use(one, reads);
        flow.use(other, reads);
        return this.#values.push(flow.either(one, other, lanesFlow(reads), place));
      }
      case ROLE.SPLAT:
        return this.#values.push(this.#splat(this.#values.pop(), reads, place));
      case ROLE.EXTRACT: {
        const value = this.#values.pop();
        flow.use(value, reads);
        const lanes = reads === ORIGIN.F32X4 ? FLOW.LANE_F32X4 : FLOW.LANE_F64X2;
        return this.#values.push(flow.flow(value, lanes, place));
      }
      case ROLE.REPLACE: {
        const scalar = this.#splat(this.#values.pop(), reads, NO_PLACE);
        const vector = this.#values.pop();
        flow.use(vector, reads);
        return this.#values.push(flow.either(vector, scalar, lanesFlow(reads), place));
      }
      case ROLE.SHUFFLE:
        return this.#shuffle(place);
      default:
        return this.#values.push(this.#constant());
    }
  }

  #splat(value: number, lanes: number, place: number): number {
    const isWide = lanes === ORIGIN.F64X2;
    if (value === NEUTRAL_VALUE && isWide) return MOVED_VALUE;
    return this.flow.flow(value, isWide ? FLOW.SPLAT_F64X2 : FLOW.SPLAT_F32X4, place);
  }

  /** `i8x16.shuffle` moves lanes if its indices come in runs that are aligned. */
  #shuffle(place: number): void {
    const { flow } = this;
    const [one, other] = [this.#values.pop(), this.#values.pop()];
    const mask = this.#bytes.subarray(place - 16, place);
    const moves = (width: number): boolean =>
      mask.every((lane, at) => at % width === 0 ? lane % width === 0 : lane === mask[at - 1]! + 1);
    if (!moves(4)) {
      flow.observe(one);
      flow.observe(other);
      return this.#values.push(MOVED_VALUE);
    }
    if (moves(8)) return this.#values.push(flow.either(one, other, FLOW.COPY, place));
    flow.use(one, ORIGIN.F32X4);
    flow.use(other, ORIGIN.F32X4);
    this.#values.push(flow.either(one, other, FLOW.F32X4, place));
  }

  /** A constant is neutral if making it canonical in any lanes changes nothing. */
  #constant(): number {
    const { position, start, opcode } = this.#reader;
    const view = this.#view;
    const bytes = opcode === 0x43 ? 4 : opcode === 0x44 ? 8 : 16;
    const first = position - bytes;
    if (first <= start || position > this.#bytes.length) return MOVED_VALUE;
    if (bytes !== 8) {
      for (let at = first; at < position; at += 4) {
        const bits = view.getUint32(at, true);
        if ((bits & 0x7fffffff) > 0x7f800000 && bits !== 0x7fc00000) return MOVED_VALUE;
      }
    }
    if (bytes !== 4) {
      for (let at = first; at < position; at += 8) {
        if (Number.isNaN(view.getFloat64(at, true))) {
          const isCanonical = view.getUint32(at + 4, true) === 0x7ff80000 &&
            view.getUint32(at, true) === 0;
          if (!isCanonical) return MOVED_VALUE;
        }
      }
    }
    return NEUTRAL_VALUE;
  }

  #call(shape: FunctionShape | undefined): void {
    if (shape === undefined) this.#reader.fail("calls a function that does not exist");
    this.#values.observe(shape.parameters.length);
    this.#values.pushMoved(shape.results.length);
  }

  #catchTag(): void {
    const shape = this.#facts.ofTag(this.#reader.first);
    if (shape === undefined) this.#reader.fail(`has no tag ${this.#reader.first}`);
    this.#values.catch(shape.parameters.length);
  }

  #control(opcode: number): void {
    const reader = this.#reader;
    const types = this.#facts;
    switch (opcode) {
      case 0x20:
        return this.#values.getLocal(reader.first);
      case 0x21:
        this.#values.setLocal(reader.first);
        return;
      case 0x22: { // local.tee
        const value = this.#values.setLocal(reader.first);
        if (!this.#values.isTracking) return this.#values.push(MOVED_VALUE);
        return this.#values.push(this.flow.flow(value, FLOW.COPY, reader.position));
      }
      case 0x1b:
      case 0x1c: { // select
        this.#values.pop();
        const [one, other] = [this.#values.pop(), this.#values.pop()];
        return this.#values.push(this.flow.either(one, other, FLOW.COPY, reader.position));
      }
      case 0x02:
      case 0x03:
      case 0x04:
      case 0x06:
      case 0x1f: {
        const shape = types.ofBlock(reader.blockType);
        if (shape === undefined) {
          return reader.fail(`has a block of unknown type ${reader.blockType}`);
        }
        if (opcode === 0x04) this.#values.pop();
        if (opcode === 0x06 || opcode === 0x1f) this.#values.stopTracking();
        const frames = { 0x03: FRAME.LOOP, 0x04: FRAME.IF, 0x06: FRAME.TRY } as const;
        if (opcode === 0x1f) {
          // The labels are around this block.
          for (const label of reader.labels) this.#values.handle(label);
        }
        return this.#values.block(frames[opcode as keyof typeof frames] ?? FRAME.BLOCK, shape);
      }
      case 0x05:
        return this.#values.else();
      case 0x07:
        return this.#catchTag();
      case 0x19:
        return this.#values.catch(0);
      case 0x0b:
      case 0x18:
        return this.#values.end();
      case 0x00: // unreachable
      case 0x09: // rethrow
        return this.#values.leave();
      case 0x08: { // throw
        const shape = types.ofTag(reader.first);
        if (shape === undefined) return reader.fail(`has no tag ${reader.first}`);
        this.#values.observe(shape.parameters.length);
        return this.#values.leave();
      }
      case 0x0a: // throw_ref
        this.#values.pop();
        return this.#values.leave();
      case 0x0c:
        this.#values.branch(reader.first);
        return this.#values.leave();
      case 0x0d: // br_if
        this.#values.pop();
        return this.#values.branch(reader.first);
      case 0x0e: {
        this.#values.pop();
        const { labels } = reader;
        if (labels.length < 3) { for (const label of labels) this.#values.branch(label); }
        else for (const label of new Set(labels)) this.#values.branch(label);
        return this.#values.leave();
      }
      case 0x0f:
        this.#values.branchOut();
        return this.#values.leave();
      case 0x10:
        return this.#call(types.ofFunction(reader.first));
      case 0x11:
        this.#values.pop();
        return this.#call(types.ofType(reader.first));
      case 0x12:
        this.#call(types.ofFunction(reader.first));
        return this.#values.leave();
      case 0x13:
        this.#values.pop();
        this.#call(types.ofType(reader.first));
        return this.#values.leave();
      case 0x14:
        this.#values.pop();
        return this.#call(types.ofType(reader.first));
      case 0x15:
        this.#values.pop();
        this.#call(types.ofType(reader.first));
        return this.#values.leave();
      case 0xd5: { // br_on_null: the branch does not take the reference
        const value = this.#values.pop();
        this.#values.branch(reader.first);
        return this.#values.push(value);
      }
      case 0xd6: // br_on_non_null
        this.#values.branch(reader.first);
        this.#values.pop();
        return;
    }
    reader.fail(`has an unsupported instruction 0x${opcode.toString(16)}`);
  }
}

/** Flow of a value that consists of lanes of others. */
function lanesFlow(lanes: number): number {
  return lanes === ORIGIN.F32X4 ? FLOW.F32X4 : FLOW.F64X2;
}
