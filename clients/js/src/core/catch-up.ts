/**
 * Decides which `sync` to send next: all chats after every (re)connect, in parts; then those with a gap or with more to
 * come. One at a time. Pure.
 */

import type { SyncDone, SyncRequest } from "../protocol/frames.ts";
import type { ChatId, Time } from "../protocol/model.ts";
import type { Positions } from "./positions.ts";

/** Chats a part: the contract allows 1 000, a frame of 64 KiB holds fewer once numbers are long. */
const PART = 500;
const LIMIT = 200;
/** Syncs that bring nothing of a chat before it is read another way. */
const MAX_STALLS = 2;

/** What came of a sync, beside the frames it sent. */
export interface Outcome {
  reload: ChatId[];
  gone: ChatId[];
  unlisted: SyncDone["unlisted"];
  /** Chats to read on from `GET …/messages`: no sync of this session will bring what is missing. */
  load: ChatId[];
  /** The sync that follows a connect is complete. */
  isComplete: boolean;
  recovered: boolean;
}

interface Asked {
  chats: ChatId[];
  /** Where each stood, to see whether the sync brings it forward. */
  before: Map<ChatId, string>;
  kind: "part" | "last part" | "some chats";
}

export class CatchUp {
  since: Time | undefined;
  readonly #positions: Positions;
  #parts: ChatId[][] = [];
  #asked: Asked | undefined;
  #recovered = true;
  readonly #wanted = new Set<ChatId>();
  readonly #suspected = new Set<ChatId>();
  readonly #stalls = new Map<ChatId, number>();

  constructor(positions: Positions, since?: Time) {
    this.#positions = positions;
    this.since = since;
  }

  /** A session begins: everything is named anew. */
  begin(): void {
    const chats = this.#positions.chats;
    this.#parts = [];
    for (let at = 0; at < chats.length; at += PART) this.#parts.push(chats.slice(at, at + PART));
    if (this.#parts.length === 0) this.#parts.push([]);
    this.#wanted.clear();
    this.#suspected.clear();
    this.#stalls.clear();
    this.#asked = undefined;
    this.#recovered = true;
  }

  /** There is more of a chat than this client has. */
  want(chatId: ChatId): void {
    this.#wanted.add(chatId);
  }

  /** A chat has a gap, which what is on its way may fill. */
  suspect(chatId: ChatId): void {
    this.#suspected.add(chatId);
  }

  forget(chatId: ChatId): void {
    this.#wanted.delete(chatId);
    this.#suspected.delete(chatId);
    this.#stalls.delete(chatId);
  }

  /** The request to send now; `undefined` while one is unanswered, or when nothing is missing. */
  next(): SyncRequest | undefined {
    if (this.#asked) return undefined;
    const part = this.#parts.shift();
    const chats = part ?? this.#due();
    if (!part && chats.length === 0) return undefined;
    for (const chatId of chats) {
      this.#wanted.delete(chatId);
      this.#suspected.delete(chatId);
    }
    const kind = !part ? "some chats" : this.#parts.length > 0 ? "part" : "last part";
    this.#asked = { chats, before: new Map(chats.map((chatId) => [chatId, this.#position(chatId)])), kind };
    return {
      have: this.#positions.have(chats),
      receipts: true,
      limit: LIMIT,
      ...(this.since !== undefined && { since: this.since }),
      // A later sync of some chats is not a whole: sent as a part, it does not ask for `unlisted`.
      ...(kind !== "last part" && { partial: true }),
    };
  }

  /** The request failed and may be repeated. */
  failed(): void {
    const asked = this.#asked;
    this.#asked = undefined;
    if (asked?.kind === "some chats") for (const chatId of asked.chats) this.want(chatId);
    else if (asked) this.#parts.unshift(asked.chats);
  }

  answered(done: SyncDone): Outcome {
    const asked = this.#asked;
    this.#asked = undefined;
    const dropped = [...done.reload, ...done.gone];
    for (const chatId of dropped) {
      this.#positions.forget(chatId);
      this.forget(chatId);
    }
    const { load, reload } = this.#judge(asked, new Set(done.more.map((more) => more.chat_id)));
    this.#recovered &&= done.reload.length + reload.length === 0;
    const isComplete = asked?.kind === "last part";
    if (isComplete) this.since = done.server_time;
    return {
      reload: [...done.reload, ...reload],
      gone: [...done.gone],
      unlisted: done.unlisted,
      load,
      isComplete,
      recovered: this.#recovered,
    };
  }

  #due(): ChatId[] {
    const gaps = [...this.#suspected].filter((chatId) => this.#positions.stuckBy(chatId));
    this.#suspected.clear();
    for (const chatId of gaps) this.#wanted.add(chatId);
    return [...this.#wanted].filter((chatId) => this.#positions.get(chatId)).slice(0, PART);
  }

  /** Sends the asked chats that are still behind on their way: another sync, history, or a reload. */
  #judge(asked: Asked | undefined, more: Set<ChatId>): { load: ChatId[]; reload: ChatId[] } {
    const load: ChatId[] = [];
    const reload: ChatId[] = [];
    for (const chatId of asked?.chats ?? []) {
      if (!this.#positions.get(chatId)) continue;
      const stuckBy = this.#positions.stuckBy(chatId);
      const isStalled = this.#countStall(chatId, asked?.before.get(chatId)) >= MAX_STALLS;
      this.#suspected.delete(chatId);
      if (more.has(chatId) && !isStalled) this.want(chatId);
      else if (more.has(chatId) || stuckBy === "messages") load.push(chatId);
      else if (stuckBy === "changes") {
        // Changes can be read by sync alone; if it does not bring them the copy cannot be trusted.
        this.#positions.forget(chatId);
        this.forget(chatId);
        reload.push(chatId);
      }
    }
    return { load, reload };
  }

  #countStall(chatId: ChatId, before: string | undefined): number {
    const stalls = before === this.#position(chatId) ? (this.#stalls.get(chatId) ?? 0) + 1 : 0;
    this.#stalls.set(chatId, stalls);
    return stalls;
  }

  #position(chatId: ChatId): string {
    const at = this.#positions.get(chatId);
    return at ? `${at.seq}/${at.rev}` : "";
  }
}
