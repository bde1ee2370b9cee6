/** All chats of one user, newest first. No network, no document. */

import type { Chat, ChatId, Message, Presence, UserId } from "@chatcluster/client";
import { Conversation } from "./conversation.ts";

export class Inbox {
  readonly presence = new Map<UserId, Presence>();
  readonly me: UserId;
  readonly #conversations = new Map<ChatId, Conversation>();

  constructor(me: UserId) {
    this.me = me;
  }

  get(chatId: ChatId): Conversation | undefined {
    return this.#conversations.get(chatId);
  }

  get conversations(): Conversation[] {
    return [...this.#conversations.values()].sort((a, b) => (a.chat.head_at < b.chat.head_at ? 1 : -1));
  }

  /** Takes a chat as the server has it now. */
  put(chat: Chat): Conversation {
    const known = this.#conversations.get(chat.chat_id);
    known?.update(chat);
    const conversation = known ?? new Conversation(chat, this.me);
    this.#conversations.set(chat.chat_id, conversation);
    return conversation;
  }

  /** The chat of a message, made up from it where the server has not described it yet. */
  of(message: Message): Conversation {
    return this.#conversations.get(message.chat_id) ?? this.put(sketch(message, this.me));
  }

  /** Those whose presence is of interest: the peers, and the members of the chat on screen. */
  watched(open: ChatId | undefined): UserId[] {
    const users = new Set<UserId>();
    for (const { chat } of this.#conversations.values()) if (chat.peer) users.add(chat.peer.user);
    for (const { user } of (open && this.get(open)?.members) || []) users.add(user);
    users.delete(this.me);
    return [...users].slice(0, 500);
  }

  clear(): void {
    this.#conversations.clear();
  }
}

/** Ids of version 5 are those of DIRECT chats. */
function isDirect(chatId: ChatId): boolean {
  return chatId[14] === "5";
}

function sketch(message: Message, me: UserId): Chat {
  const { chat_id, seq, sender, created_at } = message;
  const peer = isDirect(chat_id) && sender !== me ? { user: sender, delivered: 0, read: 0 } : undefined;
  return {
    chat_id,
    type: isDirect(chat_id) ? "DIRECT" : "GROUP",
    created_at,
    created_by: sender,
    member_count: 2,
    head_seq: seq,
    head_rev: 0,
    head_at: created_at,
    first_seq: 1,
    role: "MEMBER",
    join_seq: 0,
    delivered: 0,
    read: seq - 1,
    unread: 1,
    ...(peer && { peer }),
  };
}
