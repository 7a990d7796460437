/**
 * A tar archive (POSIX.1-1988 ustar), the same bytes for the same entries: owner 0, time 0, order as given. Sixty lines
 * instead of a dependency, because an image needs four kinds of entries and full control over every byte.
 */
export type TarEntry = { readonly path: string; readonly mode: number } & (
  | { readonly type: "file"; readonly content: Uint8Array }
  | { readonly type: "directory" }
  | { readonly type: "hard link" | "symbolic link"; readonly target: string }
);

const BLOCK = 512;
const typeFlags = { file: "0", "hard link": "1", "symbolic link": "2", directory: "5" } as const;

/** Paths are relative, without a leading "/", at most 100 bytes. Files are smaller than 8 GiB, the field's limit. */
export function tar(entries: readonly TarEntry[]): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const entry of entries) {
    const content = entry.type === "file" ? entry.content : new Uint8Array();
    pieces.push(header(entry, content.length), content, new Uint8Array(-content.length & (BLOCK - 1)));
  }
  // The end is two empty blocks.
  return Buffer.concat([...pieces, new Uint8Array(2 * BLOCK)]);
}

function header(entry: TarEntry, size: number): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const put = (offset: number, width: number, text: string) => {
    const bytes = new TextEncoder().encode(text);
    if (bytes.length > width)
      throw new Error(`${entry.path}: "${text}" is longer than the ${width} bytes of its field`);
    block.set(bytes, offset);
  };
  const octal = (offset: number, width: number, value: number) =>
    put(offset, width, `${value.toString(8).padStart(width - 1, "0")}\0`);
  put(0, 100, entry.type === "directory" ? `${entry.path}/` : entry.path);
  octal(100, 8, entry.mode);
  octal(108, 8, 0);
  octal(116, 8, 0);
  octal(124, 12, size);
  octal(136, 12, 0);
  put(148, 8, "        ");
  put(156, 1, typeFlags[entry.type]);
  if ("target" in entry) put(157, 100, entry.target);
  put(257, 8, "ustar\x0000");
  // The checksum counts its own field as spaces, and is written as six digits, NUL, space.
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, 8, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}
