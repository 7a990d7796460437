import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDatastore } from "../../src/store/open.ts";
import { Patient } from "./doctor.fixture.ts";

/** `twill capture` and `twill bundle`, of a cluster of three nodes. */

let patient: Patient;
let folder: string;
beforeAll(async () => {
  const config = { Network: "10.244.0.0/16", Backend: { Type: "vxlan", DirectRouting: true } };
  patient = await Patient.up({ nodes: 3, pods: 2, config, agentFlags: ["--log-level=debug"] });
  folder = patient.lab.parent;
}, 120_000);
afterAll(() => patient?.[Symbol.asyncDispose]());

/** tcpdump gives up root's rights before it reads a file, which root of a user namespace cannot: it begins without them. */
const asNobody = ["unshare", "--user", "--map-user=65534", "--"];

/** Captures while `traffic` runs in pod-a of node1. */
async function capture(words: string, traffic: string, file = "capture.pcapng") {
  const path = join(folder, file);
  // Agents on a busy machine take a while to begin; the traffic goes on until they have.
  const running = patient.lab.attempt("node1", `twill capture -w ${path} --seconds 8 ${words}`);
  const stop = await patient.lab.listen(
    "node1/pod-a",
    `sh -c 'while :; do ${traffic}; sleep 0.3; done' >/dev/null 2>&1`,
  );
  const result = await running;
  await stop();
  if (result.status !== 0) throw new Error(result.stderr);
  const read = (...options: string[]) => {
    const { stdout, exitCode, stderr } = Bun.spawnSync([...asNobody, "tcpdump", "-n", "-r", path, ...options]);
    if (exitCode !== 0) throw new Error(stderr.toString());
    return stdout
      .toString()
      .trim()
      .split("\n")
      .filter((line) => line !== "");
  };
  return { ...result, path, read };
}

test("one packet's way over both nodes: every device in order, in the story and in the file", async () => {
  const to = patient.pod("node3/pod-b");
  const { stdout, stderr, path, read } = await capture(`pod-a.node1 --to ${to} -- icmp`, `ping -c1 -W1 ${to}`);
  expect(stderr).toContain("at 8 devices on 2 nodes");
  const story = stdout.split(/^(?=\s*\d+\.\d{6} {2})/m).slice(1);
  const way = (passage: string) =>
    Array.from(
      passage.matchAll(/ (in|out)\s+(.*)$/gm),
      ([, direction, place]) => `${direction} ${place?.replace(/twl\w+/, "twl")}`,
    );
  const there = [
    "out node1 default/pod-a.node1 eth0",
    "in node1 twl",
    "out node1 flannel.1",
    "out node1 eth0",
    "in node3 eth0",
    "in node3 flannel.1",
    "out node3 twl",
    "in node3 default/pod-b.node3 eth0",
  ];
  const back = [
    "out node3 default/pod-b.node3 eth0",
    "in node3 twl",
    "out node3 flannel.1",
    "out node3 eth0",
    "in node1 eth0",
    "in node1 flannel.1",
    "out node1 twl",
    "in node1 default/pod-a.node1 eth0",
  ];
  const complete = story.filter((passage) => way(passage).length === 8);
  expect(complete.find((passage) => passage.includes("ICMP echo request"))).toBeDefined();
  expect(new Set(complete.map((passage) => JSON.stringify(way(passage))))).toEqual(
    new Set([JSON.stringify(there), JSON.stringify(back)]),
  );
  expect(read("icmp").length).toBeGreaterThan(0);
  expect(read("udp port 8472").length).toBeGreaterThan(0);
  const names = readFileSync(path, "latin1");
  for (const name of [
    "node1 default/pod-a.node1 eth0",
    "node1 flannel.1",
    "node3 eth0",
    "node3 default/pod-b.node3 eth0",
  ])
    expect(names).toContain(name);
}, 120_000);

test("the filter is tcpdump's, and holds in the tunnel; without one all of the pod's packets are there", async () => {
  const to = patient.pod("node3/pod-b");
  const traffic = `ping -c1 -W1 ${to}; curl -s -m 2 http://${to}:8080`;
  const tcp = await capture(`pod-a.node1 --to ${to} --quiet -- tcp dst port 8080`, traffic);
  expect(tcp.stdout).toBe("");
  expect(tcp.read("icmp")).toEqual([]);
  const inner = tcp.read().filter((line) => line.includes(".8080: Flags"));
  expect(inner.length).toBeGreaterThan(0);
  expect(tcp.read("udp port 8472").length).toBeGreaterThan(0);
  const all = await capture("pod-a.node1", traffic);
  expect(all.stderr).toContain("at 4 devices on 1 node");
  expect(all.read("icmp").length).toBeGreaterThan(0);
  expect(all.read("tcp port 8080").length).toBeGreaterThan(0);
}, 120_000);

test("bounded in size; errors say what to do", async () => {
  const to = patient.pod("node3/pod-b");
  const { stderr } = await capture(
    `pod-a.node1 --to ${to} --quiet --megabytes 1 --snap-length 2000`,
    `ping -f -c 3000 -s 1400 -W1 ${to}`,
  );
  expect(stderr).toContain("ended before its time, at --megabytes");
  const fails = async (words: string) => (await patient.lab.attempt("node1", `twill capture ${words}`)).stderr;
  expect(await fails("pod-a.node1 -- no such language")).toMatch(/compile filter no such language: .*syntax error/);
  expect(await fails("pod-a.node1 --to nobody")).toContain("there is no pod nobody");
  expect(await fails("pod-a.node1 -- greater 100")).toContain("leave out less, greater and len");
  const bare = await patient.lab.attempt(
    "node1",
    "T=$(command -v twill); PATH=/nonexistent $T capture pod-a.node1 -- tcp",
  );
  expect(bare.stderr).toContain("install tcpdump on this node");
}, 120_000);

test("a node may capture its own pods' traffic only, wherever it asks", async () => {
  const { stderr } = await patient.lab.attempt(
    "node2",
    `twill capture ${patient.pod("node1/pod-a")} --to ${patient.pod("node3/pod-b")}`,
  );
  expect(stderr).toContain("it is on node1: run this there");
}, 60_000);

function unpack(path: string): { readonly texts: Map<string, string>; readonly files: string[] } {
  const target = join(folder, "unpacked");
  mkdirSync(target, { recursive: true });
  const { exitCode, stderr } = Bun.spawnSync(["tar", "xzf", path, "--strip-components=1", "-C", target]);
  if (exitCode !== 0) throw new Error(stderr.toString());
  const files = readdirSync(target, { recursive: true, encoding: "utf8" }).filter((name) => /\.\w+$/.test(name));
  return { files, texts: new Map(files.map((name) => [name, readFileSync(join(target, name), "utf8")])) };
}

test("a bundle of all nodes: store, kernels, agents, logs, findings; and no secret", async () => {
  // Where people put what does not belong there: the configuration, and so the agents' logs.
  const planted = {
    password: "hunter2hunter2",
    bearer: "Bearer abcdefghijklmnop",
    jwt: "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhYmMifQ.c2lnbmF0dXJl",
    url: "https://root:s3cr3ts3cr3t@10.0.0.1",
  };
  const store = await openDatastore(patient.lab.datastore);
  let key = "";
  try {
    const stored = await store.get("secrets", "peer-key");
    key = (JSON.parse(new TextDecoder().decode(stored?.value)) as { key: string }).key;
  } finally {
    await store.close();
  }
  expect(key.length).toBeGreaterThan(40);
  const config = {
    ...{ Network: "10.244.0.0/16", Backend: { Type: "vxlan", DirectRouting: true, Password: planted.password } },
    Comment: `Authorization: ${planted.bearer}; ${planted.jwt}; ${planted.url}; ${key}`,
  };
  await patient.lab.storeConfig(config);
  await Bun.sleep(1500);
  writeFileSync(join(folder, "marker"), "");
  const path = join(folder, "bundle.tar.gz");
  const { status, stdout, stderr } = await patient.lab.attempt("node1", `twill bundle -f ${path}`);
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toContain("from 3 of 3 nodes");
  const { files, texts } = unpack(path);
  for (const node of ["node1", "node2", "node3"]) {
    for (const name of [
      "agent/log.txt",
      "agent/status.json",
      "agent/state.json",
      "kernel/routes.json",
      "kernel/nftables.json",
      "pods.json",
    ])
      expect(files).toContain(`nodes/${node}/${name}`);
    expect(texts.get(`nodes/${node}/agent/log.txt`)).toContain("twill-agent starts");
    expect(texts.get(`nodes/${node}/kernel/routes.json`)).toContain(`${patient.pod(`${node}/pod-a`)}/32`);
  }
  expect(files).toContain("store/config.json");
  expect(files).toContain("doctor.json");
  expect(texts.get("store/nodes.json")).toContain("node3");
  expect(files.some((name) => name.includes("secret"))).toBe(false);
  const whole = [...texts.values()].join("\n");
  for (const [what, secret] of Object.entries({ ...planted, url: "s3cr3ts3cr3t", bearer: "abcdefghijklmnop", key }))
    expect([what, whole.includes(secret)]).toEqual([what, false]);
  expect(texts.get("store/config.json")).toContain("[removed]");
}, 120_000);

test("a bundle with a node that does not answer says so, and has the rest; with the own agent dead it has this node", async () => {
  await patient.lab.agent("node3", "kill");
  const path = join(folder, "two.tar.gz");
  const two = await patient.lab.attempt("node1", `twill bundle -f ${path}`);
  expect([two.status, two.stdout.includes("from 2 of 3 nodes"), two.stderr.includes("not there: node3")]).toEqual([
    1,
    true,
    true,
  ]);
  const alone = await patient.lab.attempt("node3", `twill bundle --local -f ${path}`);
  expect([alone.status, alone.stdout.includes("from 1 of 1 nodes")]).toEqual([0, true]);
  expect(unpack(path).texts.get("doctor.txt")).toContain("agent-away");
}, 120_000);
