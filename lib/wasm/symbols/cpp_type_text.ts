/**
 * Composes the text of C++ types from their parts.
 *
 * @module
 */

/** Text of a type around its declarator: `int (*` and `)(char)`. */
export interface CppType {
  left: string;
  right: string;
  /** Whether a pointer to it needs parentheses. */
  isFunction?: boolean | undefined;
  isArray?: boolean | undefined;
  /** Elements of a parameter pack. */
  pack?: CppType[] | undefined;
}

/** Text of a type, or of a pack with commas. */
export function writtenType({ left, right, pack, isFunction }: CppType): string {
  if (pack !== undefined) return pack.map(writtenType).join(", ");
  return isFunction ? `${left.trimEnd()} ${right}` : left + right;
}

/** Written elements of a pack, or the one type. */
export function writtenPack(text: CppType): string[] {
  return text.pack === undefined ? [writtenType(text)] : text.pack.map(writtenType);
}

/** Changes a type, or each of a pack. */
export function mapPack(text: CppType, change: (one: CppType) => CppType): CppType {
  if (text.pack === undefined) return change(text);
  return { left: "", right: "", pack: text.pack.map(change) };
}

/** Adds a suffix, such as a qualifier, to a type. */
export function withSuffix(type: CppType, suffix: string): CppType {
  return { ...type, left: type.left + suffix };
}

/** Space between a text and what follows, unless the text ends in one. */
export function spaceAfter(left: string): string {
  return left.endsWith(" ") ? "" : " ";
}

/** A pointer to a type; `mark` is `*` or `Class::*`. */
export function pointerTo(type: CppType, mark: string): CppType {
  const isMember = mark.length > 2;
  if (type.isFunction) return { left: `${type.left}(${mark}`, right: `)${type.right}` };
  if (type.isArray) return { left: `${type.left} (${mark}`, right: `)${type.right}` };
  return { left: `${type.left}${isMember ? " " : ""}${mark}`, right: type.right };
}

/** A reference; references to references collapse. */
export function referenceTo(type: CppType, mark: string): CppType {
  if (!type.isFunction && !type.isArray && type.left.endsWith("&")) {
    const isLvalue = mark === "&" || !type.left.endsWith("&&");
    return { ...type, left: `${type.left.replace(/&+$/, "")}${isLvalue ? "&" : "&&"}` };
  }
  return pointerTo(type, mark);
}
