/** Parses JSON with comments; throws `SyntaxError` on malformed text. */
export function parse(text: string): unknown;
