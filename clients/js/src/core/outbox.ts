/**
 * What this client asked to be written and does not know to be written: sends until their echo or rejection, edits and
 * deletes until their `ack`. Each goes again with the same id after every sync and on temporary errors, in the order in
 * which it was made within its chat. Pure.
 */

import type { DeleteRequest, EditRequest, SendRequest } from "../protocol/frames.ts";
import type { ChatId, MessageId, OpId } from "../protocol/model.ts";

export type Write =
  | { type: "send"; d: SendRequest }
  | { type: "edit"; d: EditRequest }
  | { type: "delete"; d: DeleteRequest };

/** Unanswered at a time; the server reads no further at 64, and others need room too. */
const WINDOW = 32;

interface Entry {
  write: Write;
  id: MessageId | OpId;
  lane: string;
  state: "waiting" | "asked" | "acknowledged";
  attempts: number;
}

export function idOf(write: Write): MessageId | OpId {
  return write.type === "send" ? write.d.message_id : write.d.op_id;
}

/** Writes of one lane keep their order. */
function laneOf({ d }: Write): string {
  return "chat_id" in d ? d.chat_id : `to:${d.to}`;
}

export class Outbox {
  /** In the order in which they were made. */
  readonly #entries = new Map<string, Entry>();
  /** Until when a lane waits after a temporary error. */
  readonly #pausedUntil = new Map<string, number>();

  constructor(saved: Write[] = []) {
    for (const write of saved) this.add(write);
  }

  add(write: Write): void {
    const id = idOf(write);
    if (this.#entries.has(id)) return;
    this.#entries.set(id, { write, id, lane: laneOf(write), state: "waiting", attempts: 0 });
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  /** What to keep over a restart of the app. */
  save(): Write[] {
    return [...this.#entries.values()].map((entry) => entry.write);
  }

  /** What is to be asked now; it counts as asked from here on. */
  take(now: number): Write[] {
    let unanswered = 0;
    for (const entry of this.#entries.values()) if (entry.state === "asked") unanswered += 1;
    const taken: Write[] = [];
    for (const entry of this.#entries.values()) {
      if (unanswered >= WINDOW) break;
      if (entry.state !== "waiting" || (this.#pausedUntil.get(entry.lane) ?? 0) > now) continue;
      entry.state = "asked";
      entry.attempts += 1;
      unanswered += 1;
      taken.push(entry.write);
    }
    return taken;
  }

  /** When a paused lane goes on; `undefined` when none waits. */
  nextAt(): number | undefined {
    const times = [...this.#entries.values()]
      .filter((entry) => entry.state === "waiting")
      .map((entry) => this.#pausedUntil.get(entry.lane))
      .filter((at) => at !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  attempts(id: string): number {
    return this.#entries.get(id)?.attempts ?? 0;
  }

  acknowledged(id: string): void {
    const entry = this.#entries.get(id);
    if (entry?.write.type === "send") entry.state = "acknowledged";
    else this.#entries.delete(id);
  }

  /** A temporary error: this one and those after it in its lane wait. */
  postpone(id: string, until: number): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    entry.state = "waiting";
    this.#pausedUntil.set(entry.lane, Math.max(until, this.#pausedUntil.get(entry.lane) ?? 0));
  }

  /** Its echo or rejection came, or it was refused for good. Returns whether it was there. */
  settle(id: string): boolean {
    return this.#entries.delete(id);
  }

  /** A sync is complete and this is left: what was only acknowledged, or never answered, goes again. */
  resend(): void {
    this.#pausedUntil.clear();
    for (const entry of this.#entries.values()) entry.state = "waiting";
  }

  /** Drops what goes to a chat, and returns the ids. */
  settleChat(chatId: ChatId): string[] {
    const ids = [...this.#entries.values()].filter((entry) => entry.lane === chatId).map((entry) => entry.id);
    for (const id of ids) this.#entries.delete(id);
    return ids;
  }
}
