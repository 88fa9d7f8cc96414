/**
 * Renders `/metrics` in the Prometheus text exposition format 0.0.4.
 * @module
 */
import type { PoolStats } from "../sandbox/host/mod.ts";
import { VERSION } from "../core/mod.ts";
import type { Jobs } from "./jobs/mod.ts";
import type { NetworkAudits } from "./api/mod.ts";
import type { JobStore, SubmitterUsage } from "./store/mod.ts";

/** Options of {@linkcode metricsText}. */
export interface MetricsOptions {
  store: JobStore;
  jobs: Jobs;
  /** Statistics of the executor pool; `undefined` without a pool. */
  executors: PoolStats | undefined;
  /** Number of open event streams and piped runs. */
  streams: number;
  /** Number of open API connections. */
  connections: number;
  /** Figures of audits; undefined without a network. */
  audits: NetworkAudits | undefined;
}

type Sample = [labels: string, value: number];

function metric(name: string, help: string, samples: Sample[], type = "gauge"): string[] {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(([labels, value]) => `${name}${labels} ${value}`),
  ];
}

/** Maximum number of submitters with metrics of their own. */
const MAX_SUBMITTERS = 100;

/** Renders the usage of each submitter. */
function usageMetrics(store: JobStore): string[] {
  const usage = store.usage(MAX_SUBMITTERS);
  const samples = (value: (one: SubmitterUsage) => number): Sample[] =>
    usage.map((one) => [`{submitter="${one.submitter}"}`, value(one)]);
  const of = "by submitter; other: the rest.";
  return [
    metric(
      "plasm_submitter_jobs_total",
      `Finished jobs ${of}`,
      samples(({ jobs }) => jobs),
      "counter",
    ),
    metric(
      "plasm_submitter_cpu_seconds_total",
      `CPU time of finished jobs on this node ${of}`,
      samples(({ cpuMs }) => cpuMs / 1000),
      "counter",
    ),
    metric(
      "plasm_submitter_output_bytes_total",
      `Standard output and error of finished jobs ${of}`,
      samples(({ outputBytes }) => outputBytes),
      "counter",
    ),
  ].flat();
}

/** Renders the audits of other nodes. */
function auditMetrics(audits: NetworkAudits | undefined): string[] {
  if (audits === undefined) return [];
  return [
    metric(
      "plasm_audits_total",
      "Audits of results of other nodes by outcome.",
      Object.entries(audits.counts).map(([outcome, count]) => [`{outcome="${outcome}"}`, count]),
      "counter",
    ),
    metric(
      "plasm_audit_cpu_seconds_total",
      "CPU time of audits.",
      [["", audits.cpuSeconds]],
      "counter",
    ),
    metric("plasm_banned_nodes", "Nodes that returned a false result and get no jobs.", [
      ["", audits.banned],
    ]),
  ].flat();
}

/** Renders all metrics. */
export function metricsText(options: MetricsOptions): string {
  const { store, jobs, executors, streams, connections } = options;
  const { waiting, running, runningMemoryMb, concurrency } = jobs.load;
  const states = Object.entries(store.counts());
  const cache = store.blobs.stats;
  const memory = Deno.memoryUsage();
  const latency = "plasm_job_latency_seconds";
  return [
    metric("plasm_info", "Version of plasm.", [[`{version="${VERSION}"}`, 1]]),
    metric(
      "plasm_jobs",
      "Jobs in the store by state.",
      states.map(([state, count]) => [`{state="${state}"}`, count]),
    ),
    metric("plasm_queue_length", "Queued jobs.", [["", waiting]]),
    metric("plasm_running_jobs", "Running jobs.", [["", running]]),
    metric("plasm_running_jobs_max", "Maximum number of running jobs.", [["", concurrency]]),
    metric("plasm_running_memory_bytes", "Memory limits of running jobs.", [
      ["", runningMemoryMb * 2 ** 20],
    ]),
    [
      `# HELP ${latency} Time from acceptance to end of a job.`,
      `# TYPE ${latency} histogram`,
      ...jobs.latency.lines(latency),
    ],
    usageMetrics(store),
    executors === undefined ? [] : metric(
      "plasm_executors",
      "Executors by state.",
      Object.entries(executors).map(([state, count]) => [`{state="${state}"}`, count]),
    ),
    metric("plasm_cache_bytes", "Size of cached modules and inputs.", [["", cache.bytes]]),
    metric("plasm_cache_blobs", "Number of cached modules and inputs.", [["", cache.count]]),
    metric("plasm_store_bytes", "Size of finished jobs.", [["", store.endedBytes()]]),
    metric("plasm_event_streams", "Open event streams and piped runs.", [
      ["", streams],
    ]),
    metric("plasm_connections", "Open connections to the local API.", [["", connections]]),
    auditMetrics(options.audits),
    metric("process_resident_memory_bytes", "Resident memory of the daemon.", [["", memory.rss]]),
    metric("plasm_heap_bytes", "JavaScript heap of the daemon.", [["", memory.heapUsed]]),
  ].flat().join("\n") + "\n";
}
