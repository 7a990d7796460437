import { familyOf, parseAddress } from "../../base/address.ts";
import { parseInterfaceAddress, parsePrefix } from "../../base/prefix.ts";
import { integer, list, object, type Place, readObject, required, text, type Values, wrong } from "../schema.ts";
import type { CniDns, CniIp, CniResult, CniRoute } from "./result.ts";
import { atLeast, type CniVersion, parseVersion } from "./version.ts";

// Other plugins of a chain wrote it: what we do not know is left alone. Masks of routes are cleared, for the reference
// plugins print host bits.
const lenient = { unknown: "ignore" } as const;
const words = list({ of: text(), max: 256 });

export const dnsFields = {
  nameservers: words,
  domain: text(),
  search: words,
  options: words,
};

export const routeFields = {
  dst: required(text({ type: "IP network", parse: parsePrefix })),
  gw: text({ type: "IP address", parse: parseAddress }),
  mtu: integer({ min: 0, max: 0xffffffff }),
  advmss: integer({ min: 0, max: 0xffffffff }),
  priority: integer({ min: 0, max: 0xffffffff }),
  table: integer({ min: 0, max: 0xffffffff }),
  scope: integer({ min: 0, max: 255 }),
};

const ipFields = {
  version: text(),
  address: required(text({ type: "IP address with mask", parse: parseInterfaceAddress })),
  gateway: text({ type: "IP address", parse: parseAddress }),
  interface: integer({ min: 0, max: 1024 }),
};
const ips = list({ of: object({ ...lenient, fields: ipFields }), max: 256 });
const routes = list({ of: object({ ...lenient, fields: routeFields }), max: 4096 });

/** 0.3.0 and later. `ip`: a slip of the text of 0.3.0, corrected in 0.3.1, that some plugin may have followed. */
const listShape = {
  interfaces: list({
    of: object({
      ...lenient,
      fields: {
        name: required(text()),
        mac: text(),
        sandbox: text(),
        mtu: integer({ min: 0, max: 0xffffffff }),
        socketPath: text(),
        pciID: text(),
      },
    }),
    max: 256,
  }),
  ips,
  ip: ips,
  routes,
  dns: object({ ...lenient, fields: dnsFields }),
};

const familyFields = {
  ip: required(text({ type: "IP address with mask", parse: parseInterfaceAddress })),
  gateway: text({ type: "IP address", parse: parseAddress }),
  routes,
};
/** 0.1.0 and 0.2.0. */
const familyShape = {
  ip4: object({ ...lenient, fields: familyFields }),
  ip6: object({ ...lenient, fields: familyFields }),
  dns: object({ ...lenient, fields: dnsFields }),
};

/** A result of any version, told by its own cniVersion or else `fallback`. @throws JsonError, CniError 1 or 6. */
export function readResult(place: Place, fallback: CniVersion): CniResult {
  const own = readObject({ cniVersion: text() }, place, { unknown: "ignore" }).values.cniVersion;
  const version = own === undefined ? fallback : parseVersion(own);
  return atLeast(version, "0.3.0") ? readLists(place) : readFamilies(place);
}

function readLists(place: Place): CniResult {
  const reading = readObject(listShape, place, { unknown: "ignore" });
  const { values } = reading;
  const interfaces = (values.interfaces ?? []).map((one) => defined(one));
  const field = values.ips === undefined ? "ip" : "ips";
  const addresses = (values[field] ?? []).map(({ version, ...ip }): CniIp => {
    if (version !== undefined && version !== String(familyOf(ip.address.address))) {
      throw wrong(reading.at(field), `${ip.address.address} is not of IP version ${version}`, "correct the plugin");
    }
    if (ip.interface !== undefined && ip.interface >= interfaces.length) {
      const message = `there is no interface ${ip.interface} for ${ip.address.address}`;
      throw wrong(reading.at(field), message, `count from 0; the result has ${interfaces.length} interfaces`);
    }
    return defined(ip);
  });
  return {
    interfaces,
    ips: addresses,
    routes: (values.routes ?? []).map((route): CniRoute => defined(route)),
    ...(values.dns !== undefined && { dns: readDns(values.dns) }),
  };
}

function readFamilies(place: Place): CniResult {
  const { values } = readObject(familyShape, place, { unknown: "ignore" });
  const families = [values.ip4, values.ip6].filter((family) => family !== undefined);
  return {
    interfaces: [],
    ips: families.map(({ ip, gateway }): CniIp => defined({ address: ip, gateway })),
    routes: families.flatMap((family) => family.routes ?? []).map((route): CniRoute => defined(route)),
    ...(values.dns !== undefined && { dns: readDns(values.dns) }),
  };
}

export const readDns = (values: Values<typeof dnsFields>): CniDns => defined(values);

type Defined<T> = { readonly [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  readonly [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** The same fields without those that are undefined. */
export function defined<T extends object>(values: T): Defined<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<T>;
}
