/**
 * What this client has of each chat, and the rule of order: at or below mine is ignored, the next one is applied, one
 * further on is a gap. Pure: values in, values out.
 *
 * A chat is *followed* from the position where the app took over (`follow`), or from the first message that came of it.
 * Edits and deletes have a position of their own, the rev.
 */

import type { Have, MessageDeleted, MessageUpdated } from "../protocol/frames.ts";
import type { ChatId, Message, Rev, Seq } from "../protocol/model.ts";
import { HoldBack } from "./hold-back.ts";

/** What changes the copy of a chat. */
export type ChatFrame =
  | { type: "message"; d: Message }
  | { type: "message.updated"; d: MessageUpdated }
  | { type: "message.deleted"; d: MessageDeleted };

/** What to do about a frame. */
export interface Arrival {
  /** In order, each exactly once. */
  apply: ChatFrame[];
  /**
   * Whether something is missing: a `gap` before what is held, `more` behind what is here, or, of a chat that is not
   * followed, its beginning, to be read from history.
   */
  missing?: "gap" | "more" | "beginning";
}

interface Followed {
  /** Continuity is proven for (base, seq]. */
  base: Seq;
  seq: Seq;
  rev: Rev;
  messages: HoldBack<ChatFrame>;
  changes: HoldBack<ChatFrame>;
}

export class Positions {
  readonly #followed = new Map<ChatId, Followed>();
  /** Messages of chats that are not followed yet. */
  readonly #unknown = new Map<ChatId, HoldBack<ChatFrame>>();

  constructor(saved: Record<ChatId, [Seq, Rev]> = {}) {
    for (const [chatId, [seq, rev]] of Object.entries(saved)) this.#begin(chatId, seq, rev);
  }

  get chats(): ChatId[] {
    return [...this.#followed.keys()];
  }

  get(chatId: ChatId): { seq: Seq; rev: Rev } | undefined {
    const chat = this.#followed.get(chatId);
    return chat && { seq: chat.seq, rev: chat.rev };
  }

  have(chats: Iterable<ChatId>): Record<ChatId, Have> {
    const have: Record<ChatId, Have> = {};
    for (const chatId of chats) {
      const chat = this.#followed.get(chatId);
      if (chat) have[chatId] = [chat.seq, chat.rev];
    }
    return have;
  }

  save(): Record<ChatId, [Seq, Rev]> {
    return Object.fromEntries([...this.#followed].map(([chatId, { seq, rev }]) => [chatId, [seq, rev]]));
  }

  take(frame: ChatFrame): Arrival {
    const chatId = frame.d.chat_id;
    let chat = this.#followed.get(chatId);
    if (!chat && frame.type === "message" && frame.d.seq === 1) chat = this.#begin(chatId, 0, 0);
    if (chat) return frame.type === "message" ? takeMessage(chat, frame) : takeChange(chat, frame);
    // Of a chat without a copy nothing can be out of order; whoever shows a part of it applies the change by its rev.
    if (frame.type !== "message") return { apply: [frame] };
    const held = this.#unknown.get(chatId) ?? new HoldBack<ChatFrame>();
    this.#unknown.set(chatId, held);
    held.put(frame.d.seq, frame);
    return { apply: [], missing: "beginning" };
  }

  /**
   * Follows a chat of which the app has everything up to here. Of a chat that is followed from a later point on, the
   * part in between was never proven: it goes back, and a sync brings that part (some of it again).
   */
  follow(chatId: ChatId, seq: Seq, rev: Rev): Arrival {
    const chat = this.#followed.get(chatId);
    if (!chat) {
      const held = this.#unknown.get(chatId);
      this.#unknown.delete(chatId);
      const begun = this.#begin(chatId, seq, rev);
      if (held) begun.messages = held;
      return release(begun);
    }
    if (seq >= chat.base) return { apply: [] };
    chat.base = seq;
    chat.seq = seq;
    chat.rev = Math.min(chat.rev, rev);
    return { apply: [], missing: "more" };
  }

  /** Where the history of a chat is to be read from so that what is held can follow. */
  loadAfter(chatId: ChatId): Seq | undefined {
    const chat = this.#followed.get(chatId);
    if (chat) return chat.seq;
    const lowest = this.#unknown.get(chatId)?.lowest;
    return lowest === undefined ? undefined : lowest - 1;
  }

  /** Takes a page of history read `after` that seq, oldest first; its content is as of `headRev` or newer. */
  loaded(chatId: ChatId, after: Seq, items: Message[], hasMore: boolean, headRev: Rev): Arrival {
    let chat = this.#followed.get(chatId);
    if (!chat) {
      chat = this.#begin(chatId, after, headRev);
      const held = this.#unknown.get(chatId);
      this.#unknown.delete(chatId);
      if (held) chat.messages = held;
    }
    const apply: ChatFrame[] = [];
    for (const d of items) {
      if (d.seq !== chat.seq + 1) continue;
      chat.seq = d.seq;
      apply.push({ type: "message", d });
    }
    const rest = release(chat);
    const missing = hasMore ? "more" : rest.missing;
    return { apply: [...apply, ...rest.apply], ...(missing && { missing }) };
  }

  /** Drops what is held of a chat that is not followed and begins at or below its head, which the app reads itself. */
  forgetHeld(chatId: ChatId, headSeq: Seq): void {
    const held = this.#unknown.get(chatId);
    if (held?.lowest !== undefined && held.lowest <= headSeq) this.#unknown.delete(chatId);
  }

  forget(chatId: ChatId): void {
    this.#followed.delete(chatId);
    this.#unknown.delete(chatId);
  }

  /** What is held of a followed chat, waiting for something before it. */
  stuckBy(chatId: ChatId): "messages" | "changes" | undefined {
    const chat = this.#followed.get(chatId);
    if (!chat) return undefined;
    if (chat.messages.size > 0) return "messages";
    return chat.changes.size > 0 ? "changes" : undefined;
  }

  /** Chats that are not followed and of which messages are held. */
  get unknown(): ChatId[] {
    return [...this.#unknown.keys()];
  }

  /** The session ended: what is held comes again in the next one. */
  dropHeld(): void {
    this.#unknown.clear();
    for (const chat of this.#followed.values()) {
      chat.messages.clear();
      chat.changes.clear();
    }
  }

  reset(): void {
    this.#followed.clear();
    this.#unknown.clear();
  }

  #begin(chatId: ChatId, seq: Seq, rev: Rev): Followed {
    const chat: Followed = { base: seq, seq, rev, messages: new HoldBack(), changes: new HoldBack() };
    this.#followed.set(chatId, chat);
    return chat;
  }
}

function takeMessage(chat: Followed, frame: ChatFrame & { type: "message" }): Arrival {
  if (frame.d.seq <= chat.seq) return { apply: [] };
  chat.messages.put(frame.d.seq, frame);
  return release(chat);
}

function takeChange(chat: Followed, frame: ChatFrame & { type: "message.updated" | "message.deleted" }): Arrival {
  if (frame.d.rev <= chat.rev) return { apply: [] };
  chat.changes.put(frame.d.rev, frame);
  return release(chat);
}

/** Lets go what is in order now. Messages first: a change may be of one of them. */
function release(chat: Followed): Arrival {
  const messages = chat.messages.release(chat.seq);
  const changes = chat.changes.release(chat.rev);
  chat.seq += messages.length;
  chat.rev += changes.length;
  const behind = chat.messages.size > 0 || chat.changes.size > 0;
  return { apply: [...messages, ...changes], ...(behind && { missing: "gap" as const }) };
}
