/**
 * Seeded runs against a server that cuts, drains, loses, doubles and delays. Whatever happens: every message and change
 * is told exactly once and in order, and every send is in the log exactly once.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Have, Message, MessageUpdated } from "../src/index.ts";
import { CHAT, type FakeSocket, type Frame, Rig } from "./world.ts";

const SEEDS = Number(process.env["SIM_SEEDS"] ?? 200);
const STEPS = 120;

/** A small generator (mulberry32), so that a seed is a run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

class Simulation {
  readonly rig: Rig;
  readonly log: Message[] = [];
  readonly changes: MessageUpdated[] = [];
  readonly sent: string[] = [];
  readonly #random: () => number;
  readonly #seen = new Set<FakeSocket>();

  constructor(seed: number) {
    this.#random = generator(seed);
    this.rig = new Rig({ saved: { user: "ann", epoch: "e1", positions: { [CHAT]: [0, 0] }, outbox: [] } });
    this.rig.world.answer = ({ path }) => {
      const after = Number(new URL(path, "http://x").searchParams.get("after"));
      const items = this.log.slice(after).map((message) => this.#current(message));
      return { body: { items, has_more: false, head_seq: this.log.length, head_rev: this.changes.length } };
    };
  }

  async run(): Promise<void> {
    this.rig.client.start();
    for (let step = 0; step < STEPS; step += 1) {
      await this.#step();
      await this.rig.world.advance(this.#random() * 400);
    }
    await this.#heal();
  }

  check(): void {
    const { rig, log, changes } = this;
    assert.deepEqual(
      rig.seqs,
      log.map((message) => message.seq),
    );
    const revs = rig.of("message.updated").map((change) => (change as MessageUpdated).rev);
    assert.deepEqual(
      revs,
      changes.map((change) => change.rev),
    );
    const own = log.filter((message) => message.sender === "ann").map((message) => message.message_id);
    assert.deepEqual([...own].sort(), [...this.sent].sort());
    assert.deepEqual(rig.client.save().outbox, []);
    assert.deepEqual(rig.of("reload"), []);
  }

  async #step(): Promise<void> {
    const dice = this.#random();
    if (dice < 0.25) this.sent.push(this.rig.client.send({ chat_id: CHAT }, { content: "from ann" }).message_id);
    else if (dice < 0.5) this.#write("bob", crypto.randomUUID());
    else if (dice < 0.65) this.#edit();
    else if (dice < 0.72) for (const socket of this.#open()) socket.cut(this.#random() < 0.5 ? 1006 : 4002);
    else if (dice < 0.77)
      for (const socket of this.#open()) socket.push("reconnect", { after_ms: 100, reason: "drain" });
    else if (dice < 0.8) for (const socket of this.#open()) socket.cut(4001);
    await this.rig.world.settle();
    this.#serve(true);
  }

  async #heal(): Promise<void> {
    for (let turn = 0; turn < 60; turn += 1) {
      await this.rig.world.advance(2_000);
      this.#serve(false);
    }
    // The last word: what was lost without anything after it is found by the next message.
    this.#write("bob", crypto.randomUUID(), false);
    if (this.log.length > 0) this.#edit(false);
    for (let turn = 0; turn < 10; turn += 1) {
      await this.rig.world.advance(2_000);
      this.#serve(false);
    }
  }

  #open(): FakeSocket[] {
    return this.rig.world.sockets.filter((socket) => socket.closedWith === undefined);
  }

  /** Answers what came; an unkind server also leaves things unanswered, and cuts in mid-answer. */
  #serve(isUnkind: boolean): void {
    for (const socket of this.#open()) {
      if (!this.#seen.has(socket)) this.#greet(socket, isUnkind);
      while (socket.frames.length > 0) {
        const frame = socket.frames.shift();
        if (frame && !(isUnkind && this.#random() < 0.1)) this.#answer(socket, frame, isUnkind);
      }
    }
  }

  #greet(socket: FakeSocket, isUnkind: boolean): void {
    if (isUnkind && this.#random() < 0.2) {
      socket.cut(this.#random() < 0.5 ? 1006 : 4005);
      return;
    }
    this.#seen.add(socket);
    this.rig.world.hello(socket);
  }

  #answer(socket: FakeSocket, frame: Frame, isUnkind: boolean): void {
    if (frame.type === "sync") this.#sync(socket, frame);
    else if (frame.type === "ping") socket.raw(JSON.stringify({ id: frame.id, type: "pong", d: {} }));
    else if (frame.type === "send") {
      if (isUnkind && this.#random() < 0.15) {
        socket.error(frame, { code: "overloaded", temporary: true, retry_after_ms: 300 });
        return;
      }
      const id = String(frame.d["message_id"]);
      if (!this.log.some((message) => message.message_id === id)) this.#write("ann", id, isUnkind);
      // In mid-ack: it is in the log, and the client does not know.
      if (isUnkind && this.#random() < 0.15) socket.cut();
      else socket.ack(frame, { chat_id: CHAT, message_id: id });
    } else socket.ack(frame);
  }

  #sync(socket: FakeSocket, frame: Frame): void {
    const have = (frame.d["have"] as Record<string, Have>)[CHAT] as [number, number] | undefined;
    if (have) {
      const [seq, rev] = have;
      const upto = Math.min(this.log.length, seq + 10);
      for (const message of this.log.slice(seq, upto)) socket.push("message", this.#current(message));
      for (const change of this.changes.slice(rev)) socket.push("message.updated", change);
      const more = upto < this.log.length ? [{ chat_id: CHAT, from: upto + 1, to: this.log.length }] : [];
      socket.ack(frame, this.rig.world.synced({ more }));
    } else socket.ack(frame, this.rig.world.synced());
  }

  #write(sender: string, message_id: string, isUnkind = true): void {
    const message = this.rig.world.message(this.log.length + 1, { sender, message_id }) as Message;
    this.log.push(message);
    this.#publish("message", message, isUnkind);
  }

  #edit(isUnkind = true): void {
    if (this.log.length === 0) return;
    const seq = 1 + Math.floor(this.#random() * this.log.length);
    const change = this.rig.world.updated(seq, this.changes.length + 1) as MessageUpdated;
    this.changes.push(change);
    this.#publish("message.updated", change, isUnkind);
  }

  #publish(type: string, d: object, isUnkind: boolean): void {
    for (const socket of this.#open()) {
      if (!this.#seen.has(socket)) continue;
      const times = !isUnkind ? 1 : this.#random() < 0.1 ? 0 : this.#random() < 0.1 ? 2 : 1;
      for (let time = 0; time < times; time += 1) socket.push(type, d);
    }
  }

  #current(message: Message): Message {
    const last = this.changes.findLast((change) => change.seq === message.seq);
    return last ? { ...message, content: last.content, rev: last.rev } : message;
  }
}

test(`${SEEDS} seeded runs tell everything once and in order, and lose no send`, async () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const simulation = new Simulation(seed);
    await simulation.run();
    try {
      simulation.check();
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});

test("the checker notices what was lost, doubled or swapped", async () => {
  const breaks: Record<string, (events: Rig["events"], at: number) => void> = {
    lost: (events, at) => void events.splice(at, 1),
    doubled: (events, at) => void events.splice(at, 0, events[at] as Rig["events"][number]),
    swapped: (events, at) => void events.push(...events.splice(at, 1)),
  };
  for (const [name, spoil] of Object.entries(breaks)) {
    const simulation = new Simulation(1);
    await simulation.run();
    simulation.check();
    spoil(
      simulation.rig.events,
      simulation.rig.events.findIndex(({ type }) => type === "message"),
    );
    assert.throws(() => simulation.check(), name);
  }
  const simulation = new Simulation(1);
  await simulation.run();
  simulation.sent.push("a send that was acknowledged and is nowhere");
  assert.throws(() => simulation.check());
});
