/**
 * Writes a job's output files to this machine: what the options name, after verification, and nothing else.
 *
 * @module
 */
export {
  checkOutputTargets,
  directoryTarget,
  type OutputTarget,
  outputTarget,
  type OutputTargetOptions,
  outputTargets,
  parseDir,
  type SharedDirectory,
} from "./output_target.ts";
export { exitStatusWith, outputsJson, type OutputsReport, printOutputs } from "./output_report.ts";
export {
  fetchOutputs,
  type FetchOutputsOptions,
  OutputDownload,
  type OutputDownloadOptions,
} from "./fetch_outputs.ts";
export { OutputStaging, type StagingOptions, type WrittenOutputs } from "./output_staging.ts";
