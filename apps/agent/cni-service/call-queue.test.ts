import { expect, test } from "bun:test";
import type { CniAnswer, CniCall } from "../../../src/rpc/methods.ts";
import { CallQueue } from "./call-queue.ts";

const call = (command: string, id: string): CniCall => ({
  variables: { CNI_COMMAND: command, CNI_CONTAINERID: id },
  config: "{}",
});
const nameOf = ({ variables }: CniCall): string => `${variables.CNI_COMMAND} ${variables.CNI_CONTAINERID}`;

function recording() {
  const events: string[] = [];
  const queue = new CallQueue({
    handle: (each): CniAnswer => {
      events.push(nameOf(each));
      return { status: 0, stdout: nameOf(each) };
    },
    beginDeletes: (calls) => events.push(`begin ${calls.map(({ variables }) => variables.CNI_CONTAINERID).join(" ")}`),
  });
  return { events, queue };
}

test("DELs of one turn begin together, then each is carried out and gets its own answer", async () => {
  const { events, queue } = recording();
  const answers = ["a", "b", "c"].map((id) => queue.handle(call("DEL", id), undefined));
  expect(events).toEqual([]);
  expect((await Promise.all(answers)).map(({ stdout }) => stdout)).toEqual(["DEL a", "DEL b", "DEL c"]);
  expect(events).toEqual(["begin a b c", "DEL a", "DEL b", "DEL c"]);
});

test("one alone is carried out as it is, before the event loop's next turn", async () => {
  const { events, queue } = recording();
  const answer = queue.handle(call("DEL", "a"), undefined);
  setImmediate(() => events.push("next turn"));
  await answer;
  await Bun.sleep(1);
  expect(events).toEqual(["DEL a", "next turn"]);
});

test("any other call finds done what came before it", async () => {
  const { events, queue } = recording();
  const first = queue.handle(call("DEL", "a"), undefined);
  const added = queue.handle(call("ADD", "a"), undefined);
  expect(added).toEqual({ status: 0, stdout: "ADD a" });
  const second = queue.handle(call("DEL", "a"), undefined);
  await Promise.all([first, second]);
  expect(events).toEqual(["DEL a", "ADD a", "DEL a"]);
});

test("an ADD that must wait keeps nobody else waiting, and does not come after its own DEL", async () => {
  const events: string[] = [];
  const gates = new Map<string, () => void>();
  const queue = new CallQueue(
    {
      handle: (each) => {
        events.push(nameOf(each));
        return { status: 0, stdout: "" };
      },
      beginDeletes: () => {},
    },
    ({ variables: { CNI_CONTAINERID: id = "" } }) =>
      id === "known" ? undefined : new Promise((resolve) => gates.set(id, resolve)),
  );
  const late = queue.handle(call("ADD", "late"), undefined);
  const dead = queue.handle(call("ADD", "dead"), undefined);
  await queue.handle(call("ADD", "known"), undefined);
  await queue.handle(call("DEL", "dead"), undefined);
  for (const open of gates.values()) open();
  expect((await late).status).toBe(0);
  expect(JSON.parse((await dead).stdout)).toMatchObject({ code: 11 });
  expect(events).toEqual(["ADD known", "DEL dead", "ADD late"]);
});
