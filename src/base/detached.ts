/**
 * The same plain value, in strings of its own. A string that was cut out of a longer one keeps all of that in memory (JavaScriptCore shares
 * the characters), so what is kept of a decoded text must not be made of its slices: one label would hold a whole Pod.
 * Only for what JSON can say.
 */
export const detached = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
