/** One user of the page: a client, and the inbox that its events fill. */

import {
  type Chat,
  ChatClient,
  type ChatId,
  type ConnectionState,
  type Found,
  type Message,
  type MessageReceipts,
  type Seq,
  type UserId,
} from "@chatcluster/client";
import type { Conversation } from "./model/conversation.ts";
import { Inbox } from "./model/inbox.ts";
import { isMissing, reason } from "./model/words.ts";

const PAGE = 40;
/** Chats whose newest page is read at the start; the others when they are opened. */
const EAGER_CHATS = 20;
/** Pages that are read to reach a message that was searched for. */
const MAX_JUMP_PAGES = 25;

export class Account {
  readonly client: ChatClient;
  readonly inbox: Inbox;
  open: Conversation | undefined;
  /** Something for the user to know; the last one. */
  notice = "";
  readonly #changed: () => void;
  readonly #arrived: (message: Message, conversation: Conversation) => void;
  readonly #loading = new Map<ChatId, Promise<Conversation>>();
  #isFresh = true;

  constructor(
    user: UserId,
    token: () => Promise<string>,
    changed: () => void,
    arrived: (message: Message, conversation: Conversation) => void,
  ) {
    this.inbox = new Inbox(user);
    this.#changed = changed;
    this.#arrived = arrived;
    this.client = new ChatClient({ url: location.origin, token });
    this.#listen();
  }

  get user(): UserId {
    return this.inbox.me;
  }

  get state(): ConnectionState {
    return this.client.state;
  }

  async select(chatId: ChatId): Promise<Conversation> {
    const conversation = this.inbox.get(chatId) ?? (await this.#load(chatId));
    this.open = conversation;
    this.#watch();
    this.#changed();
    if (!conversation.isLoaded) await this.#readNewest(conversation);
    if (conversation.isGroup) await this.#readMembers(conversation);
    return conversation;
  }

  deselect(): void {
    this.open = undefined;
    this.#watch();
    this.#changed();
  }

  async openDirect(user: UserId): Promise<void> {
    await this.#adopt(await this.client.rest.openDirect(user));
  }

  async createGroup(name: string, members: UserId[]): Promise<void> {
    await this.#adopt(await this.client.rest.createGroup(name, members));
  }

  send(conversation: Conversation, content: string): void {
    const { chat } = conversation;
    const sent = this.client.send({ chat_id: chat.chat_id }, { content });
    conversation.outgoing.push({ id: sent.message_id, content, state: "sending" });
    this.#changed();
  }

  discard(conversation: Conversation, id: string): void {
    const at = conversation.outgoing.findIndex((outgoing) => outgoing.id === id);
    if (at !== -1) conversation.outgoing.splice(at, 1);
    this.#changed();
  }

  async edit(message: Message, content: string): Promise<void> {
    await this.#attempt("The edit failed", () => this.client.edit(message.chat_id, message.seq, content));
  }

  async delete(message: Message): Promise<void> {
    await this.#attempt("The message could not be deleted", () => this.client.delete(message.chat_id, message.seq));
  }

  read(conversation: Conversation): void {
    const seq = conversation.chat.head_seq;
    if (!conversation.isLoaded || conversation.isLeft || !conversation.read(seq)) return;
    this.client.read(conversation.id, seq);
    this.#changed();
  }

  async readOlder(conversation: Conversation): Promise<void> {
    const oldest = conversation.messages[0];
    if (!oldest || !conversation.hasOlder) return;
    const page = await this.client.history(conversation.id, { before: oldest.seq, limit: PAGE });
    for (const message of page.items) conversation.add(message);
    conversation.hasOlder = page.has_more;
    this.#changed();
  }

  /** Opens the chat of a message and reads back to it. */
  async jump(chatId: ChatId, seq: Seq): Promise<void> {
    const conversation = await this.select(chatId);
    for (let page = 0; page < MAX_JUMP_PAGES && conversation.hasOlder; page += 1) {
      if ((conversation.messages[0]?.seq ?? seq) <= seq) break;
      await this.readOlder(conversation);
    }
  }

  async search(q: string): Promise<Found[]> {
    return (await this.client.rest.search({ q, limit: 20 })).items;
  }

  receipts(message: Message): Promise<MessageReceipts> {
    return this.client.rest.receipts(message.chat_id, message.seq, { limit: 200 });
  }

  #listen(): void {
    const { client, inbox } = this;
    client.on("state", ({ status }) => {
      // Without a connection nobody tells who is there.
      if (status === "waiting" || status === "idle" || status === "stopped") inbox.presence.clear();
      this.#changed();
    });
    client.on("synced", () => {
      this.notice = "";
      if (this.#isFresh) void this.#readChats();
      else this.#watch();
    });
    client.on("message", (message) => this.#take(message));
    for (const type of ["message.updated", "message.deleted"] as const) {
      client.on(type, (change) => this.#touch(change.chat_id, (conversation) => conversation.change(change)));
    }
    client.on("receipt", (receipt) => this.#touch(receipt.chat_id, (conversation) => conversation.receipt(receipt)));
    client.on("receipt.summary", (summary) =>
      this.#touch(summary.chat_id, (conversation) => conversation.summaries.set(summary.seq, summary)),
    );
    client.on("typing", ({ chat_id, user, active }) =>
      this.#touch(chat_id, ({ typing }) => (active ? typing.add(user) : typing.delete(user))),
    );
    client.on("presence", ({ user, ...presence }) => {
      inbox.presence.set(user, presence);
      this.#changed();
    });
    client.on("acknowledged", ({ id, chat_id }) => this.#outgoing(chat_id, id, "sent"));
    client.on("failed", ({ id, write, error }) => {
      if ("chat_id" in write.d) this.#outgoing(write.d.chat_id, id, "failed", error.message);
    });
    client.on("message.rejected", ({ chat_id, message_id, message }) => {
      if (message_id !== undefined) this.#outgoing(chat_id, message_id, "failed", message);
      else this.#tell(`A change was refused: ${message}`);
    });
    client.on("chat", ({ chat, change }) => {
      const known = inbox.get(chat.chat_id);
      const isOut = change.kind === "member_removed" || change.kind === "member_left";
      if (isOut && (change.users ?? [change.actor]).includes(this.user)) {
        known?.update({ ...chat, left_seq: change.seq });
      } else if (known) {
        known.update(chat);
        if (known === this.open) void this.#readMembers(known);
      } else void this.#load(chat.chat_id).catch(() => {});
      this.#changed();
    });
    client.on("reload", ({ chat_id }) =>
      this.#touch(chat_id, (conversation) => {
        conversation.drop();
        void this.#readNewest(conversation);
      }),
    );
    client.on("gone", ({ chat_id }) =>
      this.#touch(chat_id, ({ chat }) => {
        chat.left_seq ??= chat.head_seq;
      }),
    );
    client.on("unlisted", (chats) => {
      if (this.#isFresh) return;
      for (const { chat_id } of chats) void this.#load(chat_id, true).catch(() => {});
    });
    client.on("reset", () => {
      inbox.clear();
      this.open = undefined;
      this.#isFresh = true;
      this.#changed();
    });
    client.on("warning", ({ message, fault }) => {
      // What a server does not have is left out without a word.
      if (fault && fault.code !== "not_enabled") this.#tell(message);
    });
  }

  #take(message: Message): void {
    const isKnown = this.inbox.get(message.chat_id) !== undefined;
    const conversation = this.inbox.of(message);
    if (conversation.add(message)) this.#arrived(message, conversation);
    if (!isKnown) void this.#load(message.chat_id, true).catch(() => {});
    this.#changed();
  }

  #touch(chatId: ChatId, change: (conversation: Conversation) => void): void {
    const conversation = this.inbox.get(chatId);
    if (!conversation) return;
    change(conversation);
    this.#changed();
  }

  #outgoing(chatId: ChatId, id: string, state: "sent" | "failed", why?: string): void {
    this.#touch(chatId, ({ outgoing }) => {
      const found = outgoing.find((mine) => mine.id === id);
      if (found) Object.assign(found, { state, ...(why !== undefined && { why }) });
    });
  }

  /** What a fresh device does: reads the list, and the newest page of those on top. */
  async #readChats(): Promise<void> {
    try {
      let cursor: string | undefined;
      do {
        const page = await this.client.rest.chats({ limit: 100, ...(cursor !== undefined && { cursor }) });
        for (const chat of page.items) this.inbox.put(chat);
        cursor = page.next_cursor;
      } while (cursor !== undefined);
      this.#isFresh = false;
    } catch (error) {
      if (!isMissing(error)) this.#tell(`The chats could not be read: ${reason(error)}`);
    }
    this.#watch();
    this.#changed();
    for (const conversation of this.inbox.conversations.slice(0, EAGER_CHATS)) await this.#readNewest(conversation);
  }

  async #readNewest(conversation: Conversation): Promise<void> {
    try {
      const page = await this.client.history(conversation.id, { limit: PAGE });
      for (const message of page.items) conversation.add(message);
      conversation.hasOlder = page.has_more;
      conversation.isLoaded = true;
    } catch (error) {
      // Without history the page shows what comes from now on.
      if (isMissing(error)) conversation.hasOlder = false;
      else this.#tell(`The messages could not be read: ${reason(error)}`);
    }
    this.#changed();
  }

  async #readMembers(conversation: Conversation): Promise<void> {
    if (!conversation.isGroup || conversation.isLeft) return;
    try {
      const { members, ...chat } = await this.client.rest.chat(conversation.id);
      conversation.members = members;
      conversation.update(chat);
      this.#watch();
      this.#changed();
    } catch (error) {
      if (!isMissing(error)) this.#tell(`The members could not be read: ${reason(error)}`);
    }
  }

  /** Reads a chat; askers at the same time share one call. */
  #load(chatId: ChatId, withMessages = false): Promise<Conversation> {
    const running = this.#loading.get(chatId);
    if (running) return running;
    const load = async (): Promise<Conversation> => {
      const { members, ...chat } = await this.client.rest.chat(chatId);
      const conversation = this.inbox.put(chat);
      conversation.members = members;
      this.#watch();
      if (withMessages) await this.#readNewest(conversation);
      this.#changed();
      return conversation;
    };
    const loading = load().finally(() => this.#loading.delete(chatId));
    this.#loading.set(chatId, loading);
    return loading;
  }

  async #adopt(chat: Chat): Promise<void> {
    this.inbox.put(chat);
    await this.select(chat.chat_id);
  }

  #watch(): void {
    this.client.watch({ users: this.inbox.watched(this.open?.id), chats: this.open ? [this.open.id] : [] });
  }

  async #attempt(failed: string, act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#tell(`${failed}: ${reason(error)}`);
    }
  }

  #tell(notice: string): void {
    this.notice = notice;
    this.#changed();
  }
}
