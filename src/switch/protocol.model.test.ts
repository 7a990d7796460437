import { expect, test } from "bun:test";
import { type Random, seededRandom } from "../base/random.ts";
import type { ConfigId, Position, Target } from "../model/live-switch.ts";
import { dropEarlier, nextStep, targetAfter } from "./protocol.ts";

/** One write of a lease: a node's position, undefined before its first; "gone": deleted. */
interface Write {
  readonly node: string;
  readonly position: Position | undefined | "gone";
}

/** What a kernel does: it receives by `accepts`, and sends to each peer by the configuration that its route stands for. */
interface Kernel {
  readonly position: Position;
  readonly routes: ReadonlyMap<string, ConfigId>;
  /** How much of the leases the routes were made from. */
  readonly seen: number;
}

interface Machine {
  readonly name: string;
  /** Survives everything but the machine. */
  disk: Position | undefined;
  /** Undefined: the machine is down, or was booted and its agent has written nothing yet: no pods. */
  kernel: Kernel | undefined;
  powered: boolean;
  agent: "running" | "killed";
  /** How much of the two logs it has seen. */
  leasesSeen: number;
  targetsSeen: number;
  /** It has listed the leases since its agent started; before that it knows what it had cached, which may be old. */
  synced: boolean;
  /** How much of the two logs it must have seen before it may begin: its own first write, and what was then the target. */
  joinedAt: number;
  joinedTarget: number;
}

/** A cluster in which everything that may come late comes late: watches, applying, acknowledgements; and agents die anywhere. */
class Model {
  readonly machines = new Map<string, Machine>();
  readonly leases: Write[] = [];
  readonly targets: Target[];
  readonly story: string[] = [];
  readonly #random: Random;
  #next = 0;

  constructor(random: Random, machines: number) {
    this.#random = random;
    this.targets = [{ epoch: 1, id: "c0", earlier: [] }];
    for (let count = 0; count < machines; count++) this.join();
  }

  join(): void {
    const name = `n${this.#next++}`;
    this.machines.set(name, {
      name,
      disk: undefined,
      kernel: undefined,
      powered: true,
      agent: "running",
      leasesSeen: 0,
      targetsSeen: 1,
      synced: false,
      joinedAt: this.leases.push({ node: name, position: undefined }),
      joinedTarget: this.targets.length,
    });
  }

  /** Any one thing that may happen. @param churn machines come, go and boot, too. */
  happen(churn: boolean): void {
    const machine = this.#pick([...this.machines.values()]);
    const choice = this.#random.below(churn ? 100 : 95);
    if (choice < 15) this.#hear(machine);
    else if (choice < 25) machine.targetsSeen = this.#later(machine.targetsSeen, this.targets.length);
    else if (choice < 45) this.#think(machine);
    else if (choice < 58) this.#apply(machine);
    else if (choice < 70) this.#publish(machine);
    else if (choice < 74) this.#kill(machine);
    else if (choice < 88) this.#start(machine);
    else if (choice < 95) this.#retarget(machine);
    else if (choice < 97 && this.machines.size < 6) this.join();
    else if (choice < 98) this.#powerOff(machine);
    else this.#remove(machine);
    const told = JSON.stringify(machine, (_, value) => (value instanceof Map ? [...value] : value));
    this.story.push(`${choice} ${told}`);
  }

  /** @returns what would be lost now. */
  losses(): string[] {
    const running = [...this.machines.values()];
    return running.flatMap((sender) =>
      running.flatMap((receiver) => {
        const by = sender.kernel?.routes.get(receiver.name);
        if (by === undefined || receiver.kernel === undefined || sender === receiver) return [];
        // Not heard yet that the machine is there again: no route would be no better.
        if ((sender.kernel?.seen ?? 0) < receiver.joinedAt) return [];
        return receiver.kernel.position.accepts.includes(by)
          ? []
          : [
              `${sender.name} sends by ${by} to ${receiver.name}, which receives by ${receiver.kernel.position.accepts}`,
            ];
      }),
    );
  }

  /** No more faults: everybody gets everything. */
  settle(): void {
    for (const machine of this.machines.values()) this.#start(machine);
    for (let round = 0; round < 12; round++) {
      for (const machine of this.machines.values()) {
        machine.leasesSeen = this.leases.length;
        machine.targetsSeen = this.targets.length;
        machine.synced = true;
        this.#think(machine);
        this.#apply(machine);
        this.#publish(machine);
        const losses = this.losses();
        if (losses.length > 0) throw new Error(losses.join());
      }
    }
  }

  #hear(machine: Machine): void {
    if (machine.agent === "killed") return;
    const from = machine.synced ? machine.leasesSeen : this.leases.length;
    machine.leasesSeen = this.#later(from, this.leases.length);
    machine.synced = true;
  }

  #think(machine: Machine): void {
    if (machine.agent === "killed" || !machine.synced) return;
    const target = this.targets[machine.targetsSeen - 1];
    const seen = this.#seen(machine);
    // A node publishes its lease and sees it come back before it chooses: then whoever drops something has seen it, too.
    if (target === undefined) return;
    const fresh = machine.leasesSeen >= machine.joinedAt && machine.targetsSeen >= machine.joinedTarget;
    if (machine.disk === undefined && !fresh) return;
    const published = seen.get(machine.name);
    seen.delete(machine.name);
    for (const name of seen.keys()) if (this.#isExcused(name)) seen.delete(name);
    const step = nextStep({ own: machine.disk, published, target, peers: seen });
    machine.disk = step.mayDrop && step.position !== undefined ? dropEarlier(step.position) : step.position;
  }

  #apply(machine: Machine): void {
    const position = machine.disk;
    if (machine.agent === "killed" || position === undefined) return;
    // Of what is cached nothing is concluded, so no route is removed.
    const kept = [...(machine.kernel?.routes ?? [])].map(([name]) => [name, position.sends] as const);
    const routes = new Map<string, ConfigId>(machine.synced ? [] : kept);
    for (const [name, peer] of this.#seen(machine)) {
      // By nothing else: "sends by X" is what others rely on when they drop all but X.
      if (peer?.accepts.includes(position.sends)) routes.set(name, position.sends);
    }
    machine.kernel = { position, routes, seen: machine.leasesSeen };
  }

  #publish(machine: Machine): void {
    if (machine.agent === "killed" || machine.kernel === undefined) return;
    if (machine.kernel.position === machine.disk) this.leases.push({ node: machine.name, position: machine.disk });
  }

  #kill(machine: Machine): void {
    machine.agent = "killed";
  }

  /** It begins with what it had cached, which may be old. */
  #start(machine: Machine): void {
    if (machine.agent === "running") return;
    machine.agent = "running";
    if (!machine.powered) {
      // Booted: the kernel is empty, so the machine begins as a new one does; what it cached before may be all it sees.
      machine.powered = true;
      machine.disk = undefined;
      machine.joinedAt = this.leases.push({ node: machine.name, position: undefined });
      machine.joinedTarget = this.targets.length;
    }
    machine.synced = false;
    machine.leasesSeen = this.#random.below(machine.leasesSeen + 1);
    machine.targetsSeen = 1 + this.#random.below(machine.targetsSeen);
  }

  #retarget(machine: Machine): void {
    const before = this.targets[machine.targetsSeen - 1];
    // Compare-and-swap: who does not know the newest loses.
    if (machine.agent === "killed" || !machine.synced || before !== this.targets.at(-1)) return;
    const id = `c${this.#random.below(4)}`;
    if (before !== undefined && id !== before.id) this.targets.push(targetAfter(before, id, this.#seen(machine)));
  }

  #powerOff(machine: Machine): void {
    machine.powered = false;
    machine.agent = "killed";
    machine.kernel = undefined;
  }

  #remove(machine: Machine): void {
    if (this.machines.size <= 2) return;
    this.#powerOff(machine);
    this.machines.delete(machine.name);
    this.leases.push({ node: machine.name, position: "gone" });
  }

  #seen(machine: Machine): Map<string, Position | undefined> {
    const seen = new Map<string, Position | undefined>();
    for (const { node, position } of this.leases.slice(0, machine.leasesSeen)) {
      if (position === "gone") seen.delete(node);
      else seen.set(node, position);
    }
    return seen;
  }

  /** Down for certain. An agent that is killed is not: its kernel goes on. */
  #isExcused(name: string): boolean {
    return this.machines.get(name)?.powered !== true;
  }

  #later(seen: number, all: number): number {
    return seen + this.#random.below(all - seen + 1);
  }

  #pick<T>(items: readonly T[]): T {
    const item = items[this.#random.below(items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }
}

test("no interleaving of late watches, crashes, boots, joins and new targets loses a packet, and all of them end", () => {
  const base = Number(process.env.TWILL_SEED ?? Math.floor(Math.random() * 2 ** 31));
  for (let run = 0; run < 300; run++) {
    const seed = base + run;
    const model = new Model(seededRandom(seed), 2 + (seed % 3));
    for (let event = 0; event < 500; event++) {
      model.happen(seed % 2 === 0);
      const losses = model.losses();
      if (losses.length > 0)
        throw new Error(`TWILL_SEED=${seed}: ${losses.join()}\n${model.story.slice(-60).join("\n")}`);
    }
    model.settle();
    const target = model.targets.at(-1);
    for (const { name, kernel } of model.machines.values()) {
      expect({ seed, name, ...kernel?.position }).toEqual({
        seed,
        name,
        epoch: target?.epoch ?? 0,
        accepts: [target?.id ?? ""],
        sends: target?.id ?? "",
      });
      expect([...(kernel?.routes.keys() ?? [])].sort()).toEqual([...model.machines.keys()].sort());
    }
  }
}, 60_000);
