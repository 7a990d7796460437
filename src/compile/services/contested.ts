/**
 * What only one can have, by key, claimed by many: the first by name has it, on every node alike. What is won does not depend on
 * the order of claims.
 */
export class Contested<K extends string, V> {
  readonly #claims = new Map<K, Map<string, V>>();

  claim(key: K, claimant: string, value: V): void {
    const claims = this.#claims.get(key);
    if (claims === undefined) this.#claims.set(key, new Map([[claimant, value]]));
    else claims.set(claimant, value);
  }

  release(key: K, claimant: string): void {
    const claims = this.#claims.get(key);
    if (claims?.delete(claimant) === true && claims.size === 0) this.#claims.delete(key);
  }

  winner(key: K): { readonly claimant: string; readonly value: V } | undefined {
    let won: { readonly claimant: string; readonly value: V } | undefined;
    for (const [claimant, value] of this.#claims.get(key) ?? []) {
      if (won === undefined || claimant < won.claimant) won = { claimant, value };
    }
    return won;
  }
}
