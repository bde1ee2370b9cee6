/** One chat as its owner sees it. No network, no document. */

import {
  amend,
  type Chat,
  type ChatId,
  type ChatInfo,
  type Member,
  type Message,
  type MessageDeleted,
  type MessageUpdated,
  type Receipt,
  type ReceiptSummary,
  type Seq,
  type UserId,
} from "@chatcluster/client";
import type { Receipts } from "./ticks.ts";

/** An own message without its seq yet. */
export interface Outgoing {
  id: string;
  content: string;
  state: "sending" | "sent" | "failed";
  why?: string;
}

export class Conversation {
  chat: Chat;
  members: Member[] = [];
  /** Older messages are there to be read. */
  hasOlder = true;
  /** The newest page has been read. */
  isLoaded = false;
  readonly outgoing: Outgoing[] = [];
  readonly typing = new Set<UserId>();
  readonly summaries = new Map<Seq, ReceiptSummary>();
  readonly #messages = new Map<Seq, Message>();
  readonly #me: UserId;

  constructor(chat: Chat, me: UserId) {
    this.chat = chat;
    this.#me = me;
    if (chat.last_message) this.add(chat.last_message);
  }

  get id(): ChatId {
    return this.chat.chat_id;
  }

  get isGroup(): boolean {
    return this.chat.type === "GROUP";
  }

  get receipts(): Receipts {
    return { peer: this.chat.peer, summaries: this.summaries };
  }

  get isLeft(): boolean {
    return this.chat.left_seq !== undefined;
  }

  get title(): string {
    return this.chat.name ?? this.chat.peer?.user ?? "Chat";
  }

  /** max(0, head − max(join, read)), as the contract has it. */
  get unread(): number {
    const { head_seq, join_seq, read, first_seq } = this.chat;
    return Math.max(0, head_seq - Math.max(join_seq, read, first_seq - 1));
  }

  /** Oldest first: the newest run without a gap, so that nothing seems to follow what it does not. */
  get messages(): Message[] {
    const seqs = [...this.#messages.keys()].sort((a, b) => b - a);
    const run: Message[] = [];
    for (const seq of seqs) {
      const message = this.#messages.get(seq);
      const last = run.at(-1);
      if (!message || (last && last.seq !== seq + 1)) break;
      run.push(message);
    }
    return run.reverse();
  }

  get last(): Message | undefined {
    return this.messages.at(-1);
  }

  get(seq: Seq): Message | undefined {
    return this.#messages.get(seq);
  }

  /** Takes the chat as the server has it now; cursors only rise. */
  update(chat: Partial<Chat> & ChatInfo): void {
    const { chat: mine } = this;
    this.chat = {
      ...mine,
      ...chat,
      head_seq: Math.max(mine.head_seq, chat.head_seq),
      read: Math.max(mine.read, chat.read ?? 0),
      delivered: Math.max(mine.delivered, chat.delivered ?? 0),
    };
    if (chat.last_message) this.add(chat.last_message);
  }

  /** Returns whether it is new. */
  add(message: Message): boolean {
    const known = this.#messages.get(message.seq);
    // A copy read earlier may come later than the change that overtook it.
    if (known && (known.rev ?? 0) >= (message.rev ?? 0)) return false;
    this.#messages.set(message.seq, message);
    if (message.sender === this.#me) this.#settle(message.message_id);
    this.typing.delete(message.sender);
    if (message.seq >= this.chat.head_seq) {
      this.chat = { ...this.chat, head_seq: message.seq, head_at: message.created_at };
    }
    if (message.sender === this.#me) this.chat = { ...this.chat, read: Math.max(this.chat.read, message.seq) };
    return !known;
  }

  #settle(id: string): void {
    const at = this.outgoing.findIndex((mine) => mine.id === id);
    if (at !== -1) this.outgoing.splice(at, 1);
  }

  change(change: MessageUpdated | MessageDeleted): void {
    const message = this.#messages.get(change.seq);
    if (message) this.#messages.set(change.seq, amend(message, change));
  }

  receipt({ user, delivered, read }: Receipt): void {
    const { chat } = this;
    if (user === this.#me) {
      this.chat = { ...chat, delivered: Math.max(chat.delivered, delivered), read: Math.max(chat.read, read) };
    } else if (chat.peer) {
      const peer = { user, delivered: Math.max(chat.peer.delivered, delivered), read: Math.max(chat.peer.read, read) };
      this.chat = { ...chat, peer };
    }
  }

  /** Returns whether the user had not read up to there. */
  read(seq: Seq): boolean {
    if (seq <= this.chat.read) return false;
    this.chat = { ...this.chat, read: seq };
    return true;
  }

  /** The copy cannot be continued. */
  drop(): void {
    this.#messages.clear();
    this.summaries.clear();
    this.hasOlder = true;
    this.isLoaded = false;
  }
}
