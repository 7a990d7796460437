import { type ErrorCode, TwillError } from "./errors.ts";

/** Line and column, both counted from 1; columns in UTF-16 code units. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export function positionAt(text: string, offset: number): Position {
  let line = 1;
  let lineStart = 0;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) {
    line++;
    lineStart = at + 1;
  }
  return { line, column: offset - lineStart + 1 };
}

const excerptWidth = 100;

/** The line of `start` with carets below what is meant, cut to 100 columns, control characters made visible. */
export function excerptOf(text: string, start: number, end: number): string {
  const lineStart = start === 0 ? 0 : text.lastIndexOf("\n", start - 1) + 1;
  const newline = text.indexOf("\n", start);
  const lineEnd = newline < 0 ? text.length : newline;
  const from = Math.max(lineStart, Math.min(start - 40, lineEnd - excerptWidth));
  const to = Math.min(lineEnd, from + excerptWidth);
  const line = text.slice(from, to).replace(/\s/g, " ").replace(/\p{C}/gu, "·").trimEnd();
  const carets = "^".repeat(Math.max(1, Math.min(end, to) - start));
  return `${line}\n${" ".repeat(start - from)}${carets}`;
}

/** Something wrong at a place in a JSON document. */
export class JsonError extends TwillError {
  readonly position: Position;
  /** The field: "Backend.VNI". Undefined: the document itself, or it could not be read that far. */
  readonly path: string | undefined;
  /** Two lines: the text, and carets below it. */
  readonly excerpt: string;

  constructor(
    document: { readonly text: string; readonly source: string; readonly code: ErrorCode },
    span: { readonly start: number; readonly end: number },
    message: string,
    remedy: string,
    path?: string,
  ) {
    const position = positionAt(document.text, span.start);
    const place = `${document.source} line ${position.line}, column ${position.column}`;
    super(document.code, message, {
      operation: "read",
      object: path === undefined || path === "" ? place : `${place}: ${path}`,
      remedy,
    });
    this.position = position;
    this.path = path === "" ? undefined : path;
    this.excerpt = excerptOf(document.text, span.start, span.end);
  }

  /** The line of TwillError, and the excerpt below it. */
  override describe(): string {
    return `${super.describe()}\n${this.excerpt}`;
  }
}
