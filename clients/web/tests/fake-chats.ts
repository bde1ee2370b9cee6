/** The chats of the fake server: enough of protocol v1 for the page, in memory and without any durability. */

import { createHash, randomUUID } from "node:crypto";
import type { Chat, ChatInfo, Member, Message, ReceiptSummary, Role } from "@chatcluster/client";

export interface FakeMember extends Member {
  delivered: number;
  read: number;
  left_seq?: number;
}

export class FakeChat {
  readonly members = new Map<string, FakeMember>();
  readonly messages: Message[] = [];
  readonly changes: { type: "message.updated" | "message.deleted"; d: { seq: number; rev: number } }[] = [];
  readonly created_at = new Date().toISOString();
  readonly id: string;
  readonly type: "DIRECT" | "GROUP";
  readonly created_by: string;
  name: string | undefined;

  constructor(id: string, type: "DIRECT" | "GROUP", created_by: string, name?: string) {
    this.id = id;
    this.type = type;
    this.created_by = created_by;
    this.name = name;
  }

  get info(): ChatInfo {
    return {
      chat_id: this.id,
      type: this.type,
      ...(this.name !== undefined && { name: this.name }),
      created_at: this.created_at,
      created_by: this.created_by,
      member_count: this.present.length,
      head_seq: this.messages.length,
      head_rev: this.changes.length,
      head_at: this.messages.at(-1)?.created_at ?? this.created_at,
      first_seq: 1,
    };
  }

  get present(): FakeMember[] {
    return [...this.members.values()].filter((member) => member.left_seq === undefined);
  }

  as(user: string): Chat {
    const me = this.member(user);
    const last = this.messages.at(-1);
    const peer = this.type === "DIRECT" ? this.present.find((member) => member.user !== user) : undefined;
    return {
      ...this.info,
      role: me.role,
      join_seq: me.join_seq,
      delivered: me.delivered,
      read: me.read,
      unread: Math.max(0, this.messages.length - Math.max(me.join_seq, me.read)),
      ...(last && { last_message: last }),
      ...(peer && { peer: { user: peer.user, delivered: peer.delivered, read: peer.read } }),
      ...(me.left_seq !== undefined && { left_seq: me.left_seq }),
    };
  }

  member(user: string): FakeMember {
    const member = this.members.get(user);
    if (!member) throw new Error("chat_not_found");
    return member;
  }

  join(user: string, role: Role, join_seq: number): void {
    this.members.set(user, { user, role, joined_at: new Date().toISOString(), join_seq, delivered: 0, read: 0 });
  }

  append(sender: string, fields: Partial<Message>): Message {
    const message: Message = {
      chat_id: this.id,
      seq: this.messages.length + 1,
      message_id: randomUUID(),
      sender,
      content_type: "TEXT",
      content: "",
      created_at: new Date().toISOString(),
      ...fields,
    };
    this.messages.push(message);
    const me = this.members.get(sender);
    if (me) {
      me.read = message.seq;
      me.delivered = message.seq;
    }
    return message;
  }

  summary(message: Message): ReceiptSummary {
    const others = this.present.filter(({ user, join_seq }) => user !== message.sender && join_seq < message.seq);
    const count = (cursor: "read" | "delivered"): number =>
      others.filter((member) => member[cursor] >= message.seq).length;
    return {
      chat_id: this.id,
      seq: message.seq,
      delivered: count("delivered"),
      read: count("read"),
      of: others.length,
    };
  }
}

/** The id of a DIRECT chat, as chat-core/src/id.rs makes it. */
export function directId(a: string, b: string): string {
  const namespace = Buffer.from("446f2d3cd5e45f20a2c59a7b34d48652", "hex");
  const name = [a, b].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y))).join("\n");
  const hash = createHash("sha1").update(namespace).update(name).digest().subarray(0, 16);
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
