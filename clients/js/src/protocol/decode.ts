/** Reads frames. What v1 does not know (types, fields, values) is passed over, as the contract asks of clients. */

import type { Push, PushType } from "./frames.ts";

/** A reply: `d` is told apart by the request that it answers. */
export interface Reply {
  id: number;
  type: "ack" | "pong" | "error";
  d: Record<string, unknown>;
}

export type Incoming =
  | { kind: "push"; push: Push }
  | { kind: "reply"; reply: Reply }
  /** Well-formed, of a type to come. */
  | { kind: "unknown"; type: string }
  | { kind: "malformed"; reason: string };

type Shape = Record<string, "string" | "number" | "boolean" | "object">;

/** The fields without which a push means nothing. The rest is the server's promise. */
const SHAPES: Record<PushType, Shape> = {
  hello: { user: "string", epoch: "string", heartbeat_ms: "number", server_time: "string", token_expires_at: "string" },
  message: { chat_id: "string", seq: "number", message_id: "string", sender: "string", content: "string" },
  "message.updated": { chat_id: "string", seq: "number", rev: "number", content: "string" },
  "message.deleted": { chat_id: "string", seq: "number", rev: "number" },
  "message.rejected": { chat_id: "string", code: "string" },
  receipt: { chat_id: "string", user: "string", delivered: "number", read: "number" },
  "receipt.summary": { chat_id: "string", seq: "number", delivered: "number", read: "number", of: "number" },
  presence: { user: "string", status: "string" },
  typing: { chat_id: "string", user: "string", active: "boolean" },
  chat: { chat: "object", change: "object" },
  reconnect: { after_ms: "number" },
  "token.expiring": { expires_at: "string" },
  error: { code: "string", message: "string" },
};

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isPushType(type: string): type is PushType {
  return Object.hasOwn(SHAPES, type);
}

function isReplyType(type: string): type is Reply["type"] {
  return type === "ack" || type === "pong" || type === "error";
}

function fits(d: Record<string, unknown>, shape: Shape): boolean {
  return Object.entries(shape).every(([field, type]) =>
    type === "object" ? isObject(d[field]) : typeof d[field] === type,
  );
}

/** Reads one text frame. */
export function decode(text: string): Incoming {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return { kind: "malformed", reason: "not JSON" };
  }
  if (!isObject(frame) || typeof frame["type"] !== "string") return { kind: "malformed", reason: "no envelope" };
  const { id, type } = frame;
  const d = isObject(frame["d"]) ? frame["d"] : {};
  if (typeof id === "number") {
    return isReplyType(type) ? { kind: "reply", reply: { id, type, d } } : { kind: "unknown", type };
  }
  if (!isPushType(type)) return { kind: "unknown", type };
  if (!fits(d, SHAPES[type])) return { kind: "malformed", reason: `${type} lacks a field` };
  // The fields that the client acts on were just checked.
  return { kind: "push", push: { type, d } as unknown as Push };
}
