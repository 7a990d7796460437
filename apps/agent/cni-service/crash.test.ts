import { expect, test } from "bun:test";
import type { CniAnswer } from "../../../src/rpc/methods.ts";
import { failure, parsed, testNode, testPod } from "./test-node.fixture.ts";

/**
 * kill -9 of the agent before each kernel call of a request, in turn: the agent is a process that kills itself there.
 */
const timeout = 900_000;
const done: CniAnswer = { status: 0, stdout: "" };
const variants = [{ attachment: "routed" }, { attachment: "bridge", hairpinMode: true }];

for (const config of variants) {
  test(
    `${config.attachment}: ADD killed at any kernel call leaves nothing that the restart and DEL do not clean`,
    async () => {
      const node = testNode();
      const pod = testPod();
      let killAt = 0;
      for (; killAt < 2000; killAt++) {
        await node.start({ killAt });
        const answer = node.cni("ADD", "c1", pod, { config });
        if (answer.status === 0) break;
        expect(failure(answer).code).toBe(11);
        await node.gone();
        // The restart takes an unfinished ADD back; one that was recorded is complete, and waits for the runtime's DEL.
        await node.start();
        const { endpoints, problems } = node.report();
        expect(problems).toEqual([]);
        if (endpoints.length === 0)
          expect([killAt, node.leftovers(), pod.rtnl.link("eth0")]).toEqual([killAt, [], undefined]);
        else expect(endpoints.map(({ state }) => state)).toEqual(["ready"]);
        expect(node.cni("DEL", "c1", pod, { config })).toEqual(done);
        expect([killAt, node.leftovers(), pod.rtnl.link("eth0")]).toEqual([killAt, [], undefined]);
        expect(node.report().endpoints).toEqual([]);
        await node.stop();
      }
      expect(killAt).toBeGreaterThan(20);
      await node.stop();
    },
    timeout,
  );

  test(
    `${config.attachment}: DEL killed at any kernel call is completed from the queue by the restart`,
    async () => {
      const node = testNode();
      const pod = testPod();
      let killAt = 0;
      for (; killAt < 2000; killAt++) {
        await node.start();
        parsed(node.cni("ADD", "c1", pod, { config }));
        await node.stop();
        await node.start({ killAt });
        expect(node.cni("DEL", "c1", pod, { config })).toEqual(done);
        const queued = node.pending();
        await node.stop();
        if (queued === 0) break;
        await node.start();
        expect([killAt, node.report().endpoints, node.leftovers(), node.pending()]).toEqual([killAt, [], [], 0]);
        expect(pod.rtnl.link("eth0")).toBeUndefined();
        await node.stop();
      }
      expect(killAt).toBeGreaterThan(2);
    },
    timeout,
  );
}
