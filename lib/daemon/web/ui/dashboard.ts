/// <reference lib="dom" />
/**
 * The dashboard: a page for each view, selected by the fragment of the address.
 *
 * @module
 */
import { Changes, type ConnectionState } from "./changes.ts";
import { type Child, fill, h } from "./dom.ts";
import { jobView } from "./job_view.ts";
import { jobsView } from "./jobs_view.ts";
import { networkView } from "./network_view.ts";
import { nodeView } from "./node_view.ts";
import { receiptView } from "./receipt_view.ts";
import { submitView } from "./submit_view.ts";
import { errorBox, type View } from "./view.ts";

const VIEWS: Record<string, { title: string; show: View; nav?: string }> = {
  "": { title: "Node", show: nodeView, nav: "Node" },
  jobs: { title: "Jobs", show: jobsView, nav: "Jobs" },
  job: { title: "Job", show: jobView },
  submit: { title: "Submit", show: submitView, nav: "Submit" },
  network: { title: "Network", show: networkView, nav: "Network" },
  receipt: { title: "Verify a receipt", show: receiptView, nav: "Verify" },
};

const STATES: Record<ConnectionState, () => Child> = {
  live: () => h("span", { class: "good" }, "live"),
  reconnecting: () => h("span", { class: "bad" }, "reconnecting…"),
  "signed-out": () => h("span", { class: "bad" }, "signed out: ", h("a", { href: "/" }, "sign in")),
};

const main = document.getElementById("main")!;
const nav = document.getElementById("nav")!;
const connection = document.getElementById("connection")!;
let shown = new AbortController();

const changes = new Changes((state) => fill(connection, STATES[state]()));

async function show(): Promise<void> {
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  const [name = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const view = VIEWS[name] ?? VIEWS[""]!;
  document.title = `${view.title} – plasm`;
  fill(
    nav,
    ...Object.entries(VIEWS).map(([path, { nav }]) =>
      nav !== undefined &&
      h("a", { href: `#/${path}`, "aria-current": path === name ? "page" : undefined }, nav)
    ),
  );
  fill(main, h("h1", {}, view.title), h("p", {}, "Loading…"));
  try {
    await view.show({ main, changes, rest: rest.join("/"), signal });
  } catch (error) {
    if (!signal.aborted) fill(main, h("h1", {}, view.title), errorBox(error));
  }
}

addEventListener("hashchange", () => {
  void show();
  // A screen reader continues at the new view.
  main.focus();
});
void show();
