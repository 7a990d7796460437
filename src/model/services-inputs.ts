import type { EndpointSlice, ServiceName, ServicesModel } from "./services.ts";

/** Which entries of a ServicesModel are other than before. */
export interface ServicesModelChange {
  readonly services: ReadonlySet<ServiceName>;
  /** Services whose slices changed. */
  readonly endpoints: ReadonlySet<ServiceName>;
}

/** The model as it is now, and its changes: one live object, whose entries are replaced, never changed in place. */
export interface ServicesInputs {
  readonly model: ServicesModel;
  slicesOf(service: ServiceName): readonly EndpointSlice[];
  /** What changed since the last call; undefined: nothing. One reader. */
  takeChange(): ServicesModelChange | undefined;
}
