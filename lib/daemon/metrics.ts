/**
 * Renders `/metrics` in the Prometheus text exposition format 0.0.4.
 * @module
 */
import type { PoolStats } from "../sandbox/host/mod.ts";
import { VERSION } from "../core/mod.ts";
import type { Jobs } from "./jobs/mod.ts";
import type { JobStore } from "./store/mod.ts";

/** Options of {@linkcode metricsText}. */
export interface MetricsOptions {
  store: JobStore;
  jobs: Jobs;
  /** Executors, if there is a pool. */
  executors: PoolStats | undefined;
  /** Event streams and piped runs that are open. */
  streams: number;
  /** Connections to the API that are open. */
  connections: number;
}

type Sample = [labels: string, value: number];

function metric(name: string, help: string, samples: Sample[], type = "gauge"): string[] {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(([labels, value]) => `${name}${labels} ${value}`),
  ];
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
    metric("plasm_info", "The version of plasm.", [[`{version="${VERSION}"}`, 1]]),
    metric(
      "plasm_jobs",
      "Jobs in the store by state.",
      states.map(([state, count]) => [`{state="${state}"}`, count]),
    ),
    metric("plasm_queue_length", "Jobs that wait.", [["", waiting]]),
    metric("plasm_running_jobs", "Jobs that run.", [["", running]]),
    metric("plasm_running_jobs_max", "Jobs that may run at once.", [["", concurrency]]),
    metric("plasm_running_memory_bytes", "Memory limits of running jobs.", [
      ["", runningMemoryMb * 2 ** 20],
    ]),
    [
      `# HELP ${latency} Time from acceptance to end of jobs.`,
      `# TYPE ${latency} histogram`,
      ...jobs.latency.lines(latency),
    ],
    executors === undefined ? [] : metric(
      "plasm_executors",
      "Executors by what they do.",
      Object.entries(executors).map(([state, count]) => [`{state="${state}"}`, count]),
    ),
    metric("plasm_cache_bytes", "Bytes of cached modules and inputs.", [["", cache.bytes]]),
    metric("plasm_cache_blobs", "Cached modules and inputs.", [["", cache.count]]),
    metric("plasm_store_bytes", "Bytes of ended jobs.", [["", store.endedBytes()]]),
    metric("plasm_event_streams", "Event streams and piped runs that are open.", [
      ["", streams],
    ]),
    metric("plasm_connections", "Connections to the local API.", [["", connections]]),
    metric("process_resident_memory_bytes", "Resident memory of the daemon.", [["", memory.rss]]),
    metric("plasm_heap_bytes", "JavaScript heap of the daemon.", [["", memory.heapUsed]]),
  ].flat().join("\n") + "\n";
}
