/// <reference lib="dom" />
/**
 * The view of one job: its state, output as it comes, files, and receipt.
 *
 * @module
 */
import type { JobDetailJson, JobJson } from "../../../api/mod.ts";
import { getJson, postJson, request } from "./daemon_api.ts";
import { code, dataTable, details, facts, fill, h, jsonBlock, tableRow } from "./dom.ts";
import { bytesText, durationText, resultText, runTimeText, timeText } from "./format.ts";
import { outputView } from "./output_view.ts";
import { receiptReport } from "./receipt_report.ts";
import { errorBox, throttle, type ViewContext } from "./view.ts";

/** Least time between two requests for the job after a loss of messages, in milliseconds. */
const RELOAD_MS = 1000;

/** Shows a job. */
export async function jobView({ main, changes, rest: id, signal }: ViewContext): Promise<void> {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  // A job may end between its reading and the next message.
  let latest: JobJson | undefined;
  changes.listen(({ jobs }) => latest = jobs.find((one) => one.id === id) ?? latest, signal);
  const job = await getJson<JobDetailJson>(path);
  if (signal.aborted) return;
  const [state, problem, files, receipt] = [h("div"), h("div"), h("div"), h("div")];
  const output = outputView({ path, job, signal });
  const cancel = h("button", { type: "button", onclick: () => void act(stop) }, "Cancel");
  const again = h("button", { type: "button", onclick: () => void act(repeat) }, "Run again");
  const act = async (action: () => Promise<void>): Promise<void> => {
    fill(problem);
    try {
      await action();
    } catch (error) {
      if (!signal.aborted) fill(problem, errorBox(error));
    }
  };
  const stop = async (): Promise<void> => void await request(path, { method: "DELETE" });
  const repeat = async (): Promise<void> => {
    const { manifest, submitter, target } = job;
    const label = submitter.startsWith("local:") ? submitter.slice("local:".length) : undefined;
    const { id } = await postJson<JobJson>("/v1/jobs", {
      manifest,
      ...(label === undefined ? {} : { submitter: label }),
      ...(target === null ? {} : { target }),
    });
    location.hash = `#/job/${id}`;
  };
  fill(
    main,
    h("h1", {}, "Job ", code(id)),
    state,
    h("p", { class: "actions" }, cancel, again),
    problem,
    ...output.elements,
    files,
    receipt,
    details("Manifest", jsonBlock(job.manifest)),
  );
  let hasEnded = false;
  const show = (shown: JobJson): void => {
    fill(state, jobFacts(shown));
    cancel.disabled = shown.finished_at !== null;
    if (shown.finished_at === null || hasEnded) return;
    hasEnded = true;
    void act(async () => {
      await output.end(shown);
      if (shown.files_bytes > 0) await showFiles(path, files);
      if (shown.state === "finished") await showReceipt(path, receipt);
    });
  };
  show(latest?.finished_at ? latest : job);
  const reload = throttle(() => void act(async () => show(await getJson(path))), {
    ms: RELOAD_MS,
    signal,
  });
  changes.listen(({ jobs, more }) => {
    const changed = jobs.find((one) => one.id === id);
    if (changed !== undefined) show(changed);
    else if (more && !hasEnded) reload();
  }, signal);
}

function jobFacts(job: JobJson): HTMLElement {
  const { state, position, usage, error, message, peer, target } = job;
  const result = resultText(job);
  return facts({
    State: h("span", { class: `state ${state}` }, state),
    Position: position === null ? null : `${position} jobs start before it`,
    Result: result,
    Message: error?.message ?? message,
    Submitter: job.submitter,
    "Runs on": target === null ? "this node" : peer === null ? "another node" : code(peer),
    Created: timeText(job.created_at),
    Started: timeText(job.started_at),
    Finished: timeText(job.finished_at),
    "Run time": runTimeText(job),
    "CPU time": usage === null ? null : durationText(usage.cpu_time_ms),
    "Peak memory": usage === null ? null : bytesText(usage.memory_peak_bytes),
    Output: `${bytesText(job.stdout_bytes)} stdout, ${bytesText(job.stderr_bytes)} stderr`,
    Module: code(job.module_hash),
  });
}

/** Output files as the API lists them. */
interface FileList {
  files: { path: string; bytes: number; hash: string }[];
}

async function showFiles(path: string, files: HTMLElement): Promise<void> {
  const { files: found } = await getJson<FileList>(`${path}/outputs`);
  const columns = ["Path", { figure: "Size" }, "Hash"];
  const link = (file: FileList["files"][number]): HTMLElement =>
    h("a", {
      href: `${path}/outputs/${file.path.split("/").map(encodeURIComponent).join("/")}`,
      download: file.path.split("/").at(-1),
    }, file.path);
  fill(
    files,
    h(
      "h2",
      {},
      "Files ",
      h("a", { href: `${path}/outputs.tar`, download: "outputs.tar" }, "Download all"),
    ),
    dataTable(
      "Files",
      columns,
      found.map((file) => tableRow(columns, [link(file), bytesText(file.bytes), code(file.hash)])),
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
      h("a", { href: `${path}/receipt`, download: "receipt.json" }, "Download"),
    ),
    await receiptReport(text),
  );
}
