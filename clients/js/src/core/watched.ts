/** Whose presence and which chats' typing the app wants, against what this session has subscribed to. Pure. */

import type { SubscribeRequest } from "../protocol/frames.ts";
import type { ChatId, UserId } from "../protocol/model.ts";

export interface Watched {
  users: Iterable<UserId>;
  chats: Iterable<ChatId>;
}

/** The frames that lead from one set to the other. */
export interface Difference {
  subscribe?: SubscribeRequest;
  unsubscribe?: SubscribeRequest;
}

export class Watch {
  #wanted = { users: new Set<UserId>(), chats: new Set<ChatId>() };
  #has = { users: new Set<UserId>(), chats: new Set<ChatId>() };

  want({ users, chats }: Watched): void {
    this.#wanted = { users: new Set(users), chats: new Set(chats) };
  }

  /** Subscriptions are gone with the session. */
  lost(): void {
    this.#has = { users: new Set(), chats: new Set() };
  }

  /** What to ask for now; it counts as done from here on. */
  take(): Difference {
    const wanted = this.#wanted;
    const has = this.#has;
    this.#has = { users: new Set(wanted.users), chats: new Set(wanted.chats) };
    const subscribe = request(minus(wanted.users, has.users), minus(wanted.chats, has.chats));
    const unsubscribe = request(minus(has.users, wanted.users), minus(has.chats, wanted.chats));
    return { ...(subscribe && { subscribe }), ...(unsubscribe && { unsubscribe }) };
  }
}

function minus(all: Set<string>, without: Set<string>): string[] {
  return [...all].filter((item) => !without.has(item));
}

function request(users: UserId[], chats: ChatId[]): SubscribeRequest | undefined {
  if (users.length + chats.length === 0) return undefined;
  return { ...(users.length > 0 && { users }), ...(chats.length > 0 && { chats }) };
}
