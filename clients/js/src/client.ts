/** The client: one user's session that reconnects, catches up, and never shows a message twice. */

import { Connector } from "./connection/connector.ts";
import type { Session } from "./connection/session.ts";
import { type TokenProvider, TokenSource } from "./connection/token-source.ts";
import type { Write } from "./core/outbox.ts";
import type { ChatFrame } from "./core/positions.ts";
import type { Watched } from "./core/watched.ts";
import { type Environment, environment } from "./environment.ts";
import { type ClientEvents, type ConnectionState, Emitter } from "./events.ts";
import { ChatError } from "./fault.ts";
import type { Draft, Hello, MessageRejected, Push, Pushes, Target } from "./protocol/frames.ts";
import type { ChatId, MessageId, Meta, Seq, Time, UserId } from "./protocol/model.ts";
import { Reader, type SavedPositions } from "./reader.ts";
import { type History, type HistoryOptions, Rest } from "./rest/rest.ts";
import { Transport } from "./rest/transport.ts";
import { ServerClock } from "./server-clock.ts";
import { Teller } from "./teller.ts";
import { Uuid7 } from "./uuid7.ts";
import { Writer } from "./writer.ts";

/** What an app may keep over a restart, as JSON, beside its copy of the messages. */
export interface Saved extends SavedPositions {
  user?: UserId | undefined;
  epoch?: string | undefined;
  outbox: Write[];
}

export interface ClientOptions {
  /** Where the service is, as in `https://chat.example.com`. */
  url: string;
  token: TokenProvider;
  saved?: Saved;
  /** Replaces parts of the world, as `WebSocket` where the runtime has none. */
  environment?: Partial<Environment>;
}

/** A send that goes its way by itself. */
export interface Sent {
  message_id: MessageId;
  /** Resolves once it is durable; rejects with a `ChatError` when it is refused for good. */
  acknowledged: Promise<{ chat_id: ChatId }>;
}

export class ChatClient {
  readonly rest: Rest;
  readonly #environment: Environment;
  readonly #events = new Emitter<ClientEvents>();
  readonly #clock: ServerClock;
  readonly #tokens: TokenSource;
  readonly #ids: Uuid7;
  readonly #connector: Connector;
  readonly #reader: Reader;
  readonly #writer: Writer;
  readonly #teller: Teller;
  #state: ConnectionState = { status: "idle" };
  #user: UserId | undefined;
  #epoch: string | undefined;
  #isActive = true;

  constructor({ url, token, saved, environment: given }: ClientOptions) {
    const base = url.replace(/\/+$/, "");
    const world = environment(given);
    this.#environment = world;
    this.#user = saved?.user;
    this.#epoch = saved?.epoch;
    this.#clock = new ServerClock(world.now);
    this.#tokens = new TokenSource(token, this.#clock);
    this.#ids = new Uuid7(() => this.#clock.now());
    this.rest = new Rest(new Transport(world, base, this.#tokens), () => this.#ids.make());
    this.#writer = new Writer(world, this.#events, saved?.outbox);
    this.#teller = new Teller(world, this.#events);
    this.#reader = new Reader(
      {
        environment: world,
        clock: this.#clock,
        events: this.#events,
        history: (chatId, options) => this.rest.messages(chatId, options),
        applied: (frame) => this.#applied(frame),
        synced: () => this.#synced(),
      },
      saved,
    );
    this.#connector = new Connector(world, `${base.replace(/^http/, "ws")}/v1/ws`, this.#tokens, {
      live: (session, hello) => this.#live(session, hello),
      push: (push) => this.#push(push),
      lost: () => this.#lost(),
      connecting: () => this.#setState({ status: "connecting" }),
      waiting: (ms, why) => this.#setState({ status: "waiting", ms, why }),
      stopped: (why) => this.#setState({ status: "stopped", why }),
      odd: (what) => this.#events.emit("warning", { message: `an unusable frame: ${what}` }),
    });
  }

  /** The user that the token names, once a server said so. */
  get user(): UserId | undefined {
    return this.#user;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Listens until the returned function is called. */
  on<K extends keyof ClientEvents>(type: K, listener: (value: ClientEvents[K]) => void): () => void {
    return this.#events.on(type, listener);
  }

  /** Connects, and stays connected until `stop` or a close that says stop. */
  start(): void {
    this.#connector.start();
  }

  /** Signs off: the user goes offline at once. Writes that are left go on with the next `start`. */
  stop(): void {
    this.#connector.stop();
    this.#lost();
    this.#setState({ status: "idle" });
  }

  /** Tries now: after the network came back, or when the user asks. A live session is checked by a ping. */
  hurry(): void {
    this.#connector.hurry();
  }

  /** Tells whether the user is at the app; in the background pushes go to their devices. */
  setActive(isActive: boolean): void {
    if (this.#isActive === isActive) return;
    this.#isActive = isActive;
    const session = this.#connector.current;
    if (!session) return;
    session.active = isActive;
    session.check();
  }

  /** Sends, now or when there is a connection again. */
  send(target: Target, draft: Draft): Sent {
    const message_id = this.#ids.make();
    return { message_id, acknowledged: this.#writer.write({ type: "send", d: { ...target, ...draft, message_id } }) };
  }

  /** Replaces the content of an own message; resolves once durable. */
  async edit(chat_id: ChatId, seq: Seq, content: string, meta?: Meta): Promise<void> {
    const d = { chat_id, seq, content, op_id: this.#ids.make(), ...(meta && { meta }) };
    await this.#writer.write({ type: "edit", d });
  }

  /** Deletes an own message, or as an ADMIN any; resolves once durable. */
  async delete(chat_id: ChatId, seq: Seq): Promise<void> {
    await this.#writer.write({ type: "delete", d: { chat_id, seq, op_id: this.#ids.make() } });
  }

  /** The user has read up to here. */
  read(chatId: ChatId, seq: Seq): void {
    this.#teller.receipts.read(chatId, Math.min(seq, this.#reader.seq(chatId) ?? seq));
    this.#teller.tellReceipts();
  }

  /** The user is typing, or stopped; call it with every key if you like. */
  typing(chatId: ChatId, active: boolean): void {
    this.#teller.typing(chatId, active);
  }

  /** Says whose presence (≤ 500) and which chats' typing (≤ 20) to tell; replaces what was said before. */
  watch(watched: Watched): void {
    this.#teller.watch(watched);
  }

  /** Reads messages. The newest page of a chat also makes the client follow it from there. */
  async history(chatId: ChatId, options: HistoryOptions = {}): Promise<History> {
    const page = await this.rest.messages(chatId, options);
    const isNewest = options.before === undefined && options.after === undefined;
    // The page of a chat that one has left ends before its head: there is nothing to follow. An empty one is of a chat
    // without messages, or whose messages have all aged out: the next one comes after the head.
    if (isNewest && (page.items[0]?.seq ?? page.head_seq) === page.head_seq) {
      this.#reader.follow(chatId, page.head_seq, page.head_rev);
      if (page.head_seq > 0) this.#delivered(chatId, page.head_seq);
    }
    return page;
  }

  /** What to keep, as JSON, so that the next start goes on from here. */
  save(): Saved {
    return { user: this.#user, epoch: this.#epoch, ...this.#reader.save(), outbox: this.#writer.save() };
  }

  /** The server's time, in milliseconds. */
  now(): number {
    return this.#clock.now();
  }

  #live(session: Session, hello: Hello): void {
    this.#clock.observe(hello.server_time);
    this.#tokens.learn(hello.token_expires_at);
    session.active = this.#isActive;
    const isOther = this.#user !== undefined && this.#user !== hello.user;
    const isRestored = this.#epoch !== undefined && this.#epoch !== hello.epoch;
    this.#user = hello.user;
    this.#epoch = hello.epoch;
    this.#writer.lost();
    this.#teller.live(session);
    if (isOther || isRestored) {
      this.#reader.reset();
      this.#teller.receipts.reset();
      this.#events.emit("reset", { why: isOther ? "user" : "epoch" });
    }
    this.#events.emit("hello", hello);
    this.#setState({ status: "syncing" });
    this.#reader.live(session);
  }

  #lost(): void {
    this.#reader.lost();
    this.#writer.lost();
    this.#teller.lost();
  }

  #synced(): void {
    const session = this.#connector.current;
    if (!session) return;
    this.#setState({ status: "live" });
    this.#writer.synced(session);
    this.#teller.synced();
  }

  #push(push: Push): void {
    switch (push.type) {
      case "message":
        // Also ahead of a gap it proves that the send arrived.
        if (push.d.sender === this.#user) this.#writer.echoed(push.d.message_id, push.d.chat_id);
        this.#reader.take(push);
        break;
      case "message.updated":
      case "message.deleted":
        this.#reader.take(push);
        break;
      case "message.rejected":
        this.#rejected(push.d);
        break;
      case "receipt":
        if (push.d.user === this.#user) this.#teller.receipts.known(push.d.chat_id, push.d);
        this.#events.emit("receipt", push.d);
        break;
      case "receipt.summary":
        this.#events.emit("receipt.summary", push.d);
        break;
      case "presence":
        this.#events.emit("presence", push.d);
        break;
      case "typing":
        this.#teller.takeTyping(push.d);
        break;
      case "chat":
        this.#chat(push.d);
        break;
      case "reconnect":
        this.#connector.move(push.d.after_ms);
        break;
      case "token.expiring":
        void this.#renew(push.d.expires_at);
        break;
      case "error":
        this.#events.emit("warning", { message: push.d.message, fault: push.d });
        break;
      case "hello":
        break;
    }
  }

  #applied(frame: ChatFrame): void {
    if (frame.type !== "message") return;
    const { chat_id, seq, sender, message_id } = frame.d;
    if (sender === this.#user) this.#writer.echoed(message_id, chat_id);
    else this.#delivered(chat_id, seq);
  }

  #delivered(chatId: ChatId, seq: Seq): void {
    this.#teller.receipts.delivered(chatId, seq);
    this.#teller.tellReceipts();
  }

  #rejected(d: MessageRejected): void {
    const id = d.message_id ?? d.op_id;
    if (id !== undefined) this.#writer.rejected(id, new ChatError({ ...d, temporary: false }));
    this.#events.emit("message.rejected", d);
  }

  #chat({ chat, change }: Pushes["chat"]): void {
    const isExit = change.kind === "member_removed" || change.kind === "member_left";
    if (isExit && this.#user !== undefined && (change.users ?? [change.actor]).includes(this.#user)) {
      this.#reader.forget(chat.chat_id);
      this.#teller.receipts.forget(chat.chat_id);
    }
    this.#events.emit("chat", { chat, change });
  }

  /** Renews the token in mid-session; tries again until it has expired, when a close asks for a new one. */
  async #renew(expiresAt: Time): Promise<void> {
    const session = this.#connector.current;
    if (!session) return;
    try {
      const { expires_at } = await session.request("auth", { token: await this.#tokens.fresh() });
      this.#tokens.learn(expires_at);
    } catch (error) {
      if (session !== this.#connector.current) return;
      const reason = error instanceof Error ? error.message : String(error);
      this.#events.emit("warning", { message: `the token could not be renewed: ${reason}` });
      if (this.#clock.until(expiresAt) > RENEW_AGAIN_MS) {
        this.#environment.after(RENEW_AGAIN_MS, () => void this.#renew(expiresAt));
      }
    }
  }

  #setState(state: ConnectionState): void {
    this.#state = state;
    this.#events.emit("state", state);
  }
}

const RENEW_AGAIN_MS = 10_000;
