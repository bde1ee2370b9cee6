/** What comes in: applies chat frames in order, catches up after every connect, and fills gaps. */

import { retryAfter } from "./connection/backoff.ts";
import type { Session } from "./connection/session.ts";
import { CatchUp, type Outcome } from "./core/catch-up.ts";
import { type Arrival, type ChatFrame, Positions } from "./core/positions.ts";
import type { Environment } from "./environment.ts";
import type { ClientEvents, Emitter } from "./events.ts";
import { ChatError } from "./fault.ts";
import type { SyncDone } from "./protocol/frames.ts";
import type { ChatId, Rev, Seq, Time } from "./protocol/model.ts";
import type { History, HistoryOptions } from "./rest/rest.ts";
import type { ServerClock } from "./server-clock.ts";

const LOAD_LIMIT = 200;

export interface ReaderPorts {
  environment: Environment;
  clock: ServerClock;
  events: Emitter<ClientEvents>;
  history(chatId: ChatId, options: HistoryOptions): Promise<History>;
  /** A frame is applied; before the app hears of it. */
  applied(frame: ChatFrame): void;
  /** The sync after a connect is complete. */
  synced(): void;
}

export interface SavedPositions {
  since?: Time | undefined;
  positions: Record<ChatId, [Seq, Rev]>;
}

export class Reader {
  readonly #ports: ReaderPorts;
  readonly #positions: Positions;
  readonly #catchUp: CatchUp;
  readonly #loading = new Set<ChatId>();
  #session: Session | undefined;
  #isSynced = false;
  #failures = 0;
  /** Rises with every reset, so that what was asked before it is not applied after it. */
  #generation = 0;

  constructor(ports: ReaderPorts, saved?: SavedPositions) {
    this.#ports = ports;
    this.#positions = new Positions(saved?.positions);
    this.#catchUp = new CatchUp(this.#positions, saved?.since);
  }

  save(): SavedPositions {
    return { since: this.#catchUp.since, positions: this.#positions.save() };
  }

  seq(chatId: ChatId): Seq | undefined {
    return this.#positions.get(chatId)?.seq;
  }

  live(session: Session): void {
    this.#session = session;
    this.#isSynced = false;
    this.#failures = 0;
    this.#positions.dropHeld();
    this.#catchUp.begin();
    this.#sync();
  }

  lost(): void {
    this.#session = undefined;
    this.#isSynced = false;
  }

  reset(): void {
    this.#generation += 1;
    this.#positions.reset();
    this.#catchUp.since = undefined;
    this.#loading.clear();
  }

  take(frame: ChatFrame): void {
    this.#act(frame.d.chat_id, this.#positions.take(frame));
  }

  /** The app has read the newest page of a chat: it goes on from there. */
  follow(chatId: ChatId, seq: Seq, rev: Rev): void {
    this.#act(chatId, this.#positions.follow(chatId, seq, rev));
  }

  forget(chatId: ChatId): void {
    this.#positions.forget(chatId);
    this.#catchUp.forget(chatId);
  }

  #act(chatId: ChatId, arrival: Arrival): void {
    for (const frame of arrival.apply) this.#apply(frame);
    if (arrival.missing === "gap") this.#catchUp.suspect(chatId);
    if (arrival.missing === "more") this.#catchUp.want(chatId);
    // Before the first sync is complete its answer may still say where the chat begins, or fill the gap.
    if (!this.#isSynced) return;
    if (arrival.missing === "beginning") this.#load(chatId);
    else this.#sync();
  }

  #apply(frame: ChatFrame): void {
    const { events } = this.#ports;
    this.#ports.applied(frame);
    if (frame.type === "message") events.emit("message", frame.d);
    else if (frame.type === "message.updated") events.emit("message.updated", frame.d);
    else events.emit("message.deleted", frame.d);
  }

  #sync(): void {
    const session = this.#session;
    const request = session && this.#catchUp.next();
    if (!session || !request) return;
    session.request("sync", request).then(
      (done) => {
        if (session !== this.#session) return;
        this.#failures = 0;
        this.#answered(done);
        this.#sync();
      },
      (error: unknown) => {
        if (session === this.#session) this.#failed(session, error);
      },
    );
  }

  #failed(session: Session, error: unknown): void {
    const fault = error instanceof ChatError ? error : ChatError.connectionLost();
    this.#catchUp.failed();
    if (!fault.temporary) {
      this.#ports.events.emit("warning", { message: `sync was refused: ${fault.message}` });
      // Positions that the server does not understand are worth nothing; without any, waiting is all that is left.
      if (this.#positions.chats.length > 0) {
        this.reset();
        this.#ports.events.emit("reset", { why: "positions" });
        this.#catchUp.begin();
      }
    }
    this.#failures += 1;
    const { environment } = this.#ports;
    environment.after(retryAfter(this.#failures, environment.random(), fault.retryAfterMs), () => {
      if (session === this.#session) this.#sync();
    });
  }

  #answered(done: SyncDone): void {
    const { events, clock } = this.#ports;
    clock.observe(done.server_time);
    const outcome = this.#catchUp.answered(done);
    for (const chat_id of outcome.reload) events.emit("reload", { chat_id });
    for (const chat_id of outcome.gone) events.emit("gone", { chat_id });
    for (const chatId of outcome.load) this.#load(chatId);
    this.#unlisted(outcome);
    if (!outcome.isComplete) return;
    this.#isSynced = true;
    this.#ports.synced();
    for (const chatId of this.#positions.unknown) this.#load(chatId);
    events.emit("synced", { recovered: outcome.recovered });
  }

  #unlisted({ unlisted }: Outcome): void {
    const news = unlisted.filter(({ chat_id }) => this.#positions.get(chat_id) === undefined);
    for (const { chat_id, head_seq } of news) this.#positions.forgetHeld(chat_id, head_seq);
    if (news.length > 0) this.#ports.events.emit("unlisted", news);
  }

  /** Reads what no sync brings: the beginning of a chat that was not followed, or what this session will not repeat. */
  #load(chatId: ChatId): void {
    const after = this.#positions.loadAfter(chatId);
    if (after === undefined || this.#loading.has(chatId)) return;
    this.#loading.add(chatId);
    const generation = this.#generation;
    this.#ports.history(chatId, { after, limit: LOAD_LIMIT }).then(
      (page) => {
        if (generation !== this.#generation) return;
        this.#loading.delete(chatId);
        this.#act(chatId, this.#positions.loaded(chatId, after, page.items, page.has_more, page.head_rev));
      },
      (error: unknown) => {
        if (generation !== this.#generation) return;
        this.#loading.delete(chatId);
        this.#loadFailed(chatId, after, error);
      },
    );
  }

  #loadFailed(chatId: ChatId, after: Seq, error: unknown): void {
    const { environment, events } = this.#ports;
    const fault = error instanceof ChatError ? error : ChatError.connectionLost();
    if (fault.temporary) {
      environment.after(retryAfter(4, environment.random(), fault.retryAfterMs), () => this.#load(chatId));
    } else if (fault.code === "chat_not_found" || fault.code === "forbidden") {
      this.forget(chatId);
    } else {
      // A server without history: what has come is shown, and a later gap in revs asks for all of them.
      events.emit("warning", { message: `history of ${chatId} cannot be read: ${fault.message}` });
      if (this.#positions.get(chatId)) this.forget(chatId);
      else this.follow(chatId, after, 0);
    }
  }
}
