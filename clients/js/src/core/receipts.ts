/**
 * Own cursors, told sparingly: at most one `receipt` a chat in 200 ms, and under the 20 a second that a session may
 * send. Cursors only rise, so a later one says all that an earlier one said. Pure.
 */

import type { ReceiptRequest } from "../protocol/frames.ts";
import type { ChatId, Seq } from "../protocol/model.ts";

const SPACING_MS = 200;
const BURST = 10;
const PER_SECOND = 15;

interface Cursors {
  delivered: Seq;
  read: Seq;
}

interface Chat {
  wanted: Cursors;
  /** On its way or done. */
  told: Cursors;
  /** Done. */
  confirmed: Cursors;
  notBefore: number;
}

const none = (): Cursors => ({ delivered: 0, read: 0 });

export class Receipts {
  readonly #chats = new Map<ChatId, Chat>();
  #tokens = BURST;
  #filledAt = 0;

  delivered(chatId: ChatId, seq: Seq): void {
    const { wanted } = this.#chat(chatId);
    wanted.delivered = Math.max(wanted.delivered, seq);
  }

  read(chatId: ChatId, seq: Seq): void {
    const { wanted } = this.#chat(chatId);
    wanted.read = Math.max(wanted.read, seq);
    wanted.delivered = Math.max(wanted.delivered, seq);
  }

  /** The server has these already, perhaps from another device. */
  known(chatId: ChatId, cursors: Cursors): void {
    const chat = this.#chat(chatId);
    for (const side of [chat.wanted, chat.told, chat.confirmed]) raise(side, cursors);
  }

  /** What is to be told now; it counts as told from here on. */
  take(now: number): ReceiptRequest[] {
    this.#fill(now);
    const due: ReceiptRequest[] = [];
    for (const [chatId, chat] of this.#chats) {
      if (this.#tokens < 1) break;
      if (!isBehind(chat) || chat.notBefore > now) continue;
      due.push({
        chat_id: chatId,
        ...(chat.wanted.delivered > chat.told.delivered && { delivered: chat.wanted.delivered }),
        ...(chat.wanted.read > chat.told.read && { read: chat.wanted.read }),
      });
      raise(chat.told, chat.wanted);
      chat.notBefore = now + SPACING_MS;
      this.#tokens -= 1;
    }
    return due;
  }

  /** When to call `take` next; `undefined` when there is nothing to tell. */
  nextAt(now: number): number | undefined {
    const times = [...this.#chats.values()].filter(isBehind).map((chat) => chat.notBefore);
    if (times.length === 0) return undefined;
    const tokenAt = this.#tokens < 1 ? this.#filledAt + 1000 / PER_SECOND : now;
    return Math.max(now, tokenAt, Math.min(...times));
  }

  confirmed({ chat_id: chatId, delivered = 0, read = 0 }: ReceiptRequest): void {
    raise(this.#chat(chatId).confirmed, { delivered: Math.max(delivered, read), read });
  }

  /** A temporary error: say it again, not before. */
  postpone(chatId: ChatId, until: number): void {
    const chat = this.#chat(chatId);
    chat.told = { ...chat.confirmed };
    chat.notBefore = Math.max(chat.notBefore, until);
  }

  /** The session ended: what was not confirmed may not have come. */
  lost(): void {
    for (const chat of this.#chats.values()) chat.told = { ...chat.confirmed };
  }

  forget(chatId: ChatId): void {
    this.#chats.delete(chatId);
  }

  reset(): void {
    this.#chats.clear();
  }

  #chat(chatId: ChatId): Chat {
    let chat = this.#chats.get(chatId);
    if (!chat) {
      chat = { wanted: none(), told: none(), confirmed: none(), notBefore: 0 };
      this.#chats.set(chatId, chat);
    }
    return chat;
  }

  #fill(now: number): void {
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#filledAt) * PER_SECOND) / 1000);
    this.#filledAt = now;
  }
}

function isBehind({ wanted, told }: Chat): boolean {
  return wanted.delivered > told.delivered || wanted.read > told.read;
}

function raise(side: Cursors, by: Cursors): void {
  side.delivered = Math.max(side.delivered, by.delivered);
  side.read = Math.max(side.read, by.read);
}
