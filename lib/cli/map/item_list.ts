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
  /** Why it cannot be used. */
  error?: PlasmError;
}

/** Where items come from. */
export interface ItemList {
  /** Whether the items can be read more than once. */
  isRepeatable: boolean;
  /** Reads the items from the start. */
  read(): AsyncGenerator<ListItem, void, void>;
}

/** Options of {@linkcode itemList}. */
export interface ItemListOptions {
  /** `:::` or `::::` and the words after it. @default {standard input} */
  words: readonly string[] | undefined;
  /** Whether NUL ends an item instead of a newline. */
  isNull: boolean;
  /** Standard input. */
  stdin: () => ReadableStream<Uint8Array>;
}

/**
 * The items that a command line names.
 *
 * @throws {PlasmError} `usage` if it names more than one list; `bad-input` if the file cannot be read
 */
export async function itemList({ words, isNull, stdin }: ItemListOptions): Promise<ItemList> {
  const [separator, ...rest] = words ?? ["::::", "-"];
  const second = rest.find((word) => word === ":::" || word === "::::");
  if (second !== undefined) {
    throw new PlasmError("usage", `Cannot use ${second}: there is one list of items already`, {
      hint: "Combine the lists first, and pass one item a line on standard input",
    });
  }
  if (separator === ":::") {
    return {
      isRepeatable: true,
      read: async function* () {
        for (const text of rest) yield { text };
      },
    };
  }
  const [path] = rest;
  if (path === undefined || rest.length > 1) {
    throw new PlasmError("usage", `Cannot use ::::: it needs one file, found ${rest.length}`);
  }
  const end = isNull ? 0 : 10;
  if (path === "-") {
    return { isRepeatable: false, read: () => split(stdin(), end) };
  }
  try {
    const { isDirectory, isFile } = await Deno.stat(path);
    if (isDirectory) throw new Error("it is a directory");
    return { isRepeatable: isFile, read: () => splitFile(path, end) };
  } catch (error) {
    throw listError(path, error);
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
