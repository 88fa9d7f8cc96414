/**
 * Names the frames of a trap: functions from the name section, source lines from DWARF line tables.
 *
 * @module
 */
export { describeFrames } from "./describe_frames.ts";
