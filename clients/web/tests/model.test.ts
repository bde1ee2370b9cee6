import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Chat, Message } from "@chatcluster/client";
import { Conversation } from "../src/model/conversation.ts";
import { pieces } from "../src/model/highlight.ts";
import { Inbox } from "../src/model/inbox.ts";
import { countOf, tickOf } from "../src/model/ticks.ts";

const CHAT = "0195c6a8-7d2e-5c00-8000-000000000001";

function chat(fields: Partial<Chat> = {}): Chat {
  return {
    chat_id: CHAT,
    type: "DIRECT",
    created_at: "t0",
    created_by: "ann",
    member_count: 2,
    head_seq: 0,
    head_rev: 0,
    head_at: "t0",
    first_seq: 1,
    role: "MEMBER",
    join_seq: 0,
    delivered: 0,
    read: 0,
    unread: 0,
    peer: { user: "bob", delivered: 0, read: 0 },
    ...fields,
  };
}

function message(seq: number, fields: Partial<Message> = {}): Message {
  const base = { chat_id: CHAT, seq, message_id: `m${seq}`, sender: "bob", content_type: "TEXT", content: `${seq}` };
  return { ...base, created_at: `t${seq}`, ...fields };
}

describe("a conversation", () => {
  test("unread is counted from the head, and own messages are read", () => {
    const conversation = new Conversation(chat({ head_seq: 5, read: 2, join_seq: 1 }), "ann");
    assert.equal(conversation.unread, 3);
    conversation.add(message(6));
    assert.equal(conversation.unread, 4);
    conversation.add(message(7, { sender: "ann" }));
    assert.equal(conversation.unread, 0);
  });

  test("only what follows without a gap is shown", () => {
    const conversation = new Conversation(chat(), "ann");
    for (const seq of [9, 4, 8, 7]) conversation.add(message(seq));
    assert.deepEqual(
      conversation.messages.map(({ seq }) => seq),
      [7, 8, 9],
    );
  });

  test("the echo takes the place of what was on its way, another's message with the same id does not", () => {
    const conversation = new Conversation(chat(), "ann");
    conversation.outgoing.push({ id: "m1", content: "hi", state: "sending" });
    conversation.add(message(1, { sender: "bob" }));
    assert.equal(conversation.outgoing.length, 1);
    conversation.add(message(2, { sender: "ann", message_id: "m1" }));
    assert.equal(conversation.outgoing.length, 0);
  });

  test("an old copy does not undo a change", () => {
    const conversation = new Conversation(chat(), "ann");
    conversation.add(message(1));
    conversation.change({ chat_id: CHAT, seq: 1, rev: 2, content: "new", edited_at: "t" });
    conversation.add(message(1));
    assert.equal(conversation.get(1)?.content, "new");
  });

  test("cursors only rise", () => {
    const conversation = new Conversation(chat({ read: 4 }), "ann");
    conversation.receipt({ chat_id: CHAT, user: "bob", delivered: 3, read: 2 });
    conversation.receipt({ chat_id: CHAT, user: "bob", delivered: 1, read: 1 });
    conversation.receipt({ chat_id: CHAT, user: "ann", delivered: 2, read: 2 });
    assert.deepEqual(
      [conversation.chat.peer?.delivered, conversation.chat.peer?.read, conversation.chat.read],
      [3, 2, 4],
    );
  });
});

test("ticks tell how far the other is, in a group how far all are", () => {
  const peer = { delivered: 4, read: 2 };
  const ticks = [2, 4, 5].map((seq) => tickOf({ seq }, { peer, summaries: new Map() }));
  assert.deepEqual(ticks, ["read", "delivered", "sent"]);
  const summary = { chat_id: CHAT, seq: 1, delivered: 3, read: 2, of: 3 };
  assert.equal(tickOf({ seq: 1 }, { summaries: new Map([[1, summary]]) }), "delivered");
  assert.equal(countOf(summary), "2 of 3 read");
  assert.equal(countOf({ ...summary, of: 0 }), undefined);
});

test("a chat that was not described is drawn from its message", () => {
  const inbox = new Inbox("ann");
  assert.equal(inbox.of(message(1)).title, "bob");
  assert.deepEqual(inbox.watched(undefined), ["bob"]);
});

test("text is cut at its highlights, and at nothing else", () => {
  const text = "<b>find</b> me";
  const cut = (...ranges: [number, number][]): string =>
    pieces(text, ranges)
      .map(({ text: piece, isMarked }) => (isMarked ? `[${piece}]` : piece))
      .join("");
  assert.equal(cut([3, 7]), "<b>[find]</b> me");
  assert.equal(cut([12, 14], [3, 7]), "<b>[find]</b> [me]");
  assert.equal(cut([3, 7], [5, 9], [7, 7], [10, 99]), "<b>[find]</b> me");
});

test("no source turns text into markup", async () => {
  const forbidden =
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\b|\.style\b/;
  for (const file of await readdir("src", { recursive: true })) {
    if (file.endsWith(".ts")) assert.doesNotMatch(await readFile(join("src", file), "utf8"), forbidden, file);
  }
});
