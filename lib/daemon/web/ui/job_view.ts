/// <reference lib="dom" />
/**
 * The view of one job: its state, output as it comes, files, and receipt.
 *
 * @module
 */
import type { EventJson, JobDetailJson, JobJson } from "../../../api/mod.ts";
import { getJson, postJson, request } from "./daemon_api.ts";
import { bytesText, dataTable, facts, fill, h, jsonBlock, textLines } from "./dom.ts";
import { resultText, timeText } from "./jobs_view.ts";
import { receiptReport } from "./receipt_report.ts";
import { errorBox, type ViewContext } from "./view.ts";

/** Most characters of output that are shown; the download has all of it. */
const MAX_SHOWN = 200_000;

/** Shows a job. */
export async function jobView({ main, changes, rest: id, signal }: ViewContext): Promise<void> {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  const job = await getJson<JobDetailJson>(path);
  if (signal.aborted) return;
  const [state, problem, files, receipt] = [h("div"), h("div"), h("div"), h("div")];
  const output = { stdout: outputBox(path, "stdout"), stderr: outputBox(path, "stderr") };
  const cancel = h("button", { type: "button", onclick: () => void act(stop) }, "Cancel");
  const again = h("button", { type: "button", onclick: () => void act(repeat) }, "Run again");
  const act = async (action: () => Promise<void>): Promise<void> => {
    fill(problem);
    try {
      await action();
    } catch (error) {
      fill(problem, errorBox(error));
    }
  };
  const stop = async (): Promise<void> => void await request(path, { method: "DELETE" });
  const repeat = async (): Promise<void> => {
    const { id } = await postJson<JobJson>("/v1/jobs", {
      manifest: job.manifest,
      submitter: job.submitter,
    });
    location.hash = `#/job/${id}`;
  };
  fill(
    main,
    h("h1", {}, "Job ", id),
    state,
    h("p", {}, cancel, " ", again),
    problem,
    ...Object.values(output).map(({ element }) => element),
    files,
    receipt,
    h("h2", {}, "Manifest"),
    jsonBlock(job.manifest),
  );
  let hasEnded = false;
  const show = (shown: JobJson): void => {
    fill(
      state,
      facts({
        State: shown.position === null
          ? shown.state
          : `${shown.state}, ${shown.position} before it`,
        Result: resultText(shown) || null,
        Message: shown.error?.message ?? shown.message,
        Submitter: shown.submitter,
        Node: shown.peer,
        Created: timeText(shown.created_at),
        Started: timeText(shown.started_at) || null,
        Finished: timeText(shown.finished_at) || null,
        "CPU time": shown.usage === null ? null : `${shown.usage.cpu_time_ms} ms`,
        Memory: shown.usage === null ? null : bytesText(shown.usage.memory_peak_bytes),
      }),
    );
    cancel.disabled = shown.finished_at !== null;
    if (shown.finished_at === null || hasEnded) return;
    hasEnded = true;
    void act(async () => {
      if (shown.files_bytes > 0) await showFiles(path, files);
      if (shown.state === "finished") await showReceipt(path, receipt);
    });
  };
  show(job);
  changes.listen(({ jobs }) => {
    const changed = jobs.find((one) => one.id === id);
    if (changed !== undefined) show(changed);
  }, signal);
  follow(path, { output, signal });
}

interface OutputBox {
  element: HTMLElement;
  add(data: Uint8Array): void;
}

function outputBox(path: string, name: "stdout" | "stderr"): OutputBox {
  const text = h("pre", { tabindex: 0, role: "group", "aria-label": name });
  const decoder = new TextDecoder();
  const note = h("p");
  let length = 0;
  return {
    element: h(
      "section",
      {},
      h("h2", {}, name, " ", h("a", { href: `${path}/${name}`, download: name }, "download")),
      text,
      note,
    ),
    add(data) {
      if (length >= MAX_SHOWN) return;
      const part = decoder.decode(data, { stream: true }).slice(0, MAX_SHOWN - length);
      length += part.length;
      for (const line of textLines(part)) if (line !== null) text.append(h("span", {}, line));
      if (length >= MAX_SHOWN) fill(note, "Only the start is shown; the download has all of it.");
    },
  };
}

/** Shows output as the events bring it. The browser reconnects where the stream ended. */
function follow(
  path: string,
  { output, signal }: { output: Record<"stdout" | "stderr", OutputBox>; signal: AbortSignal },
): void {
  const source = new EventSource(`${path}/events`);
  const close = (): void => source.close();
  signal.addEventListener("abort", close);
  const take = ({ data }: MessageEvent): void => {
    const event: EventJson = JSON.parse(data);
    if (event.type === "stdout" || event.type === "stderr") {
      const bytes = Uint8Array.from(atob(String(event.data)), (char) => char.charCodeAt(0));
      output[event.type].add(bytes);
    }
    const isLast = event.type === "finished" || event.type === "failed" ||
      (event.type === "interrupted" && event.rerun === false);
    if (isLast) close();
  };
  for (const type of ["stdout", "stderr", "finished", "failed", "interrupted"]) {
    source.addEventListener(type, take);
  }
}

async function showFiles(path: string, files: HTMLElement): Promise<void> {
  const { files: found } = await getJson<
    { files: { path: string; bytes: number; hash: string }[] }
  >(
    `${path}/outputs`,
  );
  fill(
    files,
    h("h2", {}, "Files ", h("a", { href: `${path}/outputs.tar`, download: "outputs.tar" }, "all")),
    dataTable(
      ["path", "size", "hash"],
      found.map((file) =>
        h(
          "tr",
          {},
          h(
            "td",
            {},
            h("a", {
              href: `${path}/outputs/${file.path.split("/").map(encodeURIComponent).join("/")}`,
              download: file.path.split("/").at(-1),
            }, file.path),
          ),
          h("td", {}, bytesText(file.bytes)),
          h("td", {}, file.hash),
        )
      ),
    ),
  );
}

async function showReceipt(path: string, receipt: HTMLElement): Promise<void> {
  const text = await (await request(`${path}/receipt`)).text();
  fill(
    receipt,
    h(
      "h2",
      {},
      "Receipt ",
      h("a", { href: `${path}/receipt`, download: "receipt.json" }, "download"),
    ),
    await receiptReport(text),
  );
}
