/**
 * libp2p's own log lines are for its developers; ours are the typed events of events.ts.
 * @module
 */
import type { ComponentLogger, Logger } from "@libp2p/interface";

function silent(): void {}

const SILENT: Logger = Object.assign(silent, {
  error: silent,
  trace: silent,
  enabled: false,
  newScope: () => SILENT,
});

/** A logger that drops everything. */
export const SILENT_LOGGER: ComponentLogger = { forComponent: () => SILENT };
