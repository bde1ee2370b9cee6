import type { Closed } from "./connection/session.ts";
import type { Write } from "./core/outbox.ts";
import type { ChatError } from "./fault.ts";
import type { Fault, Hello, Pushes, SyncDone } from "./protocol/frames.ts";
import type { ChatId } from "./protocol/model.ts";

export type ConnectionState =
  | { status: "idle" }
  | { status: "connecting" }
  /** Between two attempts. */
  | { status: "waiting"; ms: number; why: Closed }
  /** Connected, and reading what was missed. */
  | { status: "syncing" }
  | { status: "live" }
  /** No further attempt is made: the app must do something, then `start` again. */
  | { status: "stopped"; why: Closed };

/** What a client tells its app. Chat frames come in order, each once. */
export interface ClientEvents
  extends Pick<
    Pushes,
    | "message"
    | "message.updated"
    | "message.deleted"
    | "message.rejected"
    | "receipt"
    | "receipt.summary"
    | "presence"
    | "typing"
    | "chat"
  > {
  state: ConnectionState;
  hello: Hello;
  /** All that was missed has come. Not `recovered`: some chats had to be told as `reload`. */
  synced: { recovered: boolean };
  /** A write is durable. */
  acknowledged: { id: string; write: Write; chat_id: ChatId };
  /** A write was refused for good. */
  failed: { id: string; write: Write; error: ChatError };
  /** Drop the copy of this chat and read it by `history`. */
  reload: { chat_id: ChatId };
  /** No longer a member. */
  gone: { chat_id: ChatId };
  /** Chats with news of which this client has no copy: read them by `rest.chat` and `history`. */
  unlisted: SyncDone["unlisted"];
  /** The data is another than the positions were of: drop everything and begin as a fresh device. */
  reset: { why: "epoch" | "user" | "positions" };
  /** Something went wrong that no call can answer for. */
  warning: { message: string; fault?: Fault };
}

type Listener<T> = (value: T) => void;

/** Calls listeners in the order in which they came. One that throws stops neither the others nor the client. */
export class Emitter<Events> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>();

  /** Listens until the returned function is called. */
  on<K extends keyof Events>(type: K, listener: Listener<Events[K]>): () => void {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  emit<K extends keyof Events>(type: K, value: Events[K]): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        (listener as Listener<Events[K]>)(value);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
