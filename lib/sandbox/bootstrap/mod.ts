/**
 * What parent and child process share before anything else is loaded: subcommand, frame kinds, first read.
 *
 * @module
 */
export {
  bootstrapExecutor,
  EXECUTOR_COMMAND,
  FrameKind,
  type InitialRead,
} from "./child_bootstrap.ts";
