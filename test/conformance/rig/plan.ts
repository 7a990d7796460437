import { type Address, type Family, parseAddress } from "../../../src/base/address.ts";

/** Addresses of the bare cluster, as the oracle's random clusters have them: node i is 192.168.50.i, its pods 10.244.i.0/24. */
export const nodeNumbers = [1, 2, 3] as const;
/** Host number of a node's first pod. */
export const firstHost = 2;

export const nodeName = (node: number): string => `n${node}`;
export const underlayOf = (node: number, family: Family): Address =>
  parseAddress(family === 4 ? `192.168.50.${node}` : `fd00:192:168:50::${node}`);
export const underlay = (node: number): Address[] => [underlayOf(node, 4), underlayOf(node, 6)];

/** Its address in the internet, and its tunnel devices'. */
export const furtherAddresses = (node: number): Address[] =>
  [`203.0.113.${node}`, `10.244.${node}.0`, `fd00:10:244:${node}::`].map(parseAddress);
export const nodeAddresses = (node: number): Address[] => [...underlay(node), ...furtherAddresses(node)];

export const podNetwork = (node: number): Readonly<Record<Family, string>> => ({
  4: `10.244.${node}.0/24`,
  6: `fd00:10:244:${node}::/64`,
});
export const podAddresses = (node: number, host: number): Address[] =>
  [`10.244.${node}.${host}`, `fd00:10:244:${node}::${host.toString(16)}`].map(parseAddress);

export const outsideGateway: Readonly<Record<Family, Address>> = {
  4: parseAddress("192.168.50.254"),
  6: parseAddress("fd00:192:168:50::fe"),
};
