/** The last lines of a log, kept in memory for `twill bundle`: a container's own log is not for its processes to read. */
export class LogTail {
  readonly #lines: string[] = [];
  readonly #most: number;

  constructor(most = 2000) {
    this.#most = most;
  }

  add(line: string): void {
    this.#lines.push(line);
    // Twice the room, so that not each line moves all others.
    if (this.#lines.length >= this.#most * 2) this.#lines.splice(0, this.#lines.length - this.#most);
  }

  text(): string {
    return this.#lines
      .slice(-this.#most)
      .map((line) => `${line}\n`)
      .join("");
  }
}
