/** A stand-in for the server while the page is made: `/v1/ws` and the REST calls that the page uses. A token is a name. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Change, Have, Message } from "@chatcluster/client";
import { type WebSocket, WebSocketServer } from "ws";
import { directId, FakeChat } from "./fake-chats.ts";

interface Session {
  user: string;
  socket: WebSocket;
  users: Set<string>;
  chats: Set<string>;
}

interface Frame {
  id?: number;
  type: string;
  d: Record<string, unknown>;
}

class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

export class FakeServer {
  readonly #chats = new Map<string, FakeChat>();
  readonly #sessions = new Set<Session>();
  readonly #http = createServer((request, response) => void this.#rest(request, response));
  readonly #sockets = new WebSocketServer({
    server: this.#http,
    path: "/v1/ws",
    handleProtocols: () => "chat.v1.json",
  });

  async start(): Promise<string> {
    this.#sockets.on("connection", (socket, request) => this.#connect(socket, request));
    await new Promise<void>((done) => this.#http.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  stop(): void {
    for (const { socket } of this.#sessions) socket.terminate();
    this.#http.close();
    this.#http.closeAllConnections();
  }

  #connect(socket: WebSocket, request: IncomingMessage): void {
    const offered = request.headers["sec-websocket-protocol"]?.split(/,\s*/) ?? [];
    const user = offered.find((item) => item.startsWith("bearer."))?.slice("bearer.".length) ?? "nobody";
    const session: Session = { user, socket, users: new Set(), chats: new Set() };
    const now = Date.now();
    push(session, "hello", {
      user,
      session: "s",
      server: "fake",
      epoch: "e1",
      heartbeat_ms: 20_000,
      server_time: new Date(now).toISOString(),
      token_expires_at: new Date(now + 3_600_000).toISOString(),
      max_frame_bytes: 65_536,
      max_content_bytes: 16_384,
    });
    this.#sessions.add(session);
    this.#presence(user);
    socket.on("message", (data) => this.#frame(session, JSON.parse(String(data)) as Frame));
    socket.on("close", () => {
      this.#sessions.delete(session);
      this.#presence(user);
    });
  }

  #frame(session: Session, frame: Frame): void {
    const reply = (type: string, d: object): void => {
      if (frame.id !== undefined) session.socket.send(JSON.stringify({ id: frame.id, type, d }));
    };
    try {
      reply(frame.type === "ping" ? "pong" : "ack", this.#answer(session, frame));
    } catch (error) {
      const code = error instanceof Refusal ? error.code : "internal";
      reply("error", { code, message: code, temporary: false });
    }
  }

  #answer(session: Session, { type, d }: Frame): object {
    const server_time = new Date().toISOString();
    switch (type) {
      case "sync":
        return { ...this.#sync(session, d["have"] as Record<string, Have>), server_time };
      case "send":
        return this.#send(session.user, d);
      case "edit":
      case "delete":
        return this.#change(session.user, type, d);
      case "receipt":
        return this.#receipt(session.user, d);
      case "typing":
        for (const other of this.#sessions) {
          if (other.user !== session.user && other.chats.has(String(d["chat_id"]))) {
            push(other, "typing", { chat_id: d["chat_id"], user: session.user, active: d["active"] });
          }
        }
        return {};
      case "presence.subscribe":
        return this.#subscribe(session, d);
      case "presence.unsubscribe":
        for (const user of (d["users"] ?? []) as string[]) session.users.delete(user);
        for (const chat of (d["chats"] ?? []) as string[]) session.chats.delete(chat);
        return {};
      default:
        return { server_time };
    }
  }

  #sync(session: Session, have: Record<string, Have>): object {
    for (const [chatId, position] of Object.entries(have)) {
      const chat = this.#chats.get(chatId);
      if (!chat) continue;
      const [seq, rev] = typeof position === "number" ? [position, chat.changes.length] : position;
      for (const message of chat.messages.slice(seq)) push(session, "message", message);
      for (const change of chat.changes.slice(rev)) push(session, change.type, change.d);
      this.#tellReceipts(chat);
    }
    return { recovered: true, more: [], reload: [], gone: [], unlisted: [] };
  }

  #send(user: string, d: Record<string, unknown>): object {
    const to = d["to"];
    const chat = typeof to === "string" ? this.#direct(user, to) : this.#chat(String(d["chat_id"]), user);
    if (chat.member(user).left_seq !== undefined) throw new Refusal(403, "forbidden");
    const id = String(d["message_id"]);
    if (!chat.messages.some((message) => message.sender === user && message.message_id === id)) {
      this.#publish(chat, chat.append(user, { content: String(d["content"]), message_id: id }));
    }
    return { chat_id: chat.id, message_id: id };
  }

  #change(user: string, type: "edit" | "delete", d: Record<string, unknown>): object {
    const chat = this.#chat(String(d["chat_id"]), user);
    const message = chat.messages[Number(d["seq"]) - 1];
    if (!message || (message.sender !== user && type === "edit")) throw new Refusal(403, "forbidden");
    const now = new Date().toISOString();
    const at = { chat_id: chat.id, seq: message.seq, rev: chat.changes.length + 1 };
    const change =
      type === "edit"
        ? { type: "message.updated" as const, d: { ...at, content: String(d["content"]), edited_at: now } }
        : { type: "message.deleted" as const, d: { ...at, deleted_at: now } };
    Object.assign(message, type === "edit" ? change.d : { ...change.d, content: "" });
    chat.changes.push(change);
    this.#tell(chat, change.type, change.d);
    return { chat_id: chat.id, seq: message.seq };
  }

  #receipt(user: string, d: Record<string, unknown>): object {
    const chat = this.#chat(String(d["chat_id"]), user);
    const me = chat.member(user);
    me.read = Math.max(me.read, Number(d["read"] ?? 0));
    me.delivered = Math.max(me.delivered, Number(d["delivered"] ?? 0), me.read);
    this.#tellReceipts(chat);
    return {};
  }

  #tellReceipts(chat: FakeChat): void {
    for (const session of this.#sessions) {
      if (!chat.members.has(session.user)) continue;
      if (chat.type === "GROUP") tellSummaries(session, chat);
      else tellCursors(session, chat);
    }
  }

  #subscribe(session: Session, d: Record<string, unknown>): object {
    const presence: Record<string, { status: string }> = {};
    for (const user of (d["users"] ?? []) as string[]) {
      session.users.add(user);
      presence[user] = { status: this.#isOnline(user) ? "online" : "offline" };
    }
    for (const chat of (d["chats"] ?? []) as string[]) session.chats.add(chat);
    return { presence };
  }

  #isOnline(user: string): boolean {
    return [...this.#sessions].some((session) => session.user === user);
  }

  #presence(user: string): void {
    const status = this.#isOnline(user) ? "online" : "offline";
    const last_seen_at = new Date().toISOString();
    for (const session of this.#sessions) {
      if (session.users.has(user)) push(session, "presence", { user, status, last_seen_at });
    }
  }

  #direct(user: string, peer: string): FakeChat {
    const id = directId(user, peer);
    const known = this.#chats.get(id);
    if (known) return known;
    const chat = new FakeChat(id, "DIRECT", user);
    for (const member of [user, peer]) chat.join(member, "MEMBER", 0);
    this.#chats.set(id, chat);
    this.#tell(chat, "chat", { chat: chat.info, change: { kind: "created", actor: user, seq: 0 } });
    return chat;
  }

  #group(user: string, id: string, name: string, members: string[]): FakeChat {
    const chat = new FakeChat(id, "GROUP", user, name);
    chat.join(user, "ADMIN", 0);
    for (const member of members) chat.join(member, "MEMBER", 0);
    this.#chats.set(id, chat);
    const change: Change = { kind: "created", actor: user, seq: 1, users: members, name };
    const message = chat.append(user, { content_type: "SYSTEM", system: change });
    this.#tell(chat, "chat", { chat: chat.info, change });
    this.#publish(chat, message);
    return chat;
  }

  #chat(id: string, user: string): FakeChat {
    const chat = this.#chats.get(id);
    if (!chat?.members.has(user)) throw new Refusal(404, "chat_not_found");
    return chat;
  }

  #publish(chat: FakeChat, message: Message): void {
    this.#tell(chat, "message", message);
  }

  #tell(chat: FakeChat, type: string, d: object): void {
    for (const session of this.#sessions) {
      if (chat.members.get(session.user)?.left_seq === undefined && chat.members.has(session.user))
        push(session, type, d);
    }
  }

  async #rest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = (status: number, body: object): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    };
    try {
      let text = "";
      for await (const chunk of request) text += String(chunk);
      const url = new URL(request.url ?? "/", "http://fake");
      const user = (request.headers.authorization ?? "").replace("Bearer ", "");
      const body = (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>;
      answer(200, this.#call(`${request.method} ${url.pathname}`, url.searchParams, user, body));
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal(404, "not_found");
      answer(refusal.status, { code: refusal.code, message: refusal.code, temporary: false });
    }
  }

  #call(call: string, query: URLSearchParams, user: string, body: Record<string, unknown>): object {
    if (call === "GET /v1/chats") {
      const mine = [...this.#chats.values()].filter((chat) => chat.members.has(user));
      return { items: mine.map((chat) => chat.as(user)) };
    }
    if (call === "POST /v1/chats") {
      const members = body["members"] as string[];
      if (body["type"] === "DIRECT") return this.#direct(user, String(members[0])).as(user);
      return this.#group(user, String(body["chat_id"]), String(body["name"]), members).as(user);
    }
    if (call === "GET /v1/search") return this.#search(user, query.get("q") ?? "");
    const [, id, rest] = /^GET \/v1\/chats\/([^/]+)(\/.*)?$/.exec(call) ?? [];
    if (id === undefined) throw new Refusal(404, "not_found");
    const chat = this.#chat(id, user);
    if (rest === undefined) return { ...chat.as(user), members: chat.present };
    if (rest === "/messages") return history(chat, query);
    const seq = /^\/messages\/(\d+)\/receipts$/.exec(rest)?.[1];
    const message = chat.messages[Number(seq) - 1];
    if (!message) throw new Refusal(404, "message_not_found");
    const items = chat.present
      .filter((member) => member.user !== message.sender)
      .map(({ user: who, read, delivered }) => ({
        user: who,
        status: read >= message.seq ? "READ" : delivered >= message.seq ? "DELIVERED" : "SENT",
      }));
    return { items, ...chat.summary(message) };
  }

  #search(user: string, q: string): object {
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    const items = [...this.#chats.values()]
      .filter((chat) => chat.members.has(user))
      .flatMap((chat) => chat.messages)
      .filter(({ content }) => words.every((word) => content.toLowerCase().includes(word)))
      .reverse()
      .map((message) => ({
        message,
        highlights: words.map((word) => {
          const start = message.content.toLowerCase().indexOf(word);
          return [start, start + word.length];
        }),
      }));
    return { items };
  }
}

function tellSummaries(session: Session, chat: FakeChat): void {
  for (const message of chat.messages.slice(-100)) {
    if (message.sender === session.user && !message.system) push(session, "receipt.summary", chat.summary(message));
  }
}

function tellCursors(session: Session, chat: FakeChat): void {
  for (const { user, delivered, read } of chat.present) {
    if (user !== session.user) push(session, "receipt", { chat_id: chat.id, user, delivered, read });
  }
}

function history(chat: FakeChat, query: URLSearchParams): object {
  const limit = Number(query.get("limit") ?? 50);
  const after = query.get("after");
  const heads = { head_seq: chat.messages.length, head_rev: chat.changes.length };
  if (after !== null) {
    const rest = chat.messages.slice(Number(after));
    return { items: rest.slice(0, limit), has_more: rest.length > limit, ...heads };
  }
  const older = chat.messages.slice(0, Number(query.get("before") ?? chat.messages.length + 1) - 1);
  return { items: older.slice(-limit).reverse(), has_more: older.length > limit, ...heads };
}

function push(session: Session, type: string, d: object): void {
  session.socket.send(JSON.stringify({ type, d }));
}
