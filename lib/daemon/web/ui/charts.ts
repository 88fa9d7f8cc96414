/// <reference lib="dom" />
/**
 * Figures of the node over the last five minutes, each as a number and a line.
 *
 * @module
 */
import type { NodeJson } from "../../../api/mod.ts";
import type { LoadSample } from "./changes.ts";
import { fill, h } from "./dom.ts";

/** Intervals of a chart. */
const POINTS = 60;

/** Length of an interval, in milliseconds. */
const INTERVAL_MS = 5000;

type Load = NodeJson["load"];

/** A figure. */
interface Figure {
  title: string;
  /** Value of a sample. */
  value: (sample: LoadSample) => number;
  /** Whether values within an interval add up to a rate a second; else the highest counts. */
  isRate?: true;
  /** The latest value with its limit. */
  now: (load: Load, latest: number) => string;
}

const FIGURES: readonly Figure[] = [
  {
    title: "Running jobs",
    value: ({ load }) => load.running,
    now: ({ running, concurrency }) => `${running} of ${concurrency}`,
  },
  {
    title: "Queued jobs",
    value: ({ load }) => load.queued,
    now: ({ queued, queue_max }) => `${queued} of ${queue_max}`,
  },
  {
    title: "Finished jobs a second",
    value: ({ ended }) => ended,
    isRate: true,
    now: (_load, latest) => rateText(latest),
  },
  {
    title: "Reserved memory",
    value: ({ load }) => load.memory_mb,
    now: ({ memory_mb, memory_budget_mb }) => `${memory_mb} of ${memory_budget_mb} MiB`,
  },
  {
    title: "Executors",
    value: ({ load }) => load.executors,
    now: ({ executors }) => String(executors),
  },
  {
    title: "Connections to peers",
    value: ({ load }) => load.peers,
    now: ({ peers }) => String(peers),
  },
];

/** Charts of the load. */
export interface LoadCharts {
  element: HTMLElement;
  /** Shows the load, and the samples before it. */
  update(load: Load, samples: readonly LoadSample[]): void;
}

/** Creates the charts. */
export function loadCharts(): LoadCharts {
  const charts = FIGURES.map((figure) => ({ figure, ...chart(figure) }));
  return {
    element: h("div", { class: "charts" }, ...charts.map(({ element }) => element)),
    update(load, samples) {
      for (const { figure, show } of charts) show(load, valuesOf(figure, samples));
    },
  };
}

function chart({ title, now }: Figure) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", `0 0 ${POINTS - 1} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  const line = document.createElementNS(namespace, "polyline");
  svg.append(line);
  const [latest, highest] = [h("strong"), h("span")];
  const element = h(
    "figure",
    {},
    h("figcaption", {}, h("span", {}, title), latest),
    svg,
    h("small", {}, highest),
  );
  return {
    element,
    show(load: Load, values: readonly number[]): void {
      const most = Math.max(0, ...values);
      // The last interval has only begun.
      const text = now(load, values.at(-2) ?? 0);
      const begin = POINTS - values.length;
      const points = values.map((one, at) => `${begin + at},${97 - 94 * one / (most || 1)}`);
      line.setAttribute("points", points.join(" "));
      const range = `Peak of 5 minutes: ${rateText(most)}`;
      svg.setAttribute("aria-label", `${title}: ${text}. ${range}`);
      fill(latest, text);
      fill(highest, range);
    },
  };
}

/** Values by interval, from the first that has a sample until now. */
function valuesOf({ value, isRate }: Figure, samples: readonly LoadSample[]): number[] {
  const values = new Array<number>(POINTS).fill(0);
  const now = Date.now();
  let first = POINTS - 1;
  for (const sample of samples) {
    const point = POINTS - 1 - Math.floor((now - sample.at) / INTERVAL_MS);
    if (point < 0 || point >= POINTS) continue;
    first = Math.min(first, point);
    if (isRate) values[point]! += value(sample) * 1000 / INTERVAL_MS;
    else values[point] = Math.max(values[point]!, value(sample));
  }
  return values.slice(first);
}

function rateText(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}
