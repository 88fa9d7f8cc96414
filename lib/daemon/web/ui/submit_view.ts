/// <reference lib="dom" />
/**
 * The view that submits a job.
 *
 * @module
 */
import type { JobJson } from "../../../api/mod.ts";
import { sha256 } from "../../../core/mod.ts";
import { postJson, request } from "./daemon_api.ts";
import { fill, h } from "./dom.ts";
import { acceptDrop } from "./receipt_view.ts";
import { errorBox, type ViewContext } from "./view.ts";

/** Shows the form. */
export function submitView({ main }: ViewContext): Promise<void> {
  const module = h("input", { type: "file", accept: ".wasm", required: true });
  const args = h("textarea", { rows: 2 });
  const stdin = h("textarea", { rows: 4 });
  const outputs = h("input", { type: "text", placeholder: "out/ report.txt" });
  const timeout = h("input", { type: "number", min: 1, value: 60 });
  const memory = h("input", { type: "number", min: 1, value: 256 });
  const submitter = h("input", { type: "text" });
  const deterministic = h("input", { type: "checkbox" });
  const button = h("button", { type: "submit" }, "Run");
  const problem = h("div");
  const send = async (): Promise<void> => {
    const file = module.files?.[0];
    if (file === undefined) return;
    button.disabled = true;
    fill(problem);
    try {
      const module_hash = await upload("modules", new Uint8Array(await file.arrayBuffer()));
      const text = new TextEncoder().encode(stdin.value);
      const words = (value: string, by: RegExp) => value.split(by).filter((one) => one !== "");
      const files = words(outputs.value, /\s+/);
      const { id } = await postJson<JobJson>("/v1/jobs", {
        manifest: {
          module_hash,
          argv0: file.name,
          args: words(args.value, /\n/),
          ...(text.length === 0 ? {} : { stdin_hash: await upload("inputs", text) }),
          ...(files.length === 0 ? {} : { outputs: files }),
          ...(deterministic.checked ? { profile: "deterministic" } : {}),
          resources: { timeout_seconds: timeout.valueAsNumber, memory_mb: memory.valueAsNumber },
        },
        ...(submitter.value === "" ? {} : { submitter: submitter.value }),
      });
      location.hash = `#/job/${id}`;
    } catch (error) {
      fill(problem, errorBox(error));
    } finally {
      button.disabled = false;
    }
  };
  const drop = h("div", { class: "drop" }, h("label", {}, "Module (or drop it here)", module));
  acceptDrop(drop, (files) => module.files = files);
  fill(
    main,
    h("h1", {}, "Submit"),
    h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          void send();
        },
      },
      drop,
      h("label", {}, "Arguments, one a line", args),
      h("label", {}, "Standard input", stdin),
      h("label", {}, "Output files, by path in the job's file system", outputs),
      h("label", {}, "Time limit, in seconds", timeout),
      h("label", {}, "Memory limit, in MiB", memory),
      h("label", {}, "Submitter", submitter),
      h("label", { class: "check" }, deterministic, "Deterministic: anyone gets the same bytes"),
      button,
    ),
    problem,
  );
  return Promise.resolve();
}

/** Uploads content unless the daemon has it, and returns its hash. */
async function upload(kind: "modules" | "inputs", data: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = await sha256(data);
  const path = `/v1/${kind}/${hash}`;
  const { status } = await fetch(path, { method: "HEAD" });
  if (status !== 200) {
    const headers = { "content-type": "application/octet-stream" };
    await request(path, { method: "PUT", body: data, headers });
  }
  return hash;
}
