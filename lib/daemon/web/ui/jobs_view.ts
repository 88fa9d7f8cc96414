/// <reference lib="dom" />
/**
 * The view of all jobs: a table with filters and pages, which follows changes.
 *
 * @module
 */
import type { JobJson, JobPageJson } from "../../../api/mod.ts";
import { getJson } from "./daemon_api.ts";
import { dataTable, fill, h } from "./dom.ts";
import { errorBox, type ViewContext } from "./view.ts";

/** Jobs on a page. */
const PAGE = 50;

const STATES = ["queued", "running", "finished", "failed", "cancelled", "interrupted"];

/** Shows the jobs. */
export async function jobsView({ main, changes, signal }: ViewContext): Promise<void> {
  const rows = new Map<string, HTMLTableRowElement>();
  const list = h("div");
  const pages: (string | null)[] = [null];
  const state = h(
    "select",
    { onchange: () => void restart() },
    h("option", { value: "" }, "any"),
    ...STATES.map((name) => h("option", { value: name }, name)),
  );
  const submitter = h("input", { type: "search", onchange: () => void restart() });
  const newer = h("button", { type: "button", onclick: () => void turn(-1) }, "Newer");
  const older = h("button", { type: "button", onclick: () => void turn(1) }, "Older");

  const restart = async (): Promise<void> => {
    pages.splice(1);
    await load();
  };
  const turn = async (direction: 1 | -1): Promise<void> => {
    if (direction === 1) pages.push(next);
    else pages.pop();
    await load();
  };
  let next: string | null = null;
  const query = (): string => {
    const params = new URLSearchParams({ limit: String(PAGE) });
    if (state.value !== "") params.set("state", state.value);
    if (submitter.value !== "") params.set("submitter", submitter.value);
    const before = pages.at(-1) ?? null;
    if (before !== null) params.set("before", before);
    return params.toString();
  };
  const load = async (): Promise<void> => {
    try {
      const page = await getJson<JobPageJson>(`/v1/jobs?${query()}`);
      if (signal.aborted) return;
      next = page.next;
      newer.disabled = pages.length === 1;
      older.disabled = next === null;
      rows.clear();
      for (const job of page.jobs) rows.set(job.id, row(job));
      fill(
        list,
        rows.size === 0
          ? h("p", {}, "No jobs. Submit one, or choose another filter.")
          : dataTable(["job", "submitter", "state", "result", "created", "took"], [
            ...rows.values(),
          ]),
      );
    } catch (error) {
      fill(list, errorBox(error));
    }
  };
  fill(
    main,
    h("h1", {}, "Jobs"),
    h(
      "form",
      { class: "row", onsubmit: (event) => event.preventDefault() },
      h("label", {}, "State", state),
      h("label", {}, "Submitter", submitter),
      newer,
      older,
    ),
    list,
  );
  await load();
  let stale = false;
  changes.listen(({ jobs, more }) => {
    for (const job of jobs) {
      const old = rows.get(job.id);
      if (old === undefined) continue;
      const changed = row(job);
      old.replaceWith(changed);
      rows.set(job.id, changed);
    }
    const isNew = more || jobs.some(({ id }) => !rows.has(id));
    if (!isNew || pages.length > 1 || stale) return;
    // The first page follows new jobs, once a second at most.
    stale = true;
    setTimeout(() => {
      stale = false;
      if (!signal.aborted && pages.length === 1) void load();
    }, 1000);
  }, signal);
}

function row(job: JobJson): HTMLTableRowElement {
  return h(
    "tr",
    {},
    h("td", {}, h("a", { href: `#/job/${job.id}` }, job.id)),
    h("td", {}, job.submitter),
    h("td", {}, job.state),
    h("td", {}, resultText(job)),
    h("td", {}, timeText(job.created_at)),
    h("td", {}, tookText(job)),
  );
}

/** How a job ended, in a few words. */
export function resultText({ status, exit_code, error }: JobJson): string {
  if (status === "exited") return `exit ${exit_code}`;
  return status ?? error?.code ?? "";
}

/** A time in the reader's own zone. */
export function timeText(at: string | null): string {
  return at === null ? "" : new Date(at).toLocaleString();
}

function tookText({ started_at, finished_at }: JobJson): string {
  if (started_at === null || finished_at === null) return "";
  return `${((Date.parse(finished_at) - Date.parse(started_at)) / 1000).toFixed(2)} s`;
}
