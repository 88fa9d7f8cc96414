/**
 * Formats text for man(7).
 * @module
 */

/** Escapes text so that it contains no requests; hyphens are rendered as typed, not as dashes. */
export function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1");
}

/** Formats the title line: name, manual section, date, source, and title of the section. */
export function title(
  name: string,
  section: number,
  options: { date: string; of: string; title: string },
): string {
  const { date, of, title } = options;
  return `.TH "${roff(name)}" ${section} "${roff(date)}" "${roff(of)}" "${roff(title)}"`;
}

/** Options of every page. */
export interface PageOptions {
  /** Date of the page, as YYYY-MM-DD. */
  date: string;
}

/** Formats a section heading. */
export function section(name: string, ...lines: string[]): string {
  return [`.SH ${name.toUpperCase()}`, ...lines].join("\n");
}

/** Formats a subsection heading. */
export function subsection(name: string, ...lines: string[]): string {
  return [`.SS "${roff(name)}"`, ...lines].join("\n");
}

/** Formats a term and its description, both already escaped. */
export function item(term: string, text: string): string {
  return `.TP\n${term}\n${text}`;
}

/** Formats text in bold. The text is escaped. */
export function bold(text: string): string {
  return `\\fB${roff(text)}\\fR`;
}

/** Formats placeholder text in italics. */
export function italic(text: string): string {
  return `\\fI${roff(text)}\\fR`;
}

/** Formats a literal example, indented. */
export function example(does: string, call: string): string {
  return `.PP\n${roff(does)}:\n.PP\n.nf\n.RS\n${roff(call)}\n.RE\n.fi`;
}
