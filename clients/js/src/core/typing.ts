/** Typing: how often to tell of one's own, and how long to believe others'. Pure. */

import type { ChatId, UserId } from "../protocol/model.ts";

const REPEAT_MS = 4_000;
const FORGET_MS = 6_000;

export class OwnTyping {
  readonly #toldAt = new Map<ChatId, number>();

  /** Returns whether this is to be told: the beginning, a repeat every 4 s, and the end. */
  tell(chatId: ChatId, active: boolean, now: number): boolean {
    const toldAt = this.#toldAt.get(chatId);
    if (!active) return this.#toldAt.delete(chatId);
    if (toldAt !== undefined && now - toldAt < REPEAT_MS) return false;
    this.#toldAt.set(chatId, now);
    return true;
  }

  lost(): void {
    this.#toldAt.clear();
  }
}

export interface Typist {
  chat_id: ChatId;
  user: UserId;
}

export class OthersTyping {
  readonly #until = new Map<string, Typist & { at: number }>();

  take(typist: Typist, active: boolean, now: number): void {
    const key = `${typist.chat_id} ${typist.user}`;
    if (active) this.#until.set(key, { ...typist, at: now + FORGET_MS });
    else this.#until.delete(key);
  }

  /** Those who stopped without a word. */
  expired(now: number): Typist[] {
    const expired: Typist[] = [];
    for (const [key, { at, chat_id, user }] of this.#until) {
      if (at > now) continue;
      this.#until.delete(key);
      expired.push({ chat_id, user });
    }
    return expired;
  }

  nextAt(): number | undefined {
    return this.#until.size === 0 ? undefined : Math.min(...[...this.#until.values()].map((typist) => typist.at));
  }
}
