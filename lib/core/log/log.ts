/**
 * Writes log lines to standard error through LogTape, as JSON or as readable text.
 *
 * Control characters are escaped in both formats, so that text from outside cannot move the cursor or forge a line.
 * A line has an event (kebab-case, constant) and properties:
 * `getLog("daemon").info("job-finished", { job_id, latency_ms })`.
 *
 * @module
 */
import { fstatSync } from "node:fs";
import { configureSync, getLogger, type Logger, type LogRecord } from "@logtape/logtape";
import { PlasmError } from "../errors/mod.ts";
import { escapeJson } from "../../util/mod.ts";

/** Lowest severity to write. */
export type LogSeverity = "debug" | "info" | "warning" | "error";

/** Options of {@linkcode configureLogging}. */
export interface LoggingOptions {
  /**
   * Lowest severity to write.
   * @default {"info"}
   */
  level?: LogSeverity;
  /**
   * `json`: one object per line; `human`: readable lines; `auto`: human on a terminal, else json.
   * @default {"auto"}
   */
  format?: "auto" | "json" | "human";
  /**
   * Whether each line begins with its syslog priority, such as `<4>`, which journald removes.
   * @default {whether standard error is connected to the journal}
   */
  priorities?: boolean | undefined;
  /**
   * Writes a line, which includes its newline.
   * @default {standard error}
   */
  write?: (line: string) => void;
}

/** Maximum length of a string property; longer ones are truncated. */
const LONGEST_VALUE = 2048;

function plain(value: unknown): unknown {
  if (value instanceof PlasmError) return { code: value.code, message: value.message };
  if (value instanceof Error) {
    return { code: "internal", message: `${value.name}: ${value.message}` };
  }
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "string" && value.length > LONGEST_VALUE) {
    return `${value.slice(0, LONGEST_VALUE)}…`;
  }
  return value;
}

function eventOf(record: LogRecord): string {
  return typeof record.rawMessage === "string" ? record.rawMessage : record.rawMessage.join("{}");
}

/** Formats a record as a JSON object with `ts`, `level`, `event`, `from` and its properties. */
export function formatJsonLine(record: LogRecord): string {
  const line: Record<string, unknown> = {
    ts: new Date(record.timestamp).toISOString(),
    level: record.level,
    event: eventOf(record),
    from: record.category.slice(1).join("."),
  };
  for (const [key, value] of Object.entries(record.properties)) {
    if (value !== undefined) line[key] = plain(value);
  }
  // JSON does not escape DEL, C1 and line separators; escaping them does not change the strings.
  return escapeJson(JSON.stringify(line, (_key, value) => plain(value))) + "\n";
}

/** Formats a record as readable text: time, level, event, then `key=value`. */
export function formatHumanLine(record: LogRecord): string {
  const time = new Date(record.timestamp).toISOString().slice(11, 23);
  const level = { warning: "WARN", error: "ERROR", info: "INFO" }[record.level as string] ??
    "DEBUG";
  const pairs = Object.entries(record.properties).filter(([, value]) => value !== undefined).map(
    ([key, value]) => {
      const shown = plain(value);
      const bare = typeof shown === "string" && /^[\w.:/@+-]+$/.test(shown);
      return `${key}=${bare ? shown : JSON.stringify(shown)}`;
    },
  );
  return escapeJson([time, level.padEnd(5), eventOf(record), ...pairs].join(" ")) + "\n";
}

/** Syslog priority of each level (sd-daemon(3)). */
const PRIORITIES: Readonly<Record<string, number>> = {
  fatal: 2,
  error: 3,
  warning: 4,
  info: 6,
  debug: 7,
  trace: 7,
};

/**
 * Reports whether standard error is a stream of the journal: systemd names its device and inode in `$JOURNAL_STREAM`,
 * which a redirected process inherits too.
 */
export function isJournal(
  stream: string | undefined = Deno.env.get("JOURNAL_STREAM"),
  descriptor = 2,
): boolean {
  if (!stream) return false;
  try {
    const { dev, ino } = fstatSync(descriptor);
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

const encoder = new TextEncoder();

function writeToStderr(line: string): void {
  let bytes = encoder.encode(line);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(Deno.stderr.writeSync(bytes));
  } catch {
    // A closed standard error must not stop a daemon.
  }
}

/**
 * Configures logging for the whole process; may be called again. Nothing is written before the first call.
 */
export function configureLogging(options: LoggingOptions = {}): void {
  const { level = "info", format = "auto", write = writeToStderr } = options;
  const { priorities = isJournal() } = options;
  const human = format === "human" || (format === "auto" && Deno.stderr.isTerminal());
  const formatLine = human ? formatHumanLine : formatJsonLine;
  configureSync({
    reset: true,
    sinks: {
      lines: (record: LogRecord) =>
        write((priorities ? `<${PRIORITIES[record.level]}>` : "") + formatLine(record)),
    },
    loggers: [
      { category: "plasm", sinks: ["lines"], lowestLevel: level },
      { category: ["logtape", "meta"], sinks: [], lowestLevel: "fatal" },
    ],
  });
}

/** Returns the logger of one part of plasm, such as `daemon` or `network`. */
export function getLog(part: string): Logger {
  return getLogger(["plasm", part]);
}
