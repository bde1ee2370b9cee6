/** The REST calls of protocol v1, one method a call. */

import type { Draft } from "../protocol/frames.ts";
import type {
  Chat,
  ChatId,
  Member,
  Message,
  Meta,
  Page,
  Presence,
  Role,
  Seq,
  Time,
  UserId,
} from "../protocol/model.ts";
import type { Query, Transport } from "./transport.ts";

export interface PageOptions {
  cursor?: string;
  limit?: number;
}

/** Both ends are exclusive; without either the newest page. */
export type HistoryOptions = { limit?: number } & ({ before?: Seq; after?: never } | { after?: Seq; before?: never });

export interface History {
  /** Newest first, with `after` oldest first. */
  items: Message[];
  has_more: boolean;
  head_seq: Seq;
  head_rev: number;
}

export interface SearchOptions extends PageOptions {
  q: string;
  chat_id?: ChatId;
  sender?: UserId;
  from?: Time;
  to?: Time;
}

export interface Found {
  message: Message;
  /** Ranges in `content`, in UTF-16 units. */
  highlights: [start: number, end: number][];
}

export interface MessageReceipts extends Page<{ user: UserId; status: "SENT" | "DELIVERED" | "READ" }> {
  seq: Seq;
  delivered: number;
  read: number;
  of: number;
}

export interface Device {
  device: string;
  platform: "apns" | "fcm";
  updated_at: Time;
  invalid_at?: Time;
}

export interface Me {
  user: UserId;
  scope: string[];
  last_seen_visible: boolean;
}

export class Rest {
  readonly #http: Transport;
  readonly #newId: () => string;

  constructor(transport: Transport, newId: () => string) {
    this.#http = transport;
    this.#newId = newId;
  }

  createGroup(name: string, members: UserId[], chatId: ChatId = this.#newId()): Promise<Chat> {
    return this.#http.call("POST", "/v1/chats", { body: { type: "GROUP", name, members, chat_id: chatId } });
  }

  /** The DIRECT chat with a user; made if it is not there. */
  openDirect(user: UserId): Promise<Chat> {
    return this.#http.call("POST", "/v1/chats", { body: { type: "DIRECT", members: [user] } });
  }

  /** Newest first. */
  chats(options: PageOptions = {}): Promise<Page<Chat>> {
    return this.#http.call("GET", "/v1/chats", { query: { ...options } });
  }

  chat(chatId: ChatId): Promise<Chat & { members: Member[] }> {
    return this.#http.call("GET", chatPath(chatId));
  }

  rename(chatId: ChatId, name: string): Promise<Chat> {
    return this.#http.call("PATCH", chatPath(chatId), { body: { name }, idempotencyKey: this.#newId() });
  }

  /** Adds a member, or sets the role of one. */
  setMember(chatId: ChatId, user: UserId, role: Role = "MEMBER"): Promise<Member> {
    return this.#http.call("PUT", memberPath(chatId, user), { body: { role }, idempotencyKey: this.#newId() });
  }

  /** Puts a member out, or leaves where it is oneself. */
  removeMember(chatId: ChatId, user: UserId): Promise<void> {
    return this.#http.call("DELETE", memberPath(chatId, user), { idempotencyKey: this.#newId() });
  }

  /** No pushes until then; without a time for ever. */
  mute(chatId: ChatId, until?: Time): Promise<void> {
    return this.#http.call("PUT", `${chatPath(chatId)}/mute`, { body: until === undefined ? {} : { until } });
  }

  unmute(chatId: ChatId): Promise<void> {
    return this.#http.call("DELETE", `${chatPath(chatId)}/mute`);
  }

  messages(chatId: ChatId, options: HistoryOptions = {}): Promise<History> {
    return this.#http.call("GET", `${chatPath(chatId)}/messages`, { query: { ...options } });
  }

  message(chatId: ChatId, seq: Seq): Promise<Message> {
    return this.#http.call("GET", messagePath(chatId, seq));
  }

  /** Sends without a session; `Client.send` is the way with one. */
  post(chatId: ChatId, draft: Draft, messageId = this.#newId()): Promise<Message | { chat_id: ChatId }> {
    return this.#http.call("POST", `${chatPath(chatId)}/messages`, { body: { ...draft, message_id: messageId } });
  }

  edit(chatId: ChatId, seq: Seq, content: string, meta?: Meta): Promise<Message> {
    const body = { content, ...(meta && { meta }) };
    return this.#http.call("PATCH", messagePath(chatId, seq), { body, idempotencyKey: this.#newId() });
  }

  delete(chatId: ChatId, seq: Seq): Promise<void> {
    return this.#http.call("DELETE", messagePath(chatId, seq), { idempotencyKey: this.#newId() });
  }

  /** Who has an own message, member by member. */
  receipts(chatId: ChatId, seq: Seq, options: PageOptions = {}): Promise<MessageReceipts> {
    return this.#http.call("GET", `${messagePath(chatId, seq)}/receipts`, { query: { ...options } });
  }

  search(options: SearchOptions): Promise<Page<Found>> {
    return this.#http.call("GET", "/v1/search", { query: { ...options } satisfies Query });
  }

  presence(users: UserId[]): Promise<{ presence: Record<UserId, Presence> }> {
    return this.#http.call("GET", "/v1/presence", { query: { users: users.join(",") } });
  }

  me(): Promise<Me> {
    return this.#http.call("GET", "/v1/me");
  }

  setLastSeenVisible(isVisible: boolean): Promise<Me> {
    return this.#http.call("PATCH", "/v1/me", { body: { last_seen_visible: isVisible } });
  }

  devices(options: PageOptions = {}): Promise<Page<Device>> {
    return this.#http.call("GET", "/v1/devices", { query: { ...options } });
  }

  setDevice(device: string, platform: Device["platform"], pushToken: string): Promise<Device> {
    return this.#http.call("PUT", `/v1/devices/${encodeURIComponent(device)}`, {
      body: { platform, push_token: pushToken },
    });
  }

  removeDevice(device: string): Promise<void> {
    return this.#http.call("DELETE", `/v1/devices/${encodeURIComponent(device)}`);
  }

  blocks(options: PageOptions = {}): Promise<Page<{ user: UserId; at: Time }>> {
    return this.#http.call("GET", "/v1/blocks", { query: { ...options } });
  }

  block(user: UserId): Promise<void> {
    return this.#http.call("PUT", `/v1/blocks/${encodeURIComponent(user)}`);
  }

  unblock(user: UserId): Promise<void> {
    return this.#http.call("DELETE", `/v1/blocks/${encodeURIComponent(user)}`);
  }
}

function chatPath(chatId: ChatId): string {
  return `/v1/chats/${encodeURIComponent(chatId)}`;
}

function memberPath(chatId: ChatId, user: UserId): string {
  return `${chatPath(chatId)}/members/${encodeURIComponent(user)}`;
}

function messagePath(chatId: ChatId, seq: Seq): string {
  return `${chatPath(chatId)}/messages/${seq}`;
}
