import type { JsonError } from "../../base/json-error.ts";
import type { BackendConfig } from "../../model/network.ts";
import { nearest } from "../nearest.ts";
import { described, type Place, readObject, type Schema, text, wrong } from "../schema.ts";
import { type BackendType, backendFields, backendsWith, laterBackends } from "./backend-fields.ts";

export interface BackendOptions {
  /** The agent runs with --allow-extension-commands. */
  readonly allowExtension: boolean;
  /** Smallest MTU that the enabled families take (RFC 791: 68, RFC 8200: 1280), bytes. */
  readonly smallestMtu: number;
}

/** The default where net-conf.json has no Backend: Flannel's documentation says vxlan (its code once had udp). */
export const defaultBackend: BackendConfig = {
  type: "vxlan",
  vni: 1,
  port: 8472,
  gbp: false,
  learning: false,
  directRouting: false,
};

const today = Object.keys(backendFields);
const typeField = { Type: text({ meaning: "Which backend." }) };

/** @throws JsonError naming the field. */
export function readBackend(place: Place, options: BackendOptions): BackendConfig {
  const type = readType(place);
  switch (type) {
    case "vxlan": {
      const { values, at } = readOptions(type, backendFields.vxlan, place);
      if (values.MTU !== undefined && values.MTU < options.smallestMtu) {
        throw wrong(at("MTU"), `${values.MTU} is too small for IPv6`, `use ${options.smallestMtu} to 65535`);
      }
      return {
        type,
        vni: values.VNI,
        port: values.Port,
        gbp: values.GBP,
        learning: values.Learning,
        directRouting: values.DirectRouting,
        ...(values.MTU !== undefined && { mtu: values.MTU }),
      };
    }
    case "extension": {
      if (!options.allowExtension) {
        const remedy =
          "start the agent with --allow-extension-commands if you trust everyone who can write this file, or use another backend";
        throw wrong(place, "the extension backend runs commands of this file as root by a shell", remedy);
      }
      const { values } = readOptions(type, backendFields.extension, place);
      return {
        type,
        ...(values.PreStartupCommand !== undefined && { preStartup: values.PreStartupCommand }),
        ...(values.PostStartupCommand !== undefined && { postStartup: values.PostStartupCommand }),
        ...(values.SubnetAddCommand !== undefined && { subnetAdd: values.SubnetAddCommand }),
        ...(values.SubnetRemoveCommand !== undefined && { subnetRemove: values.SubnetRemoveCommand }),
      };
    }
    default:
      readOptions(type, backendFields[type], place);
      return { type };
  }
}

/** Flannel lowers the type before it looks it up, so any case will do. */
function readType(place: Place): BackendType {
  const { values, at } = readObject(typeField, place, { anyCase: true, unknown: "ignore" });
  const written = values.Type;
  if (written === undefined) throw wrong(place, "Backend has no Type", 'add "Type": "vxlan"');
  const lower = written.toLowerCase();
  if (isBackendType(lower)) return lower;
  const usable = today.join(", ");
  if (Object.hasOwn(laterBackends, lower)) {
    const later = Object.keys(laterBackends).join(", ");
    const message = `the backend ${lower} comes in a later version of Twill`;
    throw wrong(at("Type"), message, `use ${usable} today; ${later} come later`);
  }
  const meant = nearest(lower, today);
  const remedy = meant === undefined ? `use one of ${usable}` : `did you mean ${meant}? Known are ${usable}`;
  throw wrong(at("Type"), `${described(at("Type"))} is not a backend`, remedy);
}

const isBackendType = (word: string): word is BackendType => Object.hasOwn(backendFields, word);

function readOptions<S extends Schema>(type: BackendType, fields: S, place: Place) {
  return readObject({ ...typeField, ...fields }, place, {
    anyCase: true,
    explainUnknown: (name, at) => foreignOption(type, name, at),
  });
}

function foreignOption(type: BackendType, name: string, at: Place): JsonError | undefined {
  const owners = backendsWith(name);
  if (owners.length === 0) return undefined;
  const message = `${name} is an option of ${owners.join(" and ")}, not of ${type}`;
  return wrong(at, message, "remove it, or change Backend.Type");
}
