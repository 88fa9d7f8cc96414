/// <reference lib="dom" />
/**
 * The view of all jobs: a table with filters and pages, which follows changes.
 *
 * @module
 */
import type { JobJson, JobPageJson } from "../../../api/mod.ts";
import { getJson } from "./daemon_api.ts";
import { code, type Column, dataTable, emptyState, fill, h, tableRow } from "./dom.ts";
import { resultText, runTimeText, timeText } from "./format.ts";
import { errorBox, throttle, type ViewContext } from "./view.ts";

/** Jobs on a page. */
const PAGE = 50;

/** Least time between two requests for the list, in milliseconds. */
const RELOAD_MS = 1000;

const STATES = ["queued", "running", "finished", "failed", "cancelled", "interrupted"];

const COLUMNS: readonly Column[] = [
  ...["Job", "Submitter", "State", "Result", "Created"],
  { figure: "Run time" },
];

/** Shows the jobs. */
export async function jobsView({ main, changes, signal }: ViewContext): Promise<void> {
  const rows = new Map<string, HTMLTableRowElement>();
  const table = dataTable("Jobs", COLUMNS, []);
  const body = table.querySelector("tbody")!;
  const message = h("div");
  const pages: (string | null)[] = [null];
  const state = h(
    "select",
    { onchange: () => void restart() },
    h("option", { value: "" }, "any"),
    ...STATES.map((name) => h("option", { value: name }, name)),
  );
  const submitter = h("input", { type: "search", onchange: () => void restart() });
  const job = h("input", { type: "search", placeholder: "job_…", spellcheck: "false" });
  const newer = h("button", { type: "button", onclick: () => void turn(-1) }, "Newer");
  const older = h("button", { type: "button", onclick: () => void turn(1) }, "Older");
  const page = h("span", { role: "status" });
  let next: string | null = null;
  let request = 0;

  const restart = async (): Promise<void> => {
    pages.splice(1);
    await load();
  };
  const turn = async (direction: 1 | -1): Promise<void> => {
    if (direction === 1) pages.push(next);
    else pages.pop();
    await load();
  };
  const query = (): string => {
    const params = new URLSearchParams({ limit: String(PAGE) });
    if (state.value !== "") params.set("state", state.value);
    if (submitter.value !== "") params.set("submitter", submitter.value);
    const before = pages.at(-1) ?? null;
    if (before !== null) params.set("before", before);
    return params.toString();
  };
  const load = async (): Promise<void> => {
    // The answer to an earlier request may arrive later.
    const number = ++request;
    try {
      const found = await getJson<JobPageJson>(`/v1/jobs?${query()}`);
      if (signal.aborted || number !== request) return;
      show(found);
    } catch (error) {
      if (!signal.aborted && number === request) fill(message, errorBox(error));
    }
  };
  const show = ({ jobs, next: following }: JobPageJson): void => {
    next = following;
    newer.disabled = pages.length === 1;
    older.disabled = next === null;
    fill(page, `Page ${pages.length}`);
    const focused = body.contains(document.activeElement)
      ? document.activeElement!.getAttribute("href")
      : null;
    const old = new Map(rows);
    rows.clear();
    for (const job of jobs) rows.set(job.id, updated(job, old.get(job.id)));
    body.replaceChildren(...rows.values());
    body.querySelector<HTMLElement>(`a[href="${focused}"]`)?.focus();
    table.hidden = rows.size === 0;
    const isFiltered = state.value !== "" || submitter.value !== "" || pages.length > 1;
    const text = isFiltered ? "No job matches the filter." : "No job yet: submit one.";
    fill(message, rows.size === 0 && emptyState(text));
  };
  fill(
    main,
    h("h1", {}, "Jobs"),
    h(
      "form",
      {
        class: "row",
        onsubmit: (event) => {
          event.preventDefault();
          if (job.value !== "") location.hash = `#/job/${encodeURIComponent(job.value.trim())}`;
        },
      },
      h("label", {}, "State", state),
      h("label", {}, "Submitter", submitter),
      h("label", {}, "Job id", job),
      h("button", { type: "submit" }, "Open"),
    ),
    message,
    table,
    h("p", { class: "actions" }, newer, older, page),
  );
  const reload = throttle(() => void load(), { ms: RELOAD_MS, signal });
  changes.listen(({ jobs, more }) => {
    for (const job of jobs) {
      const row = rows.get(job.id);
      if (row !== undefined) updated(job, row);
    }
    // Only the first page follows new jobs: older pages stay as they are read.
    if (pages.length === 1 && (more || jobs.some(({ id }) => !rows.has(id)))) reload();
  }, signal);
  await load();
}

/** Shows a job in its row; the link stays, as it may have the focus. */
function updated(job: JobJson, row?: HTMLTableRowElement): HTMLTableRowElement {
  const cells = [
    job.submitter,
    h("span", { class: `state ${job.state}` }, job.state),
    resultText(job),
    timeText(job.created_at),
    runTimeText(job),
  ];
  if (row === undefined) {
    return tableRow(COLUMNS, [h("a", { href: `#/job/${job.id}` }, code(job.id)), ...cells]);
  }
  for (const [at, cell] of cells.entries()) fill(row.cells[at + 1]!, cell);
  return row;
}
