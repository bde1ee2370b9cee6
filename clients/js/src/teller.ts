/** What goes out and may be said again or late: receipts, subscriptions, typing. */

import { Alarm } from "./alarm.ts";
import { retryAfter } from "./connection/backoff.ts";
import type { Session } from "./connection/session.ts";
import { Receipts } from "./core/receipts.ts";
import { OthersTyping, OwnTyping } from "./core/typing.ts";
import { Watch, type Watched } from "./core/watched.ts";
import type { Environment } from "./environment.ts";
import type { ClientEvents, Emitter } from "./events.ts";
import { ChatError } from "./fault.ts";
import type { Pushes, ReceiptRequest } from "./protocol/frames.ts";
import type { ChatId } from "./protocol/model.ts";

export class Teller {
  readonly receipts = new Receipts();
  readonly #environment: Environment;
  readonly #events: Emitter<ClientEvents>;
  readonly #watch = new Watch();
  readonly #ownTyping = new OwnTyping();
  readonly #othersTyping = new OthersTyping();
  readonly #receiptAlarm: Alarm;
  readonly #typingAlarm: Alarm;
  #session: Session | undefined;
  #isSynced = false;
  /** The server has no receipts; a later session may be of one that has. */
  #isRefused = false;

  constructor(environment: Environment, events: Emitter<ClientEvents>) {
    this.#environment = environment;
    this.#events = events;
    this.#receiptAlarm = new Alarm(environment, () => this.tellReceipts());
    this.#typingAlarm = new Alarm(environment, () => this.#expireTyping());
  }

  live(session: Session): void {
    this.lost();
    this.#session = session;
    this.#subscribe();
  }

  synced(): void {
    this.#isSynced = true;
    this.tellReceipts();
  }

  lost(): void {
    this.#session = undefined;
    this.#isSynced = false;
    this.#isRefused = false;
    this.receipts.lost();
    this.#watch.lost();
    this.#ownTyping.lost();
    this.#receiptAlarm.set(undefined);
  }

  watch(watched: Watched): void {
    this.#watch.want(watched);
    this.#subscribe();
  }

  typing(chatId: ChatId, active: boolean): void {
    if (!this.#session) return;
    if (this.#ownTyping.tell(chatId, active, this.#environment.monotonic())) {
      this.#session.notify("typing", { chat_id: chatId, active });
    }
  }

  takeTyping({ chat_id, user, active }: Pushes["typing"]): void {
    this.#othersTyping.take({ chat_id, user }, active, this.#environment.monotonic());
    this.#typingAlarm.set(this.#othersTyping.nextAt());
    this.#events.emit("typing", { chat_id, user, active });
  }

  /** Tells what is due, and comes back for the rest. */
  tellReceipts(): void {
    const session = this.#session;
    // Before the sync is complete the cursors move with every frame of it.
    if (!session || !this.#isSynced || this.#isRefused) return;
    for (const receipt of this.receipts.take(this.#environment.monotonic())) this.#tell(session, receipt);
    this.#receiptAlarm.set(this.receipts.nextAt(this.#environment.monotonic()));
  }

  #tell(session: Session, receipt: ReceiptRequest): void {
    session.request("receipt", receipt).then(
      () => this.receipts.confirmed(receipt),
      (error: unknown) => {
        if (session !== this.#session || !(error instanceof ChatError)) return;
        if (error.code === "not_enabled") this.#isRefused = true;
        // Another refusal for good leaves nothing to say about this chat.
        if (!error.temporary) return;
        const wait = retryAfter(1, this.#environment.random(), error.retryAfterMs);
        this.receipts.postpone(receipt.chat_id, this.#environment.monotonic() + wait);
        this.tellReceipts();
      },
    );
  }

  #subscribe(): void {
    const session = this.#session;
    if (!session) return;
    const { subscribe, unsubscribe } = this.#watch.take();
    // First out, then in: there is a limit to how many.
    if (unsubscribe) session.notify("presence.unsubscribe", unsubscribe);
    if (!subscribe) return;
    session.request("presence.subscribe", subscribe).then(
      ({ presence }) => {
        if (session !== this.#session) return;
        for (const [user, state] of Object.entries(presence ?? {})) this.#events.emit("presence", { user, ...state });
      },
      (error: unknown) => {
        if (session !== this.#session || !(error instanceof ChatError)) return;
        this.#events.emit("warning", { message: `presence is not told: ${error.message}` });
      },
    );
  }

  #expireTyping(): void {
    for (const typist of this.#othersTyping.expired(this.#environment.monotonic())) {
      this.#events.emit("typing", { ...typist, active: false });
    }
    this.#typingAlarm.set(this.#othersTyping.nextAt());
  }
}
