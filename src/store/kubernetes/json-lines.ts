import { TwillError } from "../../base/errors.ts";

/** Larger than any object an API server takes (3 MiB), with room for its escapes. */
const LONGEST_LINE = 16 * 1024 * 1024;

/**
 * The JSON values of a stream, one a line. A last line without its end is dropped: the connection broke in the middle.
 * @throws TwillError `corrupt` for a line that is no JSON or longer than 16 MiB, and whatever the stream throws.
 */
export async function* jsonLines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  // One decoder for the stream: a character may be split between two chunks.
  const decoder = new TextDecoder();
  let rest: string[] = [];
  let length = 0;
  for await (const chunk of stream) {
    const text = decoder.decode(chunk, { stream: true });
    let from = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", from)) {
      rest.push(text.slice(from, end));
      from = end + 1;
      const line = rest.join("");
      rest = [];
      length = 0;
      if (line.trim() !== "") yield parse(line);
    }
    if (from < text.length) rest.push(text.slice(from));
    length += text.length - from;
    if (length > LONGEST_LINE) throw broken(`a line has more than ${LONGEST_LINE} characters`);
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw broken(`a line is not JSON: ${line.slice(0, 80)}`);
  }
}

const broken = (message: string): TwillError =>
  new TwillError("corrupt", message, {
    operation: "read watch",
    remedy: "check what stands between us and the API server",
  });
