import type { BackendConfig } from "../model/network.ts";
import { alloc } from "./alloc/alloc.ts";
import type { Backend } from "./backend.ts";
import { extension } from "./extension/extension.ts";
import { hostgw } from "./hostgw/hostgw.ts";
import { vxlan } from "./vxlan/vxlan.ts";

/** Every backend, by Backend.Type. The type makes a configuration without a backend a compile error, and the reverse. */
export const backends: { readonly [C in BackendConfig as C["type"]]: Backend<C> } = {
  vxlan,
  "host-gw": hostgw,
  alloc,
  extension,
};

/** The backend of a configuration. */
export const backendOf = (config: BackendConfig): Backend => backends[config.type];
