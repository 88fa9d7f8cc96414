/**
 * Text as man(7) takes it.
 * @module
 */

/** Text in which nothing is an instruction; a hyphen is what is typed, not a dash. */
export function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1");
}

/** A title line: name, manual section, what the page belongs to, and the section's own title. */
export function title(
  name: string,
  section: number,
  options: { of: string; title: string },
): string {
  return `.TH "${roff(name)}" ${section} "" "${roff(options.of)}" "${roff(options.title)}"`;
}

/** A section. */
export function section(name: string, ...lines: string[]): string {
  return [`.SH ${name.toUpperCase()}`, ...lines].join("\n");
}

/** A subsection. */
export function subsection(name: string, ...lines: string[]): string {
  return [`.SS "${roff(name)}"`, ...lines].join("\n");
}

/** A term and its explanation, both already roff. */
export function item(term: string, text: string): string {
  return `.TP\n${term}\n${text}`;
}

/** Bold; of text, not of roff. */
export function bold(text: string): string {
  return `\\fB${roff(text)}\\fR`;
}

/** Italics, for what stands for something else. */
export function italic(text: string): string {
  return `\\fI${roff(text)}\\fR`;
}

/** An example: indented, as typed. */
export function example(does: string, call: string): string {
  return `.PP\n${roff(does)}:\n.PP\n.nf\n.RS\n${roff(call)}\n.RE\n.fi`;
}
