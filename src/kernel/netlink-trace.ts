import { describeDatagram, setNetlinkTrace } from "../wire/netlink/describe.ts";
import { registerNetfilterFormats } from "../wire/nft/describe.ts";
import { registerRtnetlinkFormats } from "../wire/rtnetlink/describe.ts";
import { errnoName } from "./errno.ts";

/**
 * Prints every netlink message of this process, both ways, in words. Other protocols join with registerFormats.
 * @param print gets one line a message; undefined switches off.
 */
export function setTrace(print: ((line: string) => void) | undefined): void {
  if (print === undefined) {
    setNetlinkTrace(undefined);
    return;
  }
  registerRtnetlinkFormats();
  registerNetfilterFormats();
  setNetlinkTrace((direction, protocol, datagram) => {
    for (const line of describeDatagram(direction, protocol, datagram, { errnoName })) print(line);
  });
}

/** TWILL_TRACE is a list with commas; with "netlink" in it the trace goes to standard error. */
export function traceFromEnvironment(environment: Readonly<Record<string, string | undefined>>): void {
  const wanted = (environment.TWILL_TRACE ?? "").split(",");
  if (wanted.includes("netlink")) setTrace((line) => process.stderr.write(`${line}\n`));
}
