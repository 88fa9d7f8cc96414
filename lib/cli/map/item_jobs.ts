/**
 * Completes the job of an item from the options of `plasm map` and their replacement strings.
 *
 * @module
 */
import { createManifest, type JobInputs, type Manifest } from "../../core/mod.ts";
import { type PlacedJob, Template, type TemplateValues } from "../../map/mod.ts";
import { DEFAULT_CEILINGS, hashInputs } from "../../sandbox/mod.ts";
import type { ParsedArgs } from "../command.ts";
import { envOf, type JobBase, parseInput, readHostInputs } from "../exec/mod.ts";
import { readCappedFile } from "../host_files.ts";
import { type OutputTarget, outputTarget } from "../output_files/mod.ts";
import type { ListItem } from "./item_list.ts";

/** Maximum size of an item's standard input, in bytes: it is read whole. */
const MAX_STDIN_BYTES = 128 * 2 ** 20;

/** Files that every job has. */
interface SharedInputs {
  inputs: JobInputs;
  hashes: Manifest["inputs"];
  times: Record<string, number>;
}

/** Options whose values may have replacement strings. */
interface ItemTemplates {
  args: Template[];
  env: [name: string, value: Template][];
  inputs: { host: Template; guest: Template | undefined }[];
  stdin: Template | undefined;
  outputs: OutputTemplate[];
}

/** An option `--output GUEST[:HOST]`. */
export interface OutputTemplate {
  guest: Template;
  host: Template | undefined;
}

/** Options of {@linkcode ItemJobs.targets}. */
export interface TargetOptions {
  /** Position of the item, from 1. */
  index: number;
  /** Directory for outputs without a place of their own. @default {the working directory} */
  dir?: string | undefined;
  /** Whether existing files may be replaced. @default {with --force} */
  force?: boolean | undefined;
}

/** Jobs of items. */
export class ItemJobs {
  readonly #base: JobBase;
  readonly #templates: ItemTemplates;
  readonly #shared: SharedInputs;
  #count: number | undefined;
  readonly #force: boolean;
  readonly #hasResults: boolean;

  private constructor(
    base: JobBase,
    { templates, shared, args }: {
      templates: ItemTemplates;
      shared: SharedInputs;
      args: ParsedArgs;
    },
  ) {
    this.#force = args.flag("force");
    this.#hasResults = args.flag("results");
    this.#base = base;
    this.#templates = templates;
    this.#shared = shared;
  }

  /**
   * Reads the files that all jobs share.
   *
   * @throws {PlasmError} `bad-input`, `usage`
   */
  static async create(
    base: JobBase,
    { args, lists }: { args: ParsedArgs; lists: number },
  ): Promise<ItemJobs> {
    const templates = templatesOf(args, { base: base.manifest, lists });
    const fixed = templates.inputs.filter((input) => !isVariable(input));
    const { inputs, times } = await readHostInputs({
      dirs: [],
      inputs: fixed.map(({ host, guest }) => ({ host: host.text, guest: guest?.text })),
    }, DEFAULT_CEILINGS.fs_bytes);
    const shared = { inputs, times, hashes: await hashInputs(inputs) };
    templates.inputs = templates.inputs.filter(isVariable);
    return new ItemJobs(base, { templates, shared, args });
  }

  /** Whether two items could write one path on this machine: the path does not contain the item's number. */
  get mayShareOutputs(): boolean {
    return this.#templates.outputs.some(({ guest, host }) =>
      (!this.#hasResults || host !== undefined) && !(host ?? guest).isUnique
    );
  }

  /** Sets the number of items, which each job can read from its environment. */
  setCount(count: number | undefined): void {
    this.#count = count;
  }

  /** Where the outputs of an item are written that do not belong in the directory of results. */
  ownTargets(item: ListItem, options: TargetOptions): OutputTarget[] {
    const places = this.#templates.outputs.map(({ host }) => host);
    return this.targets(item, options)
      .filter((_, at) => !this.#hasResults || places[at] !== undefined);
  }

  /** What makes the run: another run has other templates. */
  describeTemplates(): Record<string, unknown> {
    const { args, env, inputs, stdin, outputs } = this.#templates;
    return {
      args: args.map(({ text }) => text),
      env: Object.fromEntries(env.map(([name, { text }]) => [name, text])),
      inputs: inputs.map(({ host, guest }) => [host.text, guest?.text ?? null]),
      stdin: stdin?.text ?? null,
      outputs: outputs.map(({ guest, host }) => [guest.text, host?.text ?? null]),
    };
  }

  /**
   * Reads the files of an item and completes its job.
   *
   * @throws {PlasmError} `bad-input` if a file cannot be read; `bad-manifest`
   */
  async describe(item: ListItem, index: number): Promise<PlacedJob> {
    if (item.error !== undefined) throw item.error;
    const values = valuesOf(item, index);
    const { module, moduleHash, manifest: base } = this.#base;
    const { args, env, inputs: templates, stdin: stdinTemplate } = this.#templates;
    const own = templates.length === 0 ? undefined : await readHostInputs({
      dirs: [],
      inputs: templates.map(({ host, guest }) => ({
        host: host.expand(values),
        guest: guest?.expand(values),
      })),
    }, DEFAULT_CEILINGS.fs_bytes);
    const inputs = { ...this.#shared.inputs, ...own?.inputs };
    const hashes = { ...this.#shared.hashes, ...(own && await hashInputs(own.inputs)) };
    const stdin = stdinTemplate === undefined
      ? new Uint8Array()
      : await readCappedFile(stdinTemplate.expand(values), {
        maxBytes: MAX_STDIN_BYTES,
        code: "bad-input",
        what: "standard input",
      });
    const names = new Set(this.targets(item, { index }).map(({ guest }) => guest));
    const manifest = createManifest({
      ...base,
      args: args.map((template) => template.expand(values)),
      env: {
        PLASM_INDEX: String(index),
        ...(this.#count === undefined ? {} : { PLASM_COUNT: String(this.#count) }),
        ...base.env,
        ...Object.fromEntries(env.map(([name, value]) => [name, value.expand(values)])),
      },
      ...(Object.keys(hashes).length === 0 ? {} : { inputs: hashes }),
      // As in plasm exec: a deterministic job does not depend on when files were copied to this machine.
      ...(Object.keys(hashes).length === 0 || base.profile === "deterministic"
        ? {}
        : { input_times: { ...this.#shared.times, ...own?.times } }),
      ...(names.size === 0 ? {} : { outputs: [...names] }),
    });
    return { module, moduleHash, manifest, stdin, inputs };
  }

  /**
   * Where the outputs of an item are written: those without a place of their own into a directory, if there is one.
   *
   * @throws {PlasmError} `usage` if a name cannot be used
   */
  targets(
    item: ListItem,
    { index, dir, force = this.#force }: TargetOptions,
  ): OutputTarget[] {
    const values = valuesOf(item, index);
    return this.#templates.outputs.map(({ guest, host }) => {
      const path = guest.expand(values);
      const base = path.replace(/\/+$/, "").split("/").at(-1)!;
      return outputTarget(path, {
        host: host?.expand(values) ?? (dir === undefined ? undefined : `${dir}/${base || "root"}`),
        force,
      });
    });
  }

  /** The command that runs the job of an item alone, for `--dry-run`. */
  commandOf(item: ListItem, { index, module }: { index: number; module: string }): string {
    const values = valuesOf(item, index);
    const { args, env, inputs, stdin, outputs } = this.#templates;
    const words = [
      "plasm",
      "exec",
      ...env.flatMap(([name, value]) => ["--env", `${name}=${value.expand(values)}`]),
      ...inputs.flatMap(({ host, guest }) => ["--input", joined(host, guest, values)]),
      ...outputs.flatMap(({ guest, host }) => ["--output", joined(guest, host, values)]),
      module,
      ...(args.length === 0 ? [] : ["--", ...args.map((arg) => arg.expand(values))]),
    ].map(quoteWord);
    if (stdin !== undefined) words.push("<", quoteWord(stdin.expand(values)));
    return words.join(" ");
  }
}

function valuesOf({ text, parts }: ListItem, index: number): TemplateValues {
  return { item: text, parts, index };
}

function joined(
  first: Template,
  second: Template | undefined,
  values: TemplateValues,
): string {
  return first.expand(values) + (second === undefined ? "" : `:${second.expand(values)}`);
}

/** Quotes a word for the shell, unless it needs no quotes. */
function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function isVariable({ host, guest }: { host: Template; guest: Template | undefined }): boolean {
  return host.isVariable || guest?.isVariable === true;
}

/**
 * Parses the options. Without a replacement string anywhere the item is the last argument, as in GNU parallel; the parts of
 * a combined item are the last arguments.
 */
function templatesOf(
  args: ParsedArgs,
  { base, lists }: { base: Manifest; lists: number },
): ItemTemplates {
  const template = (text: string): Template => new Template(text, lists);
  const pair = (text: string, colon: number): [Template, Template | undefined] =>
    colon < 0
      ? [template(text), undefined]
      : [template(text.slice(0, colon)), template(text.slice(colon + 1))];
  const stdin = args.string("stdin");
  const templates: ItemTemplates = {
    args: (args.rest ?? base.args).map(template),
    env: Object.entries(envOf(args)).map(([name, text]) => [name, template(text)]),
    inputs: args.strings("input").map(parseInput).map(({ host, guest }) => ({
      host: template(host),
      guest: guest === undefined ? undefined : template(guest),
    })),
    stdin: stdin === undefined ? undefined : template(stdin),
    outputs: args.strings("output").map((spec) => {
      const [guest, host] = pair(spec, spec.indexOf(":"));
      return { guest, host };
    }),
  };
  const used = [
    ...templates.args,
    ...templates.env.map(([, value]) => value),
    ...templates.inputs.flatMap(({ host, guest }) => [host, ...(guest ? [guest] : [])]),
    ...(templates.stdin ? [templates.stdin] : []),
    ...templates.outputs.flatMap(({ guest, host }) => [guest, ...(host ? [host] : [])]),
  ];
  if (!used.some(({ isVariable }) => isVariable)) {
    const names = lists === 1 ? ["{}"] : Array.from({ length: lists }, (_, at) => `{${at + 1}}`);
    templates.args.push(...names.map(template));
  }
  return templates;
}
