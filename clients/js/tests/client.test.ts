import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ChatError } from "../src/index.ts";
import { uuid7Millis } from "../src/uuid7.ts";
import { CHAT, OTHER, Rig, START, World } from "./world.ts";

const has = (frame: { d: Record<string, unknown> }): unknown => frame.d["have"];

describe("connecting", () => {
  test("the token travels as a subprotocol, never in the URL", async () => {
    const rig = new Rig();
    rig.client.start();
    await rig.world.settle();
    assert.deepEqual(rig.world.socket.protocols, ["chat.v1.json", "bearer.token1"]);
    assert.equal(rig.world.socket.url, "ws://chat.test/v1/ws");
  });

  test("hello is followed by a sync with the saved positions, then it is live", async () => {
    const rig = new Rig({
      saved: { user: "ann", epoch: "e1", since: "t0", positions: { [CHAT]: [7, 2] }, outbox: [] },
    });
    rig.client.start();
    await rig.world.settle();
    rig.world.hello();
    const sync = rig.world.socket.take("sync");
    assert.deepEqual(sync.d, { have: { [CHAT]: [7, 2] }, receipts: true, limit: 200, since: "t0" });
    rig.world.socket.push("message", rig.world.message(8));
    rig.world.socket.ack(sync, rig.world.synced());
    await rig.world.settle();
    assert.deepEqual(rig.seqs, [8]);
    assert.deepEqual(rig.states, ["connecting", "syncing", "live"]);
    assert.deepEqual(rig.client.save().positions, { [CHAT]: [8, 2] });
  });

  test("after a cut it waits by the rule, and names what it has now", async () => {
    const rig = await Rig.live(7);
    rig.world.socket.push("message", rig.world.message(8));
    rig.world.randoms = [0.5];
    rig.world.socket.cut();
    assert.deepEqual(rig.client.state, { status: "waiting", ms: 250, why: { code: 1006, reason: "" } });
    await rig.world.advance(249);
    assert.equal(rig.world.sockets.length, 1);
    await rig.world.advance(1);
    assert.equal(rig.world.sockets.length, 2);
    rig.world.hello();
    assert.deepEqual(has(rig.world.socket.take("sync")), { [CHAT]: [8, 0] });
  });

  test("the wait grows while attempts fail, and the token is kept", async () => {
    const rig = await Rig.live();
    for (const wait of [250, 500, 1000, 2000]) {
      rig.world.socket.cut();
      assert.deepEqual(rig.client.state, { status: "waiting", ms: wait, why: { code: 1006, reason: "" } });
      await rig.world.advance(wait);
    }
    assert.equal(rig.world.sockets.length, 5);
    assert.equal(rig.tokens, 1);
  });

  test("a close that says stop stops, and start begins again", async () => {
    const rig = await Rig.live();
    rig.world.socket.cut(4500, "bad_token");
    assert.deepEqual(rig.client.state, { status: "stopped", why: { code: 4500, reason: "bad_token" } });
    await rig.world.advance(120_000);
    assert.equal(rig.world.sockets.length, 1);
    rig.client.start();
    await rig.join();
    assert.equal(rig.client.state.status, "live");
    assert.deepEqual(rig.world.socket.protocols[1], "bearer.token2");
  });

  test("an expired token is replaced before the next attempt", async () => {
    const rig = await Rig.live();
    rig.world.socket.cut(4006, "token_expired");
    await rig.world.advance(500);
    assert.deepEqual(rig.world.socket.protocols[1], "bearer.token2");
  });

  test("flooding is answered by a wait of 5 s at least", async () => {
    const rig = await Rig.live();
    rig.world.socket.cut(4008, "flooding");
    await rig.world.advance(4_999);
    assert.equal(rig.world.sockets.length, 1);
    await rig.world.advance(251);
    assert.equal(rig.world.sockets.length, 2);
  });

  test("a token source that fails is asked again", async () => {
    let asked = 0;
    const rig = new Rig({
      token: () => (++asked === 1 ? Promise.reject(new Error("the identity provider is away")) : "good"),
    });
    rig.client.start();
    await rig.world.settle();
    assert.equal(rig.client.state.status, "waiting");
    await rig.world.advance(500);
    assert.deepEqual(rig.world.socket.protocols[1], "bearer.good");
  });

  test("no hello in 15 s is a failed attempt", async () => {
    const rig = new Rig();
    rig.client.start();
    await rig.world.advance(15_000);
    assert.equal(rig.client.state.status, "waiting");
    assert.equal(rig.world.socket.closedWith, 4900);
  });

  test("stop signs off with 1000, and nothing comes back", async () => {
    const rig = await Rig.live();
    rig.client.stop();
    assert.equal(rig.world.socket.closedWith, 1000);
    await rig.world.advance(120_000);
    assert.equal(rig.world.sockets.length, 1);
  });

  test("hurry ends a wait", async () => {
    const rig = await Rig.live();
    rig.world.socket.cut();
    rig.client.hurry();
    await rig.world.settle();
    assert.equal(rig.world.sockets.length, 2);
    await rig.world.advance(10_000);
    assert.equal(rig.world.sockets.length, 2, "the wait that was ended does not open another one");
  });
});

describe("heartbeat", () => {
  test("pings come about every heartbeat, the first after a random part", async () => {
    const world = new World();
    const rig = new Rig({}, world);
    rig.client.start();
    await world.settle();
    world.randoms = [0.25];
    world.hello();
    await world.advance(4_999);
    assert.equal(world.socket.has("ping"), false);
    await world.advance(1);
    assert.deepEqual(world.socket.take("ping").d, { active: true });
    world.socket.push("presence", { user: "bob", status: "online" });
    await world.advance(20_000);
    world.socket.take("ping");
  });

  test("silence for 10 s after a ping is a dead connection", async () => {
    const rig = await Rig.live();
    await rig.world.advance(10_000);
    rig.world.socket.take("ping");
    await rig.world.advance(9_999);
    assert.equal(rig.client.state.status, "live");
    await rig.world.advance(1);
    assert.equal(rig.client.state.status, "waiting");
    assert.equal(rig.world.socket.closedWith, 4900);
  });

  test("going to the background is told at once", async () => {
    const rig = await Rig.live();
    rig.client.setActive(false);
    assert.deepEqual(rig.world.socket.take("ping").d, { active: false });
  });
});

describe("draining", () => {
  test("the new socket is opened first, then the old one is closed with 1000", async () => {
    const rig = await Rig.live(7);
    const old = rig.world.socket;
    old.push("reconnect", { after_ms: 3_000, reason: "drain" });
    await rig.world.advance(2_999);
    assert.equal(rig.world.sockets.length, 1);
    await rig.world.advance(1);
    assert.equal(rig.world.sockets.length, 2);
    old.push("message", rig.world.message(8));
    assert.equal(old.closedWith, undefined, "the old one serves until the new one does");
    rig.world.hello();
    assert.equal(old.closedWith, 1000);
    assert.deepEqual(has(rig.world.socket.take("sync")), { [CHAT]: [8, 0] });
    assert.deepEqual(rig.seqs, [8]);
    assert(!rig.states.includes("waiting"));
  });

  test("the end of the drain before the wait is over opens at once", async () => {
    const rig = await Rig.live();
    rig.world.socket.push("reconnect", { after_ms: 30_000, reason: "drain" });
    rig.world.socket.cut(4001, "drain");
    await rig.world.settle();
    assert.equal(rig.world.sockets.length, 2);
    assert(!rig.states.includes("waiting"));
  });

  test("a new gateway that refuses leaves the old session alone, and is tried again by back-off", async () => {
    const rig = await Rig.live();
    const old = rig.world.socket;
    old.push("reconnect", { after_ms: 0, reason: "restart" });
    await rig.world.advance(0);
    rig.world.socket.cut(4005, "over_capacity");
    assert.equal(rig.client.state.status, "live");
    await rig.world.advance(250);
    assert.equal(rig.world.sockets.length, 3);
    old.cut(4001, "drain");
    assert.equal(rig.states.at(-1), "connecting");
    await rig.join();
    assert.equal(rig.states.at(-1), "live");
  });

  test("sends go on while it moves: what was not answered goes again with its id", async () => {
    const rig = await Rig.live();
    const { message_id } = rig.client.send({ chat_id: CHAT }, { content: "hi" });
    rig.world.socket.push("reconnect", { after_ms: 0, reason: "drain" });
    await rig.world.advance(0);
    await rig.join();
    assert.equal(rig.world.socket.take("send").d["message_id"], message_id);
  });
});

describe("order", () => {
  test("duplicates and stragglers are shown once", async () => {
    const rig = await Rig.live();
    for (const seq of [1, 2, 2, 1, 3]) rig.world.socket.push("message", rig.world.message(seq));
    assert.deepEqual(rig.seqs, [1, 2, 3]);
  });

  test("a gap is synced, and what was ahead follows in order", async () => {
    const rig = await Rig.live(4, 1);
    rig.world.socket.push("message", rig.world.message(7));
    assert.deepEqual(rig.seqs, []);
    const sync = rig.world.socket.take("sync");
    assert.deepEqual([sync.d["have"], sync.d["partial"]], [{ [CHAT]: [4, 1] }, true]);
    rig.world.socket.push("message", rig.world.message(8));
    assert.equal(rig.world.socket.has("sync"), false, "one sync at a time");
    for (const seq of [5, 6, 7]) rig.world.socket.push("message", rig.world.message(seq));
    rig.world.socket.ack(sync, rig.world.synced());
    await rig.world.settle();
    assert.deepEqual(rig.seqs, [5, 6, 7, 8]);
    assert.equal(rig.world.socket.has("sync"), false);
  });

  test("a gap of edits is synced too", async () => {
    const rig = await Rig.live(4, 1);
    rig.world.socket.push("message.updated", rig.world.updated(2, 3));
    const sync = rig.world.socket.take("sync");
    rig.world.socket.push("message.deleted", { chat_id: CHAT, seq: 3, rev: 2, deleted_at: "" });
    rig.world.socket.push("message.updated", rig.world.updated(2, 3));
    rig.world.socket.ack(sync, rig.world.synced());
    await rig.world.settle();
    const told = rig.events.filter(({ type }) => type.startsWith("message")).map(({ type }) => type);
    assert.deepEqual(told, ["message.deleted", "message.updated"]);
    assert.deepEqual(rig.client.save().positions[CHAT], [4, 3]);
  });

  test("pushes ahead of the first sync wait for it", async () => {
    const rig = new Rig({ saved: { user: "ann", epoch: "e1", positions: { [CHAT]: [4, 0] }, outbox: [] } });
    rig.client.start();
    await rig.world.settle();
    const { socket } = rig.world;
    rig.world.hello();
    const sync = socket.take("sync");
    for (const seq of [9, 5, 6, 7, 8]) socket.push("message", rig.world.message(seq));
    socket.ack(sync, rig.world.synced());
    await rig.world.settle();
    assert.deepEqual(rig.seqs, [5, 6, 7, 8, 9]);
    assert.equal(socket.has("sync"), false);
  });

  test("more is synced until all is here", async () => {
    const rig = new Rig({ saved: { user: "ann", epoch: "e1", positions: { [CHAT]: [0, 0] }, outbox: [] } });
    rig.client.start();
    await rig.world.settle();
    rig.world.hello();
    for (const [upto, left] of [
      [2, true],
      [4, true],
      [6, false],
    ] as const) {
      const sync = rig.world.socket.take("sync");
      assert.deepEqual(has(sync), { [CHAT]: [upto - 2, 0] });
      for (const seq of [upto - 1, upto]) rig.world.socket.push("message", rig.world.message(seq));
      const more = left ? [{ chat_id: CHAT, from: upto + 1, to: 6 }] : [];
      rig.world.socket.ack(sync, rig.world.synced({ more }));
      await rig.world.settle();
    }
    assert.deepEqual(rig.seqs, [1, 2, 3, 4, 5, 6]);
    assert.equal(rig.world.socket.has("sync"), false);
  });

  test("a gap that the session does not fill is read from history", async () => {
    const rig = await Rig.live(4);
    const { world } = rig;
    world.answer = () => ({
      body: { items: [5, 6].map((seq) => world.message(seq)), has_more: false, head_seq: 7, head_rev: 0 },
    });
    world.socket.push("message", world.message(7));
    world.socket.ack(world.socket.take("sync"), world.synced());
    await world.settle();
    assert.deepEqual(rig.seqs, [5, 6, 7]);
    assert.equal(world.calls[0]?.path, `/v1/chats/${CHAT}/messages?after=4&limit=200`);
  });

  test("a sync that fails for a moment is asked again", async () => {
    const rig = new Rig();
    rig.client.start();
    await rig.world.settle();
    rig.world.hello();
    rig.world.socket.error(rig.world.socket.take("sync"), { code: "unavailable", temporary: true });
    await rig.world.advance(1_000);
    rig.world.socket.ack(rig.world.socket.take("sync"), rig.world.synced());
    await rig.world.settle();
    assert.equal(rig.client.state.status, "live");
  });
});

describe("chats come and go", () => {
  test("a new chat begins with its first message; one joined late is read from there", async () => {
    const rig = await Rig.live();
    const { world } = rig;
    world.answer = () => ({
      body: { items: [world.message(9, { chat_id: OTHER })], has_more: false, head_seq: 9, head_rev: 4 },
    });
    world.socket.push("message", world.message(1));
    world.socket.push("message", world.message(9, { chat_id: OTHER }));
    await world.settle();
    assert.deepEqual(rig.seqs, [1, 9]);
    assert.equal(world.calls[0]?.path, `/v1/chats/${OTHER}/messages?after=8&limit=200`);
    assert.deepEqual(rig.client.save().positions, { [CHAT]: [1, 0], [OTHER]: [9, 4] });
  });

  test("a server without history still has its messages shown", async () => {
    const rig = await Rig.live();
    rig.world.socket.push("message", rig.world.message(9, { chat_id: OTHER }));
    await rig.world.settle();
    assert.deepEqual(rig.seqs, [9]);
    assert.equal(rig.of("warning").length, 1);
  });

  test("reload, gone and unlisted are told, and their positions dropped", async () => {
    const rig = new Rig({
      saved: { user: "ann", epoch: "e1", positions: { [CHAT]: [4, 0], [OTHER]: [5, 0] }, outbox: [] },
    });
    rig.client.start();
    const news = { chat_id: "0195c6a8-7d2e-7c00-8000-000000000003", head_seq: 12, head_rev: 0 };
    await rig.join({ recovered: false, reload: [CHAT], gone: [OTHER], unlisted: [news] });
    assert.deepEqual(rig.events, [
      { type: "reload", value: { chat_id: CHAT } },
      { type: "gone", value: { chat_id: OTHER } },
      { type: "unlisted", value: [news] },
    ]);
    assert.deepEqual(rig.client.save().positions, {});
  });

  test("the newest page of a chat is where following begins", async () => {
    const rig = await Rig.live();
    const { world } = rig;
    world.answer = () => ({
      body: { items: [world.message(40, { chat_id: OTHER })], has_more: true, head_seq: 40, head_rev: 6 },
    });
    await rig.client.history(OTHER);
    world.socket.push("message", world.message(41, { chat_id: OTHER }));
    assert.deepEqual(rig.seqs, [41]);
    assert.deepEqual(rig.client.save().positions[OTHER], [41, 6]);
    assert.deepEqual(world.socket.take("receipt").d, { chat_id: OTHER, delivered: 40 });
  });

  test("a chat whose messages have all aged out is followed from its head", async () => {
    const rig = await Rig.live();
    const { world } = rig;
    world.answer = () => ({ body: { items: [], has_more: false, head_seq: 40, head_rev: 6 } });
    await rig.client.history(OTHER);
    world.socket.push("message", world.message(41, { chat_id: OTHER }));
    assert.deepEqual(rig.seqs, [41]);
  });

  test("another epoch makes it a fresh device, which still sends what it had to", async () => {
    const rig = await Rig.live(7);
    const sent = rig.client.send({ chat_id: CHAT }, { content: "hi" });
    rig.world.socket.cut();
    await rig.world.advance(500);
    rig.world.hello(rig.world.socket, { epoch: "e2" });
    const sync = rig.world.socket.take("sync");
    assert.deepEqual(sync.d, { have: {}, receipts: true, limit: 200 });
    assert.deepEqual(rig.of("reset"), [{ why: "epoch" }]);
    rig.world.socket.ack(sync, rig.world.synced());
    await rig.world.settle();
    assert.equal(rig.world.socket.take("send").d["message_id"], sent.message_id);
    assert.equal(rig.client.save().epoch, "e2");
  });

  test("a chat that one was removed from is no longer named", async () => {
    const rig = await Rig.live(7);
    const change = { kind: "member_removed", actor: "bob", seq: 8, users: ["ann"] };
    rig.world.socket.push("chat", { chat: { chat_id: CHAT }, change });
    assert.deepEqual(rig.client.save().positions, {});
  });
});

describe("sending", () => {
  test("the id is a UUIDv7 by the server's clock", async () => {
    const world = new World();
    world.skew = -3 * 86_400_000;
    const rig = new Rig({}, world);
    rig.client.start();
    await rig.join();
    const { message_id } = rig.client.send({ to: "bob" }, { content: "hi" });
    assert.equal(uuid7Millis(message_id), START);
    const { d } = world.socket.take("send");
    assert.deepEqual(d, { to: "bob", content: "hi", message_id });
  });

  test("an ack resolves; until the echo the same id goes again after every sync", async () => {
    const rig = await Rig.live();
    const sent = rig.client.send({ chat_id: CHAT }, { content: "hi" });
    rig.world.socket.ack(rig.world.socket.take("send"), { chat_id: CHAT, message_id: sent.message_id });
    assert.deepEqual(
      await sent.acknowledged,
      { chat_id: CHAT, message_id: sent.message_id }.chat_id ? { chat_id: CHAT } : {},
    );
    rig.world.socket.cut();
    await rig.world.advance(500);
    await rig.join();
    const again = rig.world.socket.take("send");
    assert.equal(again.d["message_id"], sent.message_id);
    rig.world.socket.push("message", rig.world.message(1, { sender: "ann", message_id: sent.message_id }));
    rig.world.socket.ack(again, { chat_id: CHAT, message_id: sent.message_id });
    await rig.world.settle();
    rig.world.socket.cut();
    await rig.world.advance(1_000);
    await rig.join();
    assert.equal(rig.world.socket.has("send"), false);
    assert.deepEqual(rig.seqs, [1]);
  });

  test("a send made without a connection waits for one", async () => {
    const rig = new Rig();
    const sent = rig.client.send({ to: "bob" }, { content: "hi" });
    rig.client.start();
    await rig.world.settle();
    rig.world.hello();
    assert.equal(rig.world.socket.has("send"), false, "not before the sync: its echo may be in it");
    rig.world.socket.ack(rig.world.socket.take("sync"), rig.world.synced());
    await rig.world.settle();
    assert.equal(rig.world.socket.take("send").d["message_id"], sent.message_id);
  });

  test("an echo that comes in the sync ends the send, though its ack was lost", async () => {
    const rig = await Rig.live();
    const sent = rig.client.send({ chat_id: CHAT }, { content: "hi" });
    rig.world.socket.cut();
    await rig.world.advance(500);
    rig.world.hello();
    const sync = rig.world.socket.take("sync");
    rig.world.socket.push("message", rig.world.message(1, { sender: "ann", message_id: sent.message_id }));
    rig.world.socket.ack(sync, rig.world.synced());
    await rig.world.settle();
    assert.equal(rig.world.socket.has("send"), false);
    assert.deepEqual(await sent.acknowledged, { chat_id: CHAT });
  });

  test("a temporary error is waited out in order; a lasting one is told", async () => {
    const rig = await Rig.live();
    const first = rig.client.send({ chat_id: CHAT }, { content: "1" });
    const second = rig.client.send({ chat_id: CHAT }, { content: "2" });
    const { socket } = rig.world;
    socket.error(socket.take("send"), { code: "rate_limited", temporary: true, retry_after_ms: 2_000 });
    socket.error(socket.take("send"), { code: "rate_limited", temporary: true, retry_after_ms: 1_000 });
    await rig.world.advance(1_999);
    assert.equal(socket.has("send"), false);
    await rig.world.advance(1);
    assert.equal(socket.take("send").d["message_id"], first.message_id);
    socket.error(socket.take("send"), { code: "blocked" });
    await assert.rejects(second.acknowledged, (error) => error instanceof ChatError && error.code === "blocked");
    assert.equal((rig.of("failed")[0] as { id: string }).id, second.message_id);
    await rig.world.advance(60_000);
  });

  test("no answer in 20 s is asked again with the same id", async () => {
    const rig = await Rig.live();
    const sent = rig.client.send({ chat_id: CHAT }, { content: "hi" });
    rig.world.socket.take("send");
    for (let passed = 0; passed < 25_000; passed += 1_000) {
      await rig.world.advance(1_000);
      rig.world.socket.push("presence", { user: "bob", status: "online" });
    }
    assert.equal(rig.world.socket.take("send").d["message_id"], sent.message_id);
  });

  test("what was refused in log order is told, and not sent again", async () => {
    const rig = await Rig.live();
    const { message_id } = rig.client.send({ chat_id: CHAT }, { content: "hi" });
    rig.world.socket.ack(rig.world.socket.take("send"), { chat_id: CHAT, message_id });
    await rig.world.settle();
    rig.world.socket.push("message.rejected", { chat_id: CHAT, message_id, code: "forbidden", message: "removed" });
    rig.world.socket.cut();
    await rig.world.advance(500);
    await rig.join();
    assert.equal(rig.world.socket.has("send"), false);
    assert.equal(rig.of("message.rejected").length, 1);
  });

  test("edits and deletes carry an op_id and survive a cut", async () => {
    const rig = await Rig.live(3);
    const edited = rig.client.edit(CHAT, 2, "better");
    const first = rig.world.socket.take("edit");
    rig.world.socket.cut();
    await rig.world.advance(500);
    await rig.join();
    const again = rig.world.socket.take("edit");
    assert.deepEqual(again.d, first.d);
    rig.world.socket.ack(again, { chat_id: CHAT, seq: 2 });
    await edited;
  });

  test("what is saved goes on in the next life of the app", async () => {
    const rig = await Rig.live(7, 1);
    const { message_id } = rig.client.send({ chat_id: CHAT }, { content: "hi" });
    const saved = JSON.parse(JSON.stringify(rig.client.save())) as ReturnType<typeof rig.client.save>;
    const next = new Rig({ saved });
    next.client.start();
    await next.world.settle();
    next.world.hello();
    const sync = next.world.socket.take("sync");
    assert.deepEqual(has(sync), { [CHAT]: [7, 1] });
    next.world.socket.ack(sync, next.world.synced());
    await next.world.settle();
    assert.equal(next.world.socket.take("send").d["message_id"], message_id);
  });
});

describe("receipts, presence, typing", () => {
  test("every applied message is told as delivered, coalesced", async () => {
    const rig = await Rig.live();
    const { socket } = rig.world;
    for (const seq of [1, 2, 3]) socket.push("message", rig.world.message(seq));
    const first = socket.take("receipt");
    assert.deepEqual(first.d, { chat_id: CHAT, delivered: 1 });
    socket.ack(first);
    await rig.world.advance(199);
    assert.equal(socket.has("receipt"), false);
    await rig.world.advance(1);
    assert.deepEqual(socket.take("receipt").d, { chat_id: CHAT, delivered: 3 });
  });

  test("read is never told beyond what is here without a gap", async () => {
    const rig = await Rig.live(4);
    rig.client.read(CHAT, 9);
    assert.deepEqual(rig.world.socket.take("receipt").d, { chat_id: CHAT, delivered: 4, read: 4 });
  });

  test("a cursor that was not confirmed is told in the next session", async () => {
    const rig = await Rig.live();
    rig.world.socket.push("message", rig.world.message(1));
    rig.world.socket.cut();
    await rig.world.advance(500);
    const socket = await rig.join();
    assert.deepEqual(socket.take("receipt").d, { chat_id: CHAT, delivered: 1 });
  });

  test("a server without receipts is not asked again in the same session", async () => {
    const rig = await Rig.live();
    rig.world.socket.push("message", rig.world.message(1));
    rig.world.socket.error(rig.world.socket.take("receipt"), { code: "not_enabled" });
    await rig.world.settle();
    rig.world.socket.push("message", rig.world.message(2));
    await rig.world.advance(1_000);
    assert.equal(rig.world.socket.has("receipt"), false);
  });

  test("own messages need no receipt", async () => {
    const rig = await Rig.live();
    rig.world.socket.push("message", rig.world.message(1, { sender: "ann" }));
    await rig.world.advance(1_000);
    assert.equal(rig.world.socket.has("receipt"), false);
  });

  test("subscriptions are made again in every session", async () => {
    const rig = await Rig.live();
    rig.client.watch({ users: ["bob"], chats: [CHAT] });
    const first = rig.world.socket.take("presence.subscribe");
    assert.deepEqual(first.d, { users: ["bob"], chats: [CHAT] });
    rig.world.socket.ack(first, { presence: { bob: { status: "online" } } });
    await rig.world.settle();
    assert.deepEqual(rig.of("presence"), [{ user: "bob", status: "online" }]);
    rig.world.socket.cut();
    await rig.world.advance(500);
    await rig.world.settle();
    rig.world.hello();
    assert.deepEqual(rig.world.socket.take("presence.subscribe").d, { users: ["bob"], chats: [CHAT] });
  });

  test("typing ends by itself after 6 s", async () => {
    const rig = await Rig.live();
    rig.world.socket.push("typing", { chat_id: CHAT, user: "bob", active: true });
    await rig.world.advance(6_000);
    const told = rig.of("typing").map((typing) => (typing as { active: boolean }).active);
    assert.deepEqual(told, [true, false]);
  });
});

describe("tokens", () => {
  test("a token that expires soon is renewed in mid-session", async () => {
    const rig = await Rig.live();
    const expires_at = new Date(START + 60_000).toISOString();
    rig.world.socket.push("token.expiring", { expires_at });
    await rig.world.settle();
    const auth = rig.world.socket.take("auth");
    assert.deepEqual(auth.d, { token: "token2" });
    rig.world.socket.ack(auth, { user: "ann", expires_at: new Date(START + 3_600_000).toISOString() });
    await rig.world.settle();
    rig.world.socket.cut();
    await rig.world.advance(500);
    assert.deepEqual(rig.world.socket.protocols[1], "bearer.token2");
    assert.equal(rig.tokens, 2);
  });

  test("a renewal that fails is tried again while there is time", async () => {
    let asked = 0;
    const rig = new Rig({ token: () => (++asked === 2 ? Promise.reject(new Error("away")) : `token${asked}`) });
    rig.client.start();
    await rig.join();
    rig.world.socket.push("token.expiring", { expires_at: new Date(START + 60_000).toISOString() });
    await rig.world.settle();
    assert.equal(rig.world.socket.has("auth"), false);
    await rig.world.advance(10_000);
    assert.deepEqual(rig.world.socket.take("auth").d, { token: "token3" });
  });
});

describe("robustness", () => {
  test("frames of a later version, and nonsense, change nothing", async () => {
    const rig = await Rig.live();
    for (const raw of ["", "null", "[1]", '{"type":"reaction","d":{}}', '{"id":99,"type":"ack"}', new ArrayBuffer(2)]) {
      rig.world.socket.raw(raw);
    }
    rig.world.socket.push("message", rig.world.message(1, { content_type: "POLL", later: true }));
    assert.deepEqual(rig.seqs, [1]);
    assert.equal(rig.client.state.status, "live");
  });

  test("a listener that throws does not stop the client", async (t) => {
    const rig = await Rig.live();
    const thrown: unknown[] = [];
    const keep = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.once("uncaughtException", (error) => thrown.push(error));
    t.after(() => {
      for (const listener of keep) process.on("uncaughtException", listener);
    });
    rig.client.on("message", () => {
      throw new Error("the app's own mistake");
    });
    rig.world.socket.push("message", rig.world.message(1));
    await rig.world.settle();
    assert.deepEqual(rig.seqs, [1]);
    assert.equal(thrown.length, 1);
  });
});
