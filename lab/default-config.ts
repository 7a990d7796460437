/**
 * The network of a lab without --config: Flannel's usual one. DirectRouting, so that two nodes on one subnet reach each
 * other without a tunnel and two on different subnets through one: the table shows both.
 */
export const defaultConfig = `{
  "Network": "10.244.0.0/16",
  "Backend": { "Type": "vxlan", "DirectRouting": true }
}
`;
