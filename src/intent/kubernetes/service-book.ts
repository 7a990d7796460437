import type { EndpointSlice, Service, ServiceName, ServicesModel } from "../../model/services.ts";
import type { ServicesInputs, ServicesModelChange } from "../../model/services-inputs.ts";

/** The Services of a cluster, kept from what its objects become, and which of them are other than before. */
export class ServiceBook implements ServicesInputs {
  readonly #services = new Map<ServiceName, Service>();
  readonly #slices = new Map<string, EndpointSlice>();
  readonly #byService = new Map<ServiceName, Map<string, EndpointSlice>>();
  #changed = noChange();

  readonly model: ServicesModel = { services: this.#services, slices: this.#slices };

  slicesOf(service: ServiceName): readonly EndpointSlice[] {
    return [...(this.#byService.get(service)?.values() ?? [])];
  }

  /** @param name "namespace/name". Undefined: there is nothing to translate, or it is gone. */
  putService(name: ServiceName, service: Service | undefined): void {
    const known = this.#services.get(name);
    if (Bun.deepEquals(known, service, true)) return;
    if (service === undefined) this.#services.delete(name);
    else this.#services.set(name, service);
    this.#changed.services.add(name);
  }

  /** @param name "namespace/slice". */
  putSlice(name: string, slice: EndpointSlice | undefined): void {
    const known = this.#slices.get(name);
    if (Bun.deepEquals(known, slice, true)) return;
    if (known !== undefined) this.#leave(name, known);
    if (slice === undefined) {
      this.#slices.delete(name);
      return;
    }
    this.#slices.set(name, slice);
    const service = serviceOf(slice);
    const all = this.#byService.get(service) ?? new Map<string, EndpointSlice>();
    this.#byService.set(service, all.set(name, slice));
    this.#changed.endpoints.add(service);
  }

  #leave(name: string, slice: EndpointSlice): void {
    const service = serviceOf(slice);
    const all = this.#byService.get(service);
    if (all?.delete(name) === true && all.size === 0) this.#byService.delete(service);
    this.#changed.endpoints.add(service);
  }

  takeChange(): ServicesModelChange | undefined {
    const change = this.#changed;
    if (change.services.size === 0 && change.endpoints.size === 0) return undefined;
    this.#changed = noChange();
    return change;
  }
}

const noChange = () => ({ services: new Set<ServiceName>(), endpoints: new Set<ServiceName>() });

const serviceOf = ({ namespace, service }: EndpointSlice): ServiceName => `${namespace}/${service}`;
