/// <reference lib="dom" />
/**
 * The dashboard: a page for each view, chosen by the fragment of the address.
 *
 * @module
 */
import { Changes } from "./daemon_api.ts";
import { fill, h } from "./dom.ts";
import { jobView } from "./job_view.ts";
import { jobsView } from "./jobs_view.ts";
import { networkView } from "./network_view.ts";
import { nodeView } from "./node_view.ts";
import { receiptView } from "./receipt_view.ts";
import { submitView } from "./submit_view.ts";
import { errorBox, type View } from "./view.ts";

const VIEWS: Record<string, { title: string; show: View; inNav: boolean }> = {
  "": { title: "Node", show: nodeView, inNav: true },
  jobs: { title: "Jobs", show: jobsView, inNav: true },
  job: { title: "Job", show: jobView, inNav: false },
  submit: { title: "Submit", show: submitView, inNav: true },
  network: { title: "Network", show: networkView, inNav: true },
  receipt: { title: "Verify a receipt", show: receiptView, inNav: true },
};

const main = document.getElementById("main")!;
const nav = document.getElementById("nav")!;
const connection = document.getElementById("connection")!;
let shown = new AbortController();

const changes = new Changes((connected) => {
  fill(
    connection,
    connected ? h("span", { class: "good" }, "live") : h("span", { class: "bad" }, "reconnecting…"),
  );
});

async function show(): Promise<void> {
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  const [name = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const view = VIEWS[name] ?? VIEWS[""]!;
  document.title = `${view.title} – plasm`;
  fill(
    nav,
    ...Object.entries(VIEWS).filter(([, { inNav }]) => inNav).map(([path, { title }]) =>
      h("a", { href: `#/${path}`, "aria-current": path === name ? "page" : undefined }, title)
    ),
  );
  fill(main, h("h1", {}, view.title), h("p", {}, "Loading…"));
  try {
    await view.show({ main, changes, rest: rest.join("/"), signal });
  } catch (error) {
    if (!signal.aborted) fill(main, h("h1", {}, view.title), errorBox(error));
  }
}

addEventListener("hashchange", () => void show());
void show();
