/** The relays of a run: a slot each, in which one process follows the other when it is killed or stopped. */
import type { Listener } from "../../src/relay/announcements.ts";
import type { Watch } from "./laws.ts";
import { type Mutant, makeRelayUnderTest, type RelayUnderTest, type RelayWorld } from "./relay-under-test.ts";
import type { SimulatedProcess } from "./simulated-process.ts";

export interface Member extends RelayUnderTest {
  readonly process: SimulatedProcess;
  isStopping: boolean;
}

export interface FleetParts {
  readonly watch: Watch;
  /** The world of the next process in this slot. */
  worldOf(slot: number, generation: number): RelayWorld;
  readonly listener: Listener;
  /** A stop has come to its end. */
  onStopped(name: string): void;
  readonly mutant: Mutant | undefined;
}

export class Fleet {
  readonly #parts: FleetParts;
  readonly #slots: (Member | undefined)[] = [];
  readonly #generations: number[] = [];
  /** Every process that ever ran and was not killed: trust outlives a stop that has not finished. */
  readonly #members = new Set<Member>();
  #isClosed = false;

  constructor(parts: FleetParts) {
    this.#parts = parts;
  }

  /** Whose turn it is in this slot; undefined between two of them. */
  at(slot: number): Member | undefined {
    return this.#slots[slot];
  }

  get running(): readonly Member[] {
    return this.#slots.flatMap((member) => member ?? []);
  }

  /** From now on nobody is started any more. */
  close(): void {
    this.#isClosed = true;
  }

  start(slot: number): void {
    if (this.#isClosed || this.#slots[slot] !== undefined) return;
    const generation = (this.#generations[slot] ?? 0) + 1;
    this.#generations[slot] = generation;
    const { worldOf, listener, mutant, watch } = this.#parts;
    const world = worldOf(slot, generation);
    const { process } = world.ports;
    const under = makeRelayUnderTest(world, listener, () => this.#checkTrust(), mutant);
    const member: Member = { ...under, process, isStopping: false };
    this.#slots[slot] = member;
    this.#members.add(member);
    const broke = (error: unknown) => watch.report("a relay ends when asked", `${process.name}: ${error}`);
    process.enter(() => {
      under.relay
        .start()
        .then(() => under.relay.finished(), broke)
        .catch(broke);
    });
  }

  kill(slot: number): void {
    const member = this.#slots[slot];
    if (member === undefined) return;
    member.process.kill();
    this.#members.delete(member);
    this.#slots[slot] = undefined;
  }

  /** Stops it cleanly; `then` is called when it has ended. */
  stop(slot: number, then: () => void): void {
    const member = this.#slots[slot];
    if (member === undefined || member.isStopping) return;
    member.isStopping = true;
    member.process.enter(() => {
      void member.relay.stop().then(() => {
        member.process.kill();
        this.#parts.onStopped(member.process.name);
        this.#members.delete(member);
        if (this.#slots[slot] === member) this.#slots[slot] = undefined;
        then();
      });
    });
  }

  /** Trust can only begin when leases were taken, so that is when two could have it. */
  #checkTrust(): void {
    const trusting = [...this.#members].map(({ keeper, process }) => ({ keeper, process }));
    for (let shard = 0; shard < 64; shard += 1) {
      const names = trusting
        .filter(({ keeper }) => keeper.mayPublish(shard))
        .map(({ process }) => process.name);
      if (names.length < 2) continue;
      this.#parts.watch.report("a shard is trusted by one relay", `${shard} by ${names.join(" and ")}`);
      return;
    }
  }
}
