/** The client against `chatctl local`. Skipped without CHATCTL. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { ChatClient, type ClientEvents, type Message, type SocketClass } from "../src/index.ts";
import { CHATCTL, Stack } from "./stack.ts";

const WITHIN_MS = 15_000;

/** Sockets as `ws` has them, each of which a test can cut. */
class Sockets {
  readonly open = new Set<WebSocket>();
  readonly Class: SocketClass;

  constructor() {
    const { open } = this;
    this.Class = class extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        open.add(this);
        this.on("close", () => open.delete(this));
      }
    } as unknown as SocketClass;
  }

  cut(): void {
    for (const socket of this.open) socket.terminate();
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + WITHIN_MS;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`${what} did not happen in time`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

class User {
  readonly sockets = new Sockets();
  readonly client: ChatClient;
  readonly messages: Message[] = [];

  constructor(stack: Stack, user: string) {
    this.client = new ChatClient({
      url: stack.url,
      token: () => stack.token(user),
      environment: { WebSocket: this.sockets.Class },
    });
    this.client.on("message", (message) => this.messages.push(message));
  }

  async start(): Promise<this> {
    this.client.start();
    await until("the first sync", () => this.client.state.status === "live");
    return this;
  }

  next<T extends keyof ClientEvents>(type: T, fits: (value: ClientEvents[T]) => boolean): Promise<ClientEvents[T]> {
    return new Promise((done, fail) => {
      const deadline = setTimeout(() => fail(new Error(`${type} did not come in time`)), WITHIN_MS);
      const stop = this.client.on(type, (value) => {
        if (!fits(value)) return;
        clearTimeout(deadline);
        stop();
        done(value);
      });
    });
  }
}

describe("against chatctl local", { skip: CHATCTL === undefined && "CHATCTL is not set" }, () => {
  let stack: Stack;
  let ann: User;
  let bob: User;

  before(async () => {
    stack = await Stack.start();
    ann = await new User(stack, "ann").start();
    bob = await new User(stack, "bob").start();
  });
  after(async () => {
    ann?.client.stop();
    bob?.client.stop();
    await stack?.stop();
  });

  test("a message arrives once at both", async () => {
    const { acknowledged, message_id } = ann.client.send({ to: "bob" }, { content: "hello <b>bob</b>" });
    await acknowledged;
    await until("the message", () => bob.messages.length === 1 && ann.messages.length === 1);
    assert.equal(bob.messages[0]?.message_id, message_id);
    assert.equal(bob.messages[0]?.content, "hello <b>bob</b>");
  });

  test("ticks come back", async () => {
    const { chat_id } = await ann.client.send({ to: "bob" }, { content: "seen?" }).acknowledged;
    await until("the message", () => bob.messages.some(({ content }) => content === "seen?"));
    const seq = bob.messages.at(-1)?.seq ?? 0;
    const read = ann.next("receipt", (receipt) => receipt.user === "bob" && receipt.read >= seq);
    bob.client.read(chat_id, seq);
    await read;
  });

  test("presence and typing are told", async () => {
    const { chat_id } = await ann.client.send({ to: "bob" }, { content: "hm" }).acknowledged;
    const online = ann.next("presence", ({ user, status }) => user === "bob" && status === "online");
    ann.client.watch({ users: ["bob"], chats: [chat_id] });
    await online;
    const typing = ann.next("typing", ({ user, active }) => user === "bob" && active);
    bob.client.typing(chat_id, true);
    await typing;
  });

  test("edits and deletes reach the other", async () => {
    const sent = ann.client.send({ to: "bob" }, { content: "tpyo" });
    const { chat_id } = await sent.acknowledged;
    await until("the echo", () => ann.messages.some((message) => message.message_id === sent.message_id));
    const seq = ann.messages.find((message) => message.message_id === sent.message_id)?.seq ?? 0;
    const updated = bob.next("message.updated", (change) => change.seq === seq);
    await ann.client.edit(chat_id, seq, "typo");
    assert.equal((await updated).content, "typo");
    const deleted = bob.next("message.deleted", (change) => change.seq === seq);
    await ann.client.delete(chat_id, seq);
    await deleted;
  });

  test("whatever is cut, all that was sent arrives once and in order", async () => {
    const before = bob.messages.length;
    const sent: string[] = [];
    for (let round = 0; round < 12; round += 1) {
      for (let n = 0; n < 5; n += 1)
        sent.push(ann.client.send({ to: "bob" }, { content: `r${round} n${n}` }).message_id);
      if (round % 2 === 0) ann.sockets.cut();
      if (round % 3 === 0) bob.sockets.cut();
      await new Promise((done) => setTimeout(done, 60));
    }
    await until("all of it", () => bob.messages.length - before >= sent.length);
    await until("the echoes", () => ann.client.save().outbox.length === 0);
    const got = bob.messages.slice(before).map((message) => message.message_id);
    assert.deepEqual([...got].sort(), [...sent].sort());
    assert.equal(new Set(got).size, got.length);
    const seqs = bob.messages.map((message) => message.seq);
    assert.deepEqual(
      seqs,
      seqs.map((_, index) => index + 1),
    );
  });

  test("a drain moves sessions without a wait, and nothing is missed", async () => {
    const states: string[] = [];
    for (const { client } of [ann, bob]) client.on("state", ({ status }) => states.push(status));
    const before = bob.messages.length;
    const [line = ""] = (await stack.run("gateways", "list", "--json")).split("\n");
    const drained = stack.run("gateways", "drain", (JSON.parse(line) as { name: string }).name);
    const sent: string[] = [];
    for (let n = 0; n < 40; n += 1) {
      sent.push(ann.client.send({ to: "bob" }, { content: `drain ${n}` }).message_id);
      await new Promise((done) => setTimeout(done, 50));
    }
    await drained;
    await until("all of it", () => bob.messages.length - before >= sent.length);
    const got = bob.messages.slice(before).map((message) => message.message_id);
    assert.deepEqual(got, sent);
    assert(states.includes("live"), "a session moved");
    assert(!states.includes("waiting"), "no session was lost");
  });

  test("a crash of everything loses nothing that was sent", async () => {
    const before = bob.messages.length;
    const sent: string[] = [];
    const send = (): void => void sent.push(ann.client.send({ to: "bob" }, { content: "crash" }).message_id);
    for (let n = 0; n < 20; n += 1) send();
    const crashed = stack.crash();
    for (let n = 0; n < 20; n += 1) send();
    await crashed;
    await until("all of it", () => bob.messages.length - before >= sent.length);
    await until("the echoes", () => ann.client.save().outbox.length === 0);
    const got = bob.messages.slice(before).map((message) => message.message_id);
    assert.deepEqual([...got].sort(), [...sent].sort());
  });

  test("a second device reads the chats and goes on from there", async () => {
    const device = await new User(stack, "bob").start();
    const { items } = await device.client.rest.chats();
    const chat = items.find(({ peer }) => peer?.user === "ann");
    assert(chat);
    const page = await device.client.history(chat.chat_id, { limit: 10 });
    assert.equal(page.items[0]?.seq, page.head_seq);
    const { message_id } = ann.client.send({ chat_id: chat.chat_id }, { content: "to both" });
    await until("the message", () => device.messages.some((message) => message.message_id === message_id));
    assert.equal(device.messages[0]?.seq, page.head_seq + 1);
    device.client.stop();
  });

  test("a group begins with its making, for everyone in it", async () => {
    const told = bob.next("chat", ({ change }) => change.kind === "created");
    const group = await ann.client.rest.createGroup("Crew", ["bob"]);
    assert.equal((await told).chat.chat_id, group.chat_id);
    const { acknowledged } = bob.client.send({ chat_id: group.chat_id }, { content: "hi all" });
    await acknowledged;
    await until("the message", () => ann.messages.some((message) => message.content === "hi all"));
    const mine = ann.messages.filter((message) => message.chat_id === group.chat_id).map((message) => message.seq);
    assert.deepEqual(mine, [1, 2]);
  });

  test("a removed member's send is refused, not lost in silence", async () => {
    const group = await ann.client.rest.createGroup("Short", ["bob"]);
    await ann.client.rest.removeMember(group.chat_id, "bob");
    const { acknowledged } = bob.client.send({ chat_id: group.chat_id }, { content: "still there?" });
    await assert.rejects(acknowledged);
  });
});
