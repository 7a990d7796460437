import { expect, onTestFinished, test } from "bun:test";
import { testNetns } from "../../test/support/netns.ts";
import { openNft } from "../kernel/nft-socket.ts";
import { foreignDrops } from "./foreign-drops.ts";

/** What nft and iptables-nft lay down, found again by name. */
test("policies and rules of others that drop are named", () => {
  const netns = testNetns();
  const nft = openNft({ netns: netns.fd });
  onTestFinished(() => nft.close());
  expect(foreignDrops(nft, ["twill"])).toEqual([]);
  const script = `
    table ip filter {
      chain DOCKER-USER { counter drop comment "no containers"; }
      chain FORWARD {
        type filter hook forward priority 0; policy drop;
        ct state invalid drop
        ip saddr 10.0.0.0/8 jump DOCKER-USER
        iifname "docker0" accept
      }
      chain INPUT { type filter hook input priority 0; policy drop; }
    }
    table inet firewalld {
      chain forward { type filter hook forward priority 10; policy accept; jump last; }
      chain last { reject with icmpx admin-prohibited; }
    }
    table inet twill {
      chain forward { type filter hook forward priority 0; policy drop; }
    }`;
  netns.run("bash", "-c", `nft -f - <<'END'\n${script}\nEND`);
  const found = foreignDrops(nft, ["twill"]);
  expect(found.map(({ text }) => text.replace(/handle \d+/, "handle N")).toSorted()).toEqual([
    "inet firewalld last: rule handle N drops every packet",
    'ip filter DOCKER-USER: rule handle N "no containers" drops some packets',
    "ip filter FORWARD: policy drop",
    "ip filter FORWARD: rule handle N drops some packets",
  ]);
  expect(found.filter(({ conditional }) => !conditional).map(({ table }) => table)).toEqual(["filter", "firewalld"]);
  expect(foreignDrops(nft, [], "input").map(({ text }) => text)).toEqual(["ip filter INPUT: policy drop"]);
});

test("iptables-nft's rules too, as Docker and firewalls write them", () => {
  const netns = testNetns();
  const nft = openNft({ netns: netns.fd });
  onTestFinished(() => nft.close());
  netns.run("iptables-nft", "-P", "FORWARD", "DROP");
  netns.run("iptables-nft", "-A", "FORWARD", "-i", "docker0", "-j", "ACCEPT");
  netns.run("iptables-nft", "-A", "FORWARD", "-j", "REJECT", "--reject-with", "icmp-host-prohibited");
  expect(foreignDrops(nft, ["twill"]).map(({ text }) => text.replace(/handle \d+/, "handle N"))).toEqual([
    "ip filter FORWARD: rule handle N drops every packet",
    "ip filter FORWARD: policy drop",
  ]);
});
