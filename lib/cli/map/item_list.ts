/**
 * Reads the items of `plasm map`: from the command line, a file or standard input, one at a time.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { concat, escapeText } from "../../util/mod.ts";
import { fileErrorReason } from "../host_files.ts";

/** Longest item, in bytes: longer than any path, and than most arguments. */
const MAX_ITEM_BYTES = 128 * 1024;

/** One item of a list. */
export interface ListItem {
  /** Its text; for an item that is not UTF-8, what can be read of it. */
  text: string;
  /** Its parts, if it is combined from several lists. */
  parts?: readonly string[];
  /** Why it cannot be used. */
  error?: PlasmError;
}

/** Where items come from. */
export interface ItemList {
  /** Whether the items can be read more than once. */
  isRepeatable: boolean;
  /** Number of lists that it is combined from. */
  lists: number;
  /** Reads the items from the start. */
  read(): AsyncGenerator<ListItem, void, void>;
}

/** Options of {@linkcode itemList}. */
export interface ItemListOptions {
  /** The words from the first `:::` or `::::` on. @default {standard input} */
  words: readonly string[] | undefined;
  /** Whether NUL ends an item instead of a newline. */
  isNull: boolean;
  /** Standard input. */
  stdin: () => ReadableStream<Uint8Array>;
}

/** Most lists that are combined: as many as there are numbers of two digits in replacement strings. */
const MAX_LISTS = 99;

/**
 * The items that a command line names. Several lists are combined as in GNU parallel: each item of one with each of the
 * next, or with `:::+` and `::::+` the first with the first, until one list ends.
 *
 * @throws {PlasmError} `usage` if lists cannot be combined; `bad-input` if a file cannot be read
 */
export async function itemList(
  { words = ["::::", "-"], isNull, stdin }: ItemListOptions,
): Promise<ItemList> {
  const end = isNull ? 0 : 10;
  const groups: ItemList[][] = [];
  for (const { separator, names } of listsOf(words)) {
    const isInline = separator.startsWith(":::") && !separator.startsWith("::::");
    const lists = isInline
      ? [inlineList(names)]
      : await Promise.all(names.map((path) => fileList(path, { end, stdin })));
    if (separator.endsWith("+")) groups.at(-1)!.push(...lists);
    else groups.push(...lists.map((list) => [list]));
  }
  const all = groups.flat();
  const isLate = (list: ItemList): boolean => !list.isRepeatable && list !== all[0];
  if (groups.length > 1 && all.some(isLate)) {
    throw new PlasmError("usage", "Cannot combine lists: only the first can be a pipe", {
      hint: "Name the pipe first, or save its items to a file",
    });
  }
  if (all.length > MAX_LISTS) {
    throw new PlasmError("usage", `Cannot combine ${all.length} lists, at most ${MAX_LISTS}`);
  }
  if (all.length === 1) return all[0]!;
  return {
    isRepeatable: all.every(({ isRepeatable }) => isRepeatable),
    lists: all.length,
    read: async function* () {
      for await (const parts of product(groups)) {
        const texts = parts.map(({ text }) => text);
        const error = parts.find(({ error }) => error !== undefined)?.error;
        yield { text: texts.join(" "), parts: texts, ...(error === undefined ? {} : { error }) };
      }
    },
  };
}

/** Splits the words after the options into lists. */
function listsOf(words: readonly string[]): { separator: string; names: string[] }[] {
  const lists: { separator: string; names: string[] }[] = [];
  for (const word of words) {
    if (/^::::?\+?$/.test(word)) lists.push({ separator: word, names: [] });
    else lists.at(-1)!.names.push(word);
  }
  for (const { separator, names } of lists) {
    if (!separator.startsWith("::::")) continue;
    if (names.length > 0) continue;
    throw new PlasmError("usage", `Cannot use ${separator}: it needs a file`, {
      hint: "Name a file with an item on each line, or - for standard input",
    });
  }
  const inputs = lists.filter(({ separator }) => separator.startsWith("::::"))
    .flatMap(({ names }) => names.filter((name) => name === "-"));
  if (inputs.length > 1) {
    throw new PlasmError("usage", "Cannot read standard input as two lists of items");
  }
  return lists;
}

function inlineList(texts: readonly string[]): ItemList {
  return {
    isRepeatable: true,
    lists: 1,
    read: async function* () {
      for (const text of texts) yield { text };
    },
  };
}

async function fileList(
  path: string,
  { end, stdin }: { end: number } & Pick<ItemListOptions, "stdin">,
): Promise<ItemList> {
  if (path === "-") return { isRepeatable: false, lists: 1, read: () => split(stdin(), end) };
  try {
    const { isDirectory, isFile } = await Deno.stat(path);
    if (isDirectory) throw new Error("it is a directory");
    return { isRepeatable: isFile, lists: 1, read: () => splitFile(path, end) };
  } catch (error) {
    throw listError(path, error);
  }
}

/** Combines each entry of a group with each of the following ones; the first group varies slowest. */
async function* product(groups: readonly ItemList[][]): AsyncGenerator<ListItem[], void, void> {
  const [first, ...rest] = groups;
  if (first === undefined) return yield [];
  for await (const head of linked(first)) {
    for await (const tail of product(rest)) yield [...head, ...tail];
  }
}

/** Reads lists in step, until one of them ends. */
async function* linked(lists: readonly ItemList[]): AsyncGenerator<ListItem[], void, void> {
  const readers = lists.map((list) => list.read());
  try {
    while (true) {
      const parts: ListItem[] = [];
      for (const reader of readers) {
        const { done, value } = await reader.next();
        if (done) return;
        parts.push(value);
      }
      yield parts;
    }
  } finally {
    for (const reader of readers) await reader.return();
  }
}

async function* splitFile(path: string, end: number): AsyncGenerator<ListItem, void, void> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    throw listError(path, error);
  }
  yield* split(file.readable, end);
}

/** Splits a stream at a byte; what follows the last one is an item unless it is empty. */
async function* split(
  stream: ReadableStream<Uint8Array>,
  end: number,
): AsyncGenerator<ListItem, void, void> {
  let rest: Uint8Array[] = [];
  let restBytes = 0;
  for await (const chunk of stream) {
    let at = 0;
    for (let next = chunk.indexOf(end); next >= 0; next = chunk.indexOf(end, at)) {
      yield itemOf(concat([...rest, chunk.subarray(at, next)]));
      rest = [];
      restBytes = 0;
      at = next + 1;
    }
    if (at === chunk.length) continue;
    rest.push(chunk.slice(at));
    restBytes += chunk.length - at;
    if (restBytes > MAX_ITEM_BYTES) {
      throw new PlasmError(
        "bad-input",
        `Cannot read items: one has more than ${MAX_ITEM_BYTES} bytes`,
        { hint: end === 0 ? "Separate the items by NUL" : "Use --null for items ended by NUL" },
      );
    }
  }
  if (restBytes > 0) yield itemOf(concat(rest));
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function itemOf(bytes: Uint8Array): ListItem {
  try {
    return { text: strict.decode(bytes) };
  } catch {
    const text = new TextDecoder().decode(bytes);
    const message = `Cannot use item ${escapeText(text)}: it is not valid UTF-8`;
    return { text, error: new PlasmError("bad-input", message) };
  }
}

function listError(path: string, error: unknown): PlasmError {
  const reason = fileErrorReason(error);
  return new PlasmError("bad-input", `Cannot read items: ${reason}: ${escapeText(path)}`);
}
