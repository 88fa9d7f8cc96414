/// <reference lib="dom" />
/**
 * Shows what a job writes: the start as it comes and, of a longer output, the end once the job has ended.
 *
 * @module
 */
import type { EventJson, JobJson } from "../../../api/mod.ts";
import { followStream } from "./changes.ts";
import { readStart } from "./daemon_api.ts";
import { escapeLines, fill, h } from "./dom.ts";
import { bytesText } from "./format.ts";

/** Most bytes of the start of a stream that are shown; the download has all of it. */
const START_BYTES = 100_000;

/** Bytes of the end that are shown of a longer stream. */
const END_BYTES = 20_000;

type StreamName = "stdout" | "stderr";

/** Options of {@linkcode outputView}. */
export interface OutputViewOptions {
  /** Path of the job in the API. */
  path: string;
  job: JobJson;
  signal: AbortSignal;
}

/** Output of a job. */
export interface OutputView {
  elements: HTMLElement[];
  /** Shows what is missing once the job has ended. */
  end(job: JobJson): Promise<void>;
}

/** Shows the output of a job. */
export function outputView({ path, job, signal }: OutputViewOptions): OutputView {
  if (job.piped) {
    const note = "Output of a piped job goes to its client and is not stored.";
    return { elements: [h("h2", {}, "Output"), h("p", {}, note)], end: () => Promise.resolve() };
  }
  const boxes = { stdout: new OutputBox(path, "stdout"), stderr: new OutputBox(path, "stderr") };
  // A stream beyond its limit ends the live view: the rest of it would be read for nothing.
  const following = new AbortController();
  signal.addEventListener("abort", () => following.abort());
  followOutput({ path, boxes, following });
  return {
    elements: [boxes.stdout.element, boxes.stderr.element],
    async end(ended) {
      // Events that are still to come would bring what is read here.
      following.abort();
      await boxes.stdout.complete(ended.stdout_bytes, signal);
      await boxes.stderr.complete(ended.stderr_bytes, signal);
    },
  };
}

/** Options of {@linkcode followOutput}. */
interface FollowOptions {
  path: string;
  boxes: Record<StreamName, OutputBox>;
  /** Aborts when the job has ended, a stream has reached its limit, or the page shows another view. */
  following: AbortController;
}

/** Shows output as events bring it, while the tab is visible: a browser has few connections to a host. */
function followOutput({ path, boxes, following }: FollowOptions): void {
  let last = 0;
  let visible: AbortController | undefined;
  const onEvent = ({ data }: MessageEvent<string>): void => {
    const event: EventJson = JSON.parse(data);
    if (event.id <= last) return;
    last = event.id;
    if (event.type === "stdout" || event.type === "stderr") {
      const bytes = Uint8Array.from(atob(String(event.data)), (char) => char.charCodeAt(0));
      if (!boxes[event.type].add(bytes)) following.abort();
    }
    const isLast = event.type === "finished" || event.type === "failed" ||
      (event.type === "interrupted" && event.rerun === false);
    if (isLast) visible?.abort();
  };
  const update = (): void => {
    visible?.abort();
    if (document.hidden || following.signal.aborted) return;
    visible = new AbortController();
    followStream({
      path: () => `${path}/events?after=${last}`,
      types: ["stdout", "stderr", "finished", "failed", "interrupted"],
      onEvent,
      signal: AbortSignal.any([visible.signal, following.signal]),
    });
  };
  document.addEventListener("visibilitychange", update, { signal: following.signal });
  update();
}

/** The output of one stream. */
class OutputBox {
  readonly element: HTMLElement;
  readonly #path: string;
  readonly #text: HTMLElement;
  readonly #rest = h("div");
  readonly #decoder = new TextDecoder();
  #waiting = "";
  #bytes = 0;

  constructor(path: string, name: StreamName) {
    this.#path = `${path}/${name}`;
    this.#text = h("pre", { tabindex: 0, role: "group", "aria-label": name });
    const download = h("a", { href: this.#path, download: name }, "Download");
    this.element = h(
      "section",
      {},
      h("h2", {}, name, " ", download),
      this.#text,
      this.#rest,
    );
  }

  /** Adds output; reports whether more of it would be shown. */
  add(data: Uint8Array): boolean {
    const part = data.subarray(0, START_BYTES - this.#bytes);
    this.#bytes += part.length;
    const text = escapeLines(this.#decoder.decode(part, { stream: true }));
    // One text node a frame, also for a job that writes each byte on its own.
    if (this.#waiting === "") {
      requestAnimationFrame(() => {
        this.#text.append(this.#waiting);
        this.#waiting = "";
      });
    }
    this.#waiting += text;
    if (this.#bytes < START_BYTES) return true;
    fill(
      this.#rest,
      h("p", {}, `Only the first ${bytesText(START_BYTES)} are shown; the download has all.`),
    );
    return false;
  }

  /** Shows what the live view has not: the start if there is none yet, and the end of a longer stream. */
  async complete(total: number, signal: AbortSignal): Promise<void> {
    if (this.#bytes < Math.min(total, START_BYTES)) {
      const path = `${this.#path}?offset=${this.#bytes}`;
      this.add(await readStart(path, { maxBytes: START_BYTES - this.#bytes, signal }));
    }
    const left = total - START_BYTES;
    if (left <= 0) return fill(this.#rest);
    const shown = Math.min(left, END_BYTES);
    const path = `${this.#path}?offset=${total - shown}`;
    const end = await readStart(path, { maxBytes: shown, signal });
    const pre = h("pre", { tabindex: 0, role: "group", "aria-label": "End" });
    // The cut may be within a character.
    pre.append(escapeLines(new TextDecoder().decode(end).replace(/^\ufffd{1,3}/, "")));
    const hidden = left - shown;
    const note = hidden === 0 ? null : h(
      "p",
      { class: "cut" },
      `${bytesText(hidden)} of ${bytesText(total)} are not shown; the download has all.`,
    );
    fill(this.#rest, note, pre);
  }
}
