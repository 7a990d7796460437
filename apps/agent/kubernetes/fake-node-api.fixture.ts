import type { FakeClock } from "../../../src/base/clock.ts";
import { TwillError } from "../../../src/base/errors.ts";
import type { KubernetesClient } from "../../../src/store/kubernetes/client.ts";
import type { KubernetesObject, Node } from "../../../src/store/kubernetes/object.ts";
import { describePlace, type Place, type Resource } from "../../../src/store/kubernetes/resource.ts";

/** An object of the API with whatever fields it has. */
export type Fields = KubernetesObject & Readonly<Record<string, unknown>>;

/** Writes as an API server would take them, in memory; what is asked is kept. */
export class FakeNodeApi implements Pick<KubernetesClient, "create" | "patch"> {
  readonly asked: { readonly verb: string; readonly path: string; readonly body: Fields }[] = [];
  readonly objects = new Map<string, Fields>();
  /** Thrown by the next requests. */
  failure: TwillError | undefined;

  readonly open = () => Promise.resolve(this);

  async create<T extends KubernetesObject>(resource: Resource, place: Place, body: T): Promise<T> {
    const path = this.#ask("create", resource, place, body);
    if (this.objects.has(path)) throw new TwillError("exists", "exists already");
    this.objects.set(path, body as unknown as Fields);
    return body;
  }

  async patch<T extends KubernetesObject>(resource: Resource, place: Place, patch: unknown): Promise<T> {
    const path = this.#ask("patch", resource, place, patch);
    const stored = this.objects.get(path);
    if (stored === undefined && resource.plural !== "nodes") throw new TwillError("not-found", "does not exist");
    const merged = { metadata: { name: place.name ?? "" }, ...stored, ...(patch as object) };
    this.objects.set(path, merged as Fields);
    return merged as unknown as T;
  }

  #ask(verb: string, resource: Resource, place: Place, body: unknown): string {
    const path = describePlace(resource, place);
    this.asked.push({ verb, path, body: body as Fields });
    if (this.failure !== undefined) throw this.failure;
    return path;
  }
}

export const fakeNode = (name: string, fields: Partial<Node> = {}): Node => ({
  metadata: { name, uid: `uid-${name}`, resourceVersion: "1" },
  ...fields,
});

/** So many milliseconds, in which everybody who waits gets their turns. */
export async function pass(clock: FakeClock, milliseconds: number): Promise<void> {
  const step = 500;
  await turns();
  for (let passed = 0; passed < milliseconds; passed += step) {
    await clock.advance(Math.min(step, milliseconds - passed));
    await turns();
  }
}

/** What needs no time happens. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}
