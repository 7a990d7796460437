import type { JsonDocument, JsonSpan } from "../../base/json.ts";
import { JsonError } from "../../base/json-error.ts";

/** A place in one document of a YAML stream. Offsets are the whole text's. */
export class Cursor {
  readonly document: Omit<JsonDocument, "root">;
  readonly text: string;
  /** Of the document, exclusive. */
  readonly end: number;
  at: number;

  constructor(document: Omit<JsonDocument, "root">, start: number, end: number) {
    this.document = document;
    this.text = document.text;
    this.at = start;
    this.end = end;
  }

  /** "" at the end. */
  charAt(offset: number): string {
    return offset < this.end ? (this.text[offset] ?? "") : "";
  }

  get char(): string {
    return this.charAt(this.at);
  }

  get atEnd(): boolean {
    return this.at >= this.end;
  }

  get column(): number {
    return this.columnOf(this.at);
  }

  columnOf(offset: number): number {
    return offset === 0 ? 0 : offset - (this.text.lastIndexOf("\n", offset - 1) + 1);
  }

  /** The rest of the line from here on, without what follows the document. */
  get line(): string {
    return this.text.slice(this.at, this.lineEnd(this.at));
  }

  lineEnd(offset: number): number {
    const newline = this.text.indexOf("\n", offset);
    return newline < 0 || newline > this.end ? this.end : newline;
  }

  /** White space or nothing behind the character at `offset`: what makes "-" an item and ":" a key's end. */
  separates(offset: number): boolean {
    return /^\s?$/.test(this.charAt(offset + 1));
  }

  skipSpaces(): void {
    while (this.char === " " || this.char === "\t") this.at++;
  }

  /** Nothing but a comment is left on this line. */
  get lineIsOver(): boolean {
    return this.atEnd || this.char === "\n" || this.#startsComment;
  }

  /** Behind white space only (section 6.6). */
  get #startsComment(): boolean {
    return this.char === "#" && (this.at === 0 || /\s/.test(this.text[this.at - 1] ?? ""));
  }

  /** To the next token, over blank lines and comments. In brackets, where nothing depends on indentation, tabs may indent: JSON's often do. */
  skipToContent(inBrackets = false): void {
    for (;;) {
      this.skipSpaces();
      if (this.#startsComment) this.at = this.lineEnd(this.at);
      else if (this.char === "\n") this.at++;
      else break;
    }
    if (!inBrackets) this.#refuseTab();
  }

  /** YAML 1.2 section 6.1: indentation is spaces, for a tab's width is anyone's guess. */
  #refuseTab(): void {
    if (this.atEnd) return;
    const start = this.at - this.column;
    const indentation = this.text.slice(start, this.at);
    const tab = indentation.indexOf("\t");
    if (tab < 0 || indentation.trim() !== "") return;
    this.fail({ start: start + tab, end: start + tab + 1 }, "a tab indents this line", "use spaces");
  }

  fail(span: JsonSpan, message: string, remedy: string): never {
    throw new JsonError(this.document, span, message, remedy);
  }

  /** Of what stands at the cursor, to the end of the line. */
  failHere(message: string, remedy: string): never {
    const end = this.at + Math.max(1, this.line.trimEnd().length);
    this.fail({ start: this.at, end }, message, remedy);
  }
}
