/// <reference lib="dom" />
/**
 * The view that submits a job.
 *
 * @module
 */
import type { JobJson } from "../../../api/mod.ts";
import { postJson, upload } from "./daemon_api.ts";
import { type Child, fill, h } from "./dom.ts";
import { acceptDrop, errorBox, type ViewContext } from "./view.ts";

/** A module and the name by which the program is called. */
interface NamedModule {
  module_hash: string;
  argv0: string;
}

/** Shows the form. */
export function submitView({ main, signal }: ViewContext): Promise<void> {
  const file = h("input", { type: "file", accept: ".wasm,application/wasm" });
  const reference = h("input", {
    type: "text",
    placeholder: "https://…, oci://HOST/REPO:TAG or sha256:…",
    spellcheck: "false",
    maxlength: 4096,
  });
  const args = h("textarea", { rows: 2, spellcheck: "false" });
  const env = h("textarea", { rows: 2, spellcheck: "false", placeholder: "NAME=value" });
  const stdin = h("textarea", { rows: 3, spellcheck: "false" });
  const stdinFile = h("input", { type: "file" });
  const outputs = h("input", { type: "text", placeholder: "out/ report.txt", spellcheck: "false" });
  const timeout = h("input", { type: "number", min: 1, value: 60, required: true });
  const memory = h("input", { type: "number", min: 1, value: 256, required: true });
  const target = h(
    "select",
    {},
    h("option", { value: "" }, "this node"),
    h("option", { value: "any" }, "another node that is found"),
  );
  const submitter = h("input", { type: "text", pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}" });
  const deterministic = h("input", { type: "checkbox" });
  const button = h("button", { type: "submit", class: "primary" }, "Run");
  const problem = h("div");

  const readModule = async (): Promise<NamedModule> => {
    const chosen = file.files?.[0];
    const named = reference.value.trim();
    if (chosen !== undefined && named !== "") {
      throw new Error("Choose either a file or a reference, not both");
    }
    if (chosen !== undefined) {
      const data = new Uint8Array(await chosen.arrayBuffer());
      return { module_hash: await upload("modules", data), argv0: chosen.name };
    }
    if (named === "") throw new Error("Choose a module's file, or enter a reference");
    const { hash } = await postJson<{ hash: string }>("/v1/modules", { reference: named });
    return { module_hash: hash, argv0: nameOf(named) };
  };
  const readStdin = async (): Promise<{ stdin_hash?: string }> => {
    const chosen = stdinFile.files?.[0];
    const data = chosen === undefined
      ? new TextEncoder().encode(stdin.value)
      : new Uint8Array(await chosen.arrayBuffer());
    return data.length === 0 ? {} : { stdin_hash: await upload("inputs", data) };
  };
  const send = async (): Promise<void> => {
    button.disabled = true;
    fill(problem, h("p", { role: "status" }, "Submitting…"));
    try {
      const variables = words(env.value, /\n/).map((line) => line.split(/=(.*)/s, 2));
      const paths = words(outputs.value, /\s+/);
      const { id } = await postJson<JobJson>("/v1/jobs", {
        manifest: {
          ...await readModule(),
          args: words(args.value, /\n/),
          ...(variables.length === 0 ? {} : { env: Object.fromEntries(variables) }),
          ...await readStdin(),
          ...(paths.length === 0 ? {} : { outputs: paths }),
          ...(deterministic.checked ? { profile: "deterministic" } : {}),
          resources: { timeout_seconds: timeout.valueAsNumber, memory_mb: memory.valueAsNumber },
        },
        ...(submitter.value === "" ? {} : { submitter: submitter.value }),
        ...(target.value === "" ? {} : { target: {} }),
      });
      if (!signal.aborted) location.hash = `#/job/${id}`;
    } catch (error) {
      fill(problem, errorBox(error));
    } finally {
      button.disabled = false;
    }
  };
  const drop = h(
    "fieldset",
    { class: "drop" },
    h("legend", {}, "Module"),
    field("File (or drop it here)", file),
    field("or reference", reference, "From a server in modules.hosts of the configuration"),
  );
  acceptDrop(drop, (files) => file.files = files);
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
      field("Arguments", args, "One a line"),
      field("Environment", env, "One variable a line"),
      field("Standard input", stdin),
      field("or from a file", stdinFile),
      field("Output files", outputs, "Paths in the job's file system; directories end in /"),
      h(
        "div",
        { class: "columns" },
        field("Time limit in seconds", timeout),
        field("Memory limit in MiB", memory),
        field("Run on", target),
        field("Submitter", submitter),
      ),
      h(
        "label",
        { class: "check" },
        deterministic,
        "Deterministic: every node returns the same bytes",
      ),
      h("p", { class: "actions" }, button),
    ),
    problem,
  );
  return Promise.resolve();
}

/** A control with its label and a note. */
function field(name: string, control: HTMLElement, note?: string): HTMLElement {
  const children: Child[] = [name, control];
  return h("label", {}, ...children, note === undefined ? null : h("small", {}, note));
}

function words(text: string, by: RegExp): string[] {
  return text.split(by).filter((one) => one !== "");
}

/** Program name of a reference: the last part of its path, without tag and digest. */
function nameOf(reference: string): string {
  return /([\w.-]+)(?::[\w.-]+)?(?:@[^/]*)?(?:[?#].*)?$/.exec(reference)?.[1] ?? "module";
}
