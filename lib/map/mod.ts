/**
 * Maps: one module over many items.
 *
 * @module
 */
export { DEFAULT_FAILURES, DEFAULT_HALT, type HaltRule, parseHalt } from "./halt.ts";
export { DaemonPlacement, type DaemonPlacementOptions } from "./daemon_placement.ts";
export { LocalPlacement, type LocalPlacementOptions } from "./local_placement.ts";
export {
  type MapDaemon,
  type MapJob,
  mapJobs,
  type MapNetwork,
  type MapOptions,
  type MapResult,
} from "./map_jobs.ts";
export type {
  MapNode,
  MapOutput,
  NodeSummary,
  PlacedJob,
  PlacedResult,
  Placement,
} from "./placement.ts";
export {
  type ItemResult,
  type MapProgress,
  MapScheduler,
  type SchedulerOptions,
} from "./scheduler.ts";
export { Template, type TemplateValues } from "./template.ts";
