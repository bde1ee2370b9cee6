import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Backoff } from "../src/connection/backoff.ts";
import { CatchUp } from "../src/core/catch-up.ts";
import { HoldBack } from "../src/core/hold-back.ts";
import { Outbox, type Write } from "../src/core/outbox.ts";
import { type Arrival, type ChatFrame, Positions } from "../src/core/positions.ts";
import { Receipts } from "../src/core/receipts.ts";
import { OthersTyping, OwnTyping } from "../src/core/typing.ts";
import { Watch } from "../src/core/watched.ts";
import { amend, type Message } from "../src/index.ts";
import { afterClose } from "../src/protocol/close.ts";
import { decode } from "../src/protocol/decode.ts";
import type { SyncDone } from "../src/protocol/frames.ts";
import { Uuid7, uuid7Millis } from "../src/uuid7.ts";
import { CHAT, OTHER, START } from "./world.ts";

function message(seq: number, chat_id = CHAT): ChatFrame & { type: "message" } {
  const d: Message = {
    chat_id,
    seq,
    message_id: `m${seq}`,
    sender: "bob",
    content_type: "TEXT",
    content: "",
    created_at: "",
  };
  return { type: "message", d };
}

function updated(rev: number, seq = 1, chat_id = CHAT): ChatFrame {
  return { type: "message.updated", d: { chat_id, seq, rev, content: `edit ${rev}`, edited_at: "" } };
}

function numbers({ apply }: Arrival): number[] {
  return apply.map((frame) => (frame.type === "message" ? frame.d.seq : frame.d.rev));
}

describe("positions", () => {
  test("what comes in order is applied, once", () => {
    const positions = new Positions({ [CHAT]: [4, 0] });
    assert.deepEqual(numbers(positions.take(message(5))), [5]);
    assert.deepEqual(numbers(positions.take(message(5))), []);
    assert.deepEqual(numbers(positions.take(message(3))), []);
    assert.deepEqual(positions.get(CHAT), { seq: 5, rev: 0 });
  });

  test("what is ahead waits for what is missing, and a sync is asked for", () => {
    const positions = new Positions({ [CHAT]: [4, 0] });
    assert.deepEqual(positions.take(message(7)), { apply: [], missing: "gap" });
    assert.deepEqual(positions.take(message(6)), { apply: [], missing: "gap" });
    assert.deepEqual(numbers(positions.take(message(5))), [5, 6, 7]);
    assert.equal(positions.stuckBy(CHAT), undefined);
  });

  test("edits and deletes have an order of their own", () => {
    const positions = new Positions({ [CHAT]: [4, 2] });
    assert.deepEqual(positions.take(updated(4)), { apply: [], missing: "gap" });
    assert.deepEqual(numbers(positions.take(updated(3))), [3, 4]);
    assert.deepEqual(numbers(positions.take(updated(4))), []);
    assert.deepEqual(positions.get(CHAT), { seq: 4, rev: 4 });
  });

  test("a chat is followed from its first message, or from where history takes over", () => {
    const positions = new Positions();
    assert.deepEqual(numbers(positions.take(message(1))), [1]);
    assert.deepEqual(positions.take(message(8, OTHER)), { apply: [], missing: "beginning" });
    assert.deepEqual(positions.take(message(10, OTHER)), { apply: [], missing: "beginning" });
    assert.equal(positions.loadAfter(OTHER), 7);
    const page = [message(8, OTHER).d, message(9, OTHER).d];
    assert.deepEqual(numbers(positions.loaded(OTHER, 7, page, false, 3)), [8, 9, 10]);
    assert.deepEqual(positions.get(OTHER), { seq: 10, rev: 3 });
  });

  test("a newest page that ends before what was followed goes back, so that no hole stays", () => {
    const positions = new Positions();
    positions.take(message(12));
    positions.loaded(CHAT, 11, [message(12).d], false, 5);
    assert.deepEqual(positions.follow(CHAT, 12, 5), { apply: [] });
    assert.deepEqual(positions.follow(CHAT, 9, 4), { apply: [], missing: "more" });
    assert.deepEqual(positions.get(CHAT), { seq: 9, rev: 4 });
  });

  test("a change of a chat without a copy is passed on", () => {
    assert.deepEqual(numbers(new Positions().take(updated(9))), [9]);
  });

  test("what is held is bounded", () => {
    const held = new HoldBack<number>(3);
    for (const at of [9, 2, 3, 4]) held.put(at, at);
    assert.equal(held.size, 3);
    assert.deepEqual(held.release(1), [2, 3, 4]);
  });
});

describe("catch-up", () => {
  const done = (fields: Partial<SyncDone> = {}): SyncDone => ({
    recovered: true,
    more: [],
    reload: [],
    gone: [],
    unlisted: [],
    server_time: "t1",
    ...fields,
  });

  test("many chats are named in parts, the last of which is no part", () => {
    const saved = Object.fromEntries(Array.from({ length: 1001 }, (_, n) => [`chat${n}`, [n, 0] as [number, number]]));
    const catchUp = new CatchUp(new Positions(saved), "t0");
    catchUp.begin();
    const sizes: [number, boolean | undefined][] = [];
    for (let request = catchUp.next(); request; request = catchUp.next()) {
      sizes.push([Object.keys(request.have).length, request.partial]);
      assert.equal(request.since, "t0");
      assert.equal(catchUp.next(), undefined, "one at a time");
      catchUp.answered(done());
    }
    assert.deepEqual(sizes, [
      [500, true],
      [500, true],
      [1, undefined],
    ]);
    assert.equal(catchUp.since, "t1");
  });

  test("a device without chats asks with none", () => {
    const catchUp = new CatchUp(new Positions());
    catchUp.begin();
    assert.deepEqual(catchUp.next()?.have, {});
    assert.equal(catchUp.answered(done()).isComplete, true);
    assert.equal(catchUp.next(), undefined);
  });

  test("more is read until nothing is left, and by history where sync brings nothing", () => {
    const positions = new Positions({ [CHAT]: [4, 0] });
    const catchUp = new CatchUp(positions);
    const more = [{ chat_id: CHAT, from: 5, to: 9 }];
    catchUp.begin();
    catchUp.next();
    positions.take(message(5));
    assert.deepEqual(catchUp.answered(done({ more })).load, []);
    assert.deepEqual(catchUp.next()?.have, { [CHAT]: [5, 0] });
    assert.deepEqual(catchUp.answered(done({ more })).load, []);
    catchUp.next();
    assert.deepEqual(catchUp.answered(done({ more })).load, [CHAT]);
    assert.equal(catchUp.next(), undefined);
  });

  test("a gap that a sync did not fill is read from history; of edits the chat is read anew", () => {
    const positions = new Positions({ [CHAT]: [4, 0], [OTHER]: [4, 0] });
    const catchUp = new CatchUp(positions);
    catchUp.begin();
    positions.take(message(6));
    positions.take(updated(2, 1, OTHER));
    catchUp.next();
    const outcome = catchUp.answered(done());
    assert.deepEqual([outcome.load, outcome.reload, outcome.recovered], [[CHAT], [OTHER], false]);
    assert.equal(positions.get(OTHER), undefined);
  });

  test("a failed part is asked again, whole", () => {
    const catchUp = new CatchUp(new Positions({ [CHAT]: [4, 0] }));
    catchUp.begin();
    const first = catchUp.next();
    catchUp.failed();
    assert.deepEqual(catchUp.next(), first);
  });
});

describe("outbox", () => {
  const send = (id: string, chat_id = CHAT): Write => ({ type: "send", d: { chat_id, message_id: id, content: id } });
  const taken = (outbox: Outbox, now = 0): string[] =>
    outbox.take(now).map((write) => (write.d as { message_id: string }).message_id);

  test("a send is kept until its echo, and goes again after a sync", () => {
    const outbox = new Outbox();
    outbox.add(send("a"));
    outbox.add(send("b"));
    assert.deepEqual(taken(outbox), ["a", "b"]);
    assert.deepEqual(taken(outbox), []);
    outbox.acknowledged("a");
    outbox.settle("b");
    outbox.resend();
    assert.deepEqual(taken(outbox), ["a"]);
  });

  test("an edit is done with its ack", () => {
    const outbox = new Outbox([{ type: "edit", d: { chat_id: CHAT, seq: 1, content: "x", op_id: "o" } }]);
    outbox.take(0);
    outbox.acknowledged("o");
    assert.equal(outbox.has("o"), false);
  });

  test("after a temporary error a chat waits and keeps its order; others go on", () => {
    const outbox = new Outbox([send("a"), send("b")]);
    outbox.take(0);
    outbox.postpone("a", 500);
    outbox.postpone("b", 100);
    outbox.add(send("c", OTHER));
    assert.deepEqual(taken(outbox, 100), ["c"]);
    assert.equal(outbox.nextAt(), 500);
    assert.deepEqual(taken(outbox, 500), ["a", "b"]);
  });

  test("no more are unanswered than the server reads", () => {
    const outbox = new Outbox(Array.from({ length: 100 }, (_, n) => send(`m${n}`)));
    assert.equal(outbox.take(0).length, 32);
    outbox.acknowledged("m0");
    assert.deepEqual(taken(outbox), ["m32"]);
  });
});

describe("receipts", () => {
  test("a chat's cursors are told at most every 200 ms, the furthest only", () => {
    const receipts = new Receipts();
    receipts.delivered(CHAT, 1);
    assert.deepEqual(receipts.take(0), [{ chat_id: CHAT, delivered: 1 }]);
    for (const seq of [2, 3, 4]) receipts.delivered(CHAT, seq);
    receipts.read(CHAT, 3);
    assert.deepEqual(receipts.take(199), []);
    assert.equal(receipts.nextAt(199), 200);
    assert.deepEqual(receipts.take(200), [{ chat_id: CHAT, delivered: 4, read: 3 }]);
    assert.equal(receipts.nextAt(200), undefined);
  });

  test("what was not confirmed is told again in the next session", () => {
    const receipts = new Receipts();
    receipts.delivered(CHAT, 5);
    receipts.take(0);
    receipts.confirmed({ chat_id: CHAT, delivered: 5 });
    receipts.read(CHAT, 5);
    receipts.take(1000);
    receipts.lost();
    assert.deepEqual(receipts.take(2000), [{ chat_id: CHAT, read: 5 }]);
  });

  test("what another device told is not told again", () => {
    const receipts = new Receipts();
    receipts.known(CHAT, { delivered: 9, read: 7 });
    receipts.delivered(CHAT, 9);
    receipts.read(CHAT, 6);
    assert.deepEqual(receipts.take(0), []);
  });

  test("a session stays under 20 a second whatever happens", () => {
    const receipts = new Receipts();
    for (let chat = 0; chat < 200; chat += 1) receipts.delivered(`chat${chat}`, 1);
    let told = 0;
    let now = 0;
    while (now <= 2_000) {
      told += receipts.take(now).length;
      now = Math.max(now + 1, receipts.nextAt(now) ?? Number.POSITIVE_INFINITY);
    }
    assert(told > 30 && told <= 40 + 1, `${told}`);
  });
});

test("the wait grows with the attempts, and begins anew after a session that lived 30 s", () => {
  const backoff = new Backoff();
  const waits = Array.from({ length: 9 }, () => backoff.next(0, 1));
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  backoff.hello(1000);
  assert.equal(backoff.next(30_999, 1), 30_000);
  backoff.hello(40_000);
  assert.equal(backoff.next(70_000, 1), 500);
  assert.equal(backoff.next(70_000, 0, 5_000), 5_000);
});

test("every close code says whether to come back", () => {
  const comeBack = [
    1000, 1001, 1005, 1006, 1011, 1012, 1013, 4000, 4001, 4002, 4003, 4004, 4005, 4006, 4007, 4008, 4499,
  ];
  const stop = [1002, 1003, 1007, 1008, 1009, 1010, 4500, 4501, 4502, 4503, 4504, 4505, 4777, 4999];
  assert.deepEqual(
    comeBack.filter((code) => !afterClose(code).reconnect),
    [],
  );
  assert.deepEqual(
    stop.filter((code) => afterClose(code).reconnect),
    [],
  );
  assert.equal(afterClose(4006).needsToken, true);
  assert.equal(afterClose(4008).floorMs, 5_000);
});

test("ids are of version 7, ascend, and carry the time", () => {
  const ids = new Uuid7(
    () => START,
    (count) => new Uint8Array(count).fill(0xff),
  );
  const made = Array.from({ length: 5_000 }, () => ids.make());
  assert.deepEqual([...made].sort(), made);
  assert.equal(new Set(made).size, made.length);
  assert.match(made[0] ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(uuid7Millis(made[0] ?? ""), START);
});

describe("typing", () => {
  test("own typing is told at its beginning, every 4 s, and at its end", () => {
    const typing = new OwnTyping();
    const told = [0, 1000, 3999, 4000, 5000].map((now) => typing.tell(CHAT, true, now));
    assert.deepEqual(told, [true, false, false, true, false]);
    assert.equal(typing.tell(CHAT, false, 5000), true);
    assert.equal(typing.tell(CHAT, false, 5000), false);
  });

  test("others' typing is believed for 6 s", () => {
    const typing = new OthersTyping();
    typing.take({ chat_id: CHAT, user: "bob" }, true, 0);
    assert.deepEqual(typing.expired(5_999), []);
    assert.deepEqual(typing.expired(6_000), [{ chat_id: CHAT, user: "bob" }]);
    assert.equal(typing.nextAt(), undefined);
  });
});

test("only what changed is subscribed, and everything again in a new session", () => {
  const watch = new Watch();
  watch.want({ users: ["bob", "cat"], chats: [CHAT] });
  assert.deepEqual(watch.take(), { subscribe: { users: ["bob", "cat"], chats: [CHAT] } });
  watch.want({ users: ["bob", "dan"], chats: [] });
  assert.deepEqual(watch.take(), { subscribe: { users: ["dan"] }, unsubscribe: { users: ["cat"], chats: [CHAT] } });
  watch.lost();
  assert.deepEqual(watch.take(), { subscribe: { users: ["bob", "dan"] } });
});

describe("decoding", () => {
  test("what v1 does not know is passed over", () => {
    assert.equal(decode('{"type":"reaction","d":{}}').kind, "unknown");
    assert.equal(decode('{"type":"presence","d":{"user":"b","status":"asleep","mood":1}}').kind, "push");
    assert.equal(decode('{"id":1,"type":"later"}').kind, "unknown");
  });

  test("what cannot be used is told", () => {
    for (const text of [
      "",
      "[]",
      "null",
      "{}",
      '{"type":1}',
      '{"type":"message","d":{"chat_id":"c"}}',
      '{"type":"chat"}',
    ]) {
      assert.equal(decode(text).kind, "malformed", text);
    }
  });
});

test("a change amends a message once, and an older one never", () => {
  const original: Message = { ...message(1).d, content: "one", meta: { a: 1 }, rev: 2 };
  const edit = { chat_id: CHAT, seq: 1, rev: 3, content: "two", edited_at: "t" };
  assert.deepEqual(amend(original, edit), { ...message(1).d, content: "two", edited_at: "t", rev: 3 });
  assert.equal(amend(original, { ...edit, rev: 2 }), original);
  const gone = amend(original, { chat_id: CHAT, seq: 1, rev: 4, deleted_at: "t" });
  assert.deepEqual([gone.content, gone.meta, gone.deleted_at], ["", undefined, "t"]);
});
