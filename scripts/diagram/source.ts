/**
 * The diagram of ARCHITECTURE.md that there is a picture of, and which source a picture was made of.
 * @module
 */
import { sha256 } from "../compile/checksums.ts";

const ARCHITECTURE = new URL("../../ARCHITECTURE.md", import.meta.url);
const HEADING = "## From a client to a result";

/** The picture. */
export const PICTURE: URL = new URL("./architecture.svg", import.meta.url);

/** The Mermaid text under the heading. */
export async function diagramSource(): Promise<string> {
  const text = await Deno.readTextFile(ARCHITECTURE);
  const source = text.split(`${HEADING}\n`)[1]?.match(/```mermaid\n([^`]*)```/)?.[1];
  if (source === undefined) throw new Error(`ARCHITECTURE.md has no diagram under "${HEADING}"`);
  return source;
}

/** What a picture of a source carries. */
export async function sourceMark(source: string): Promise<string> {
  const hash = await sha256(new TextEncoder().encode(source));
  return `<metadata>Mermaid source, sha256 ${hash}</metadata>`;
}
