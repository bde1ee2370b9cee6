/** What goes out and must not be lost: sends, edits and deletes, repeated with the same id until the server has them. */

import { Alarm } from "./alarm.ts";
import { retryAfter } from "./connection/backoff.ts";
import type { Session } from "./connection/session.ts";
import { idOf, Outbox, type Write } from "./core/outbox.ts";
import type { Environment } from "./environment.ts";
import type { ClientEvents, Emitter } from "./events.ts";
import { ChatError } from "./fault.ts";
import type { ChatId } from "./protocol/model.ts";

interface Waiter {
  done(value: { chat_id: ChatId }): void;
  fail(error: ChatError): void;
}

export class Writer {
  readonly #environment: Environment;
  readonly #events: Emitter<ClientEvents>;
  readonly #outbox: Outbox;
  readonly #alarm: Alarm;
  readonly #waiters = new Map<string, Waiter>();
  #session: Session | undefined;

  constructor(environment: Environment, events: Emitter<ClientEvents>, saved?: Write[]) {
    this.#environment = environment;
    this.#events = events;
    this.#outbox = new Outbox(saved);
    this.#alarm = new Alarm(environment, () => this.#flush());
  }

  save(): Write[] {
    return this.#outbox.save();
  }

  /** Writes as soon as it can; resolves once durable, rejects when refused for good. */
  write(write: Write): Promise<{ chat_id: ChatId }> {
    const durable = new Promise<{ chat_id: ChatId }>((done, fail) => this.#waiters.set(idOf(write), { done, fail }));
    // Who does not wait for it hears of it by the `failed` event.
    durable.catch(() => {});
    this.#outbox.add(write);
    this.#flush();
    return durable;
  }

  /** The sync of a session is complete: what is left goes again. */
  synced(session: Session): void {
    this.#session = session;
    this.#outbox.resend();
    this.#flush();
  }

  lost(): void {
    this.#session = undefined;
    this.#alarm.set(undefined);
  }

  /** An own message came back with its seq. */
  echoed(id: string, chatId: ChatId): void {
    if (!this.#outbox.settle(id)) return;
    this.#waiters.get(id)?.done({ chat_id: chatId });
    this.#waiters.delete(id);
  }

  /** An acknowledged write was refused in log order. */
  rejected(id: string, error: ChatError): void {
    this.#outbox.settle(id);
    this.#waiters.get(id)?.fail(error);
    this.#waiters.delete(id);
  }

  #flush(): void {
    const session = this.#session;
    if (!session) return;
    const now = this.#environment.monotonic();
    for (const write of this.#outbox.take(now)) this.#ask(session, write);
    this.#alarm.set(this.#outbox.nextAt());
  }

  #ask(session: Session, write: Write): void {
    const id = idOf(write);
    request(session, write).then(
      ({ chat_id }) => {
        this.#outbox.acknowledged(id);
        this.#waiters.get(id)?.done({ chat_id });
        this.#waiters.delete(id);
        this.#events.emit("acknowledged", { id, write, chat_id });
        this.#flush();
      },
      (error: unknown) => {
        // Lost with its session: it goes again after the next sync.
        if (session !== this.#session || !this.#outbox.has(id)) return;
        this.#failed(write, error instanceof ChatError ? error : ChatError.connectionLost());
        this.#flush();
      },
    );
  }

  #failed(write: Write, error: ChatError): void {
    const id = idOf(write);
    if (error.temporary) {
      const wait = retryAfter(this.#outbox.attempts(id), this.#environment.random(), error.retryAfterMs);
      this.#outbox.postpone(id, this.#environment.monotonic() + wait);
      return;
    }
    this.#outbox.settle(id);
    this.#waiters.get(id)?.fail(error);
    this.#waiters.delete(id);
    this.#events.emit("failed", { id, write, error });
  }
}

function request(session: Session, write: Write): Promise<{ chat_id: ChatId }> {
  switch (write.type) {
    case "send":
      return session.request("send", write.d);
    case "edit":
      return session.request("edit", write.d);
    case "delete":
      return session.request("delete", write.d);
  }
}
