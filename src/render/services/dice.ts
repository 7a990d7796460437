/**
 * nf_tables draws numbers below a constant only, and pools have any size. So there are dice of a few sizes: a pool throws the smallest one that has
 * a face for each of its endpoints, and throws again when the face has none. All faces are as likely, hence so are the endpoints.
 * Pools of up to eight never throw in vain, others at most every third time.
 */
export const dice: readonly number[] = [
  ...[1, 2, 3, 4, 5, 6, 7, 8],
  ...[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13].flatMap((bit) => [3 * 2 ** bit, 4 * 2 ** bit]),
];

/** Most endpoints that a pool can have. */
export const largestPool = dice.at(-1) ?? 1;

/** The die of a pool of so many endpoints, 1 to `largestPool`. */
export const dieFor = (count: number): number => dice.find((faces) => faces >= count) ?? largestPool;

/**
 * What is thrown, one after the other, until a face has an endpoint. In vain only one time in 700 for the worst size; then a die whose faces
 * all have one, which gives the first endpoints that much more. Dice that always hit are thrown again all the same: while a pool is being
 * changed, a packet may find the number of one state and the endpoints of another.
 */
export function throwsOf(faces: number): readonly number[] {
  const smaller = dice[dice.indexOf(faces) - 1];
  return faces <= 8 ? [faces, faces, 1] : [...new Array<number>(6).fill(faces), smaller ?? 1, 1];
}
