/** Frames: what clients ask, what the server answers, and what it tells unasked. */

import type {
  Attachment,
  Change,
  ChatId,
  ChatInfo,
  ContentType,
  Message,
  MessageId,
  Meta,
  Open,
  OpId,
  Presence,
  PresenceStatus,
  Rev,
  Seq,
  Time,
  UserId,
} from "./model.ts";

/** The subprotocol of v1. */
export const SUBPROTOCOL = "chat.v1.json";

/** What is answered instead of an `ack`. */
export interface Fault {
  code: ErrorCode;
  message: string;
  /** The same request may succeed later. */
  temporary: boolean;
  retry_after_ms?: number;
  /** The field at fault. */
  field?: string;
}

export type ErrorCode = Open<
  | "invalid_json"
  | "unknown_type"
  | "invalid_argument"
  | "invalid_cursor"
  | "unauthenticated"
  | "bad_token"
  | "token_expired"
  | "forbidden"
  | "blocked"
  | "origin_not_allowed"
  | "chat_not_found"
  | "message_not_found"
  | "not_found"
  | "method_not_allowed"
  | "unsupported_media_type"
  | "chat_exists"
  | "last_admin"
  | "group_full"
  | "limit_exceeded"
  | "content_too_large"
  | "frame_too_large"
  | "rate_limited"
  | "internal"
  | "not_enabled"
  | "over_capacity"
  | "overloaded"
  | "unavailable"
>;

/** What a client has of a chat: a seq, or a seq and a rev. */
export type Have = Seq | [Seq, Rev];

export interface SyncRequest {
  have: Record<ChatId, Have>;
  /** `server_time` of the last complete sync. */
  since?: Time;
  /** More parts follow. */
  partial?: boolean;
  receipts?: boolean;
  /** Messages a chat, 1-200. */
  limit?: number;
}

export interface SyncDone {
  recovered: boolean;
  more: { chat_id: ChatId; from: Seq; to: Seq }[];
  reload: ChatId[];
  gone: ChatId[];
  unlisted: { chat_id: ChatId; head_seq: Seq; head_rev: Rev }[];
  server_time: Time;
}

/** What a send carries, beside where it goes. */
export interface Draft {
  content: string;
  content_type?: ContentType;
  attachment?: Attachment;
  meta?: Meta;
}

/** Where a send goes: a chat, or a user whose DIRECT chat begins with it. */
export type Target = { chat_id: ChatId } | { to: UserId };

export type SendRequest = Draft & Target & { message_id: MessageId };
export interface EditRequest {
  chat_id: ChatId;
  seq: Seq;
  content: string;
  meta?: Meta;
  op_id: OpId;
}
export interface DeleteRequest {
  chat_id: ChatId;
  seq: Seq;
  op_id: OpId;
}
export interface ReceiptRequest {
  chat_id: ChatId;
  delivered?: Seq;
  read?: Seq;
}
export interface SubscribeRequest {
  users?: UserId[];
  chats?: ChatId[];
}

/** Each request with the `d` of its reply. */
export interface Requests {
  auth: { d: { token: string }; reply: { user: UserId; expires_at: Time } };
  sync: { d: SyncRequest; reply: SyncDone };
  send: { d: SendRequest; reply: { chat_id: ChatId; message_id: MessageId } };
  edit: { d: EditRequest; reply: { chat_id: ChatId; seq: Seq } };
  delete: { d: DeleteRequest; reply: { chat_id: ChatId; seq: Seq } };
  receipt: { d: ReceiptRequest; reply: Record<never, never> };
  typing: { d: { chat_id: ChatId; active: boolean }; reply: Record<never, never> };
  "presence.subscribe": { d: SubscribeRequest; reply: { presence: Record<UserId, Presence> } };
  "presence.unsubscribe": { d: SubscribeRequest; reply: Record<never, never> };
  ping: { d: { active: boolean }; reply: { server_time: Time } };
}
export type RequestType = keyof Requests;

export interface Hello {
  user: UserId;
  session: string;
  server: string;
  /** Another one than stored with the positions: the data was restored. */
  epoch: string;
  heartbeat_ms: number;
  server_time: Time;
  token_expires_at: Time;
  max_frame_bytes: number;
  max_content_bytes: number;
}

export interface MessageUpdated {
  chat_id: ChatId;
  seq: Seq;
  rev: Rev;
  content: string;
  meta?: Meta;
  edited_at: Time;
}

export interface MessageDeleted {
  chat_id: ChatId;
  seq: Seq;
  rev: Rev;
  deleted_at: Time;
}

/** Acknowledged, then refused in log order. */
export interface MessageRejected {
  chat_id: ChatId;
  message_id?: MessageId;
  op_id?: OpId;
  code: ErrorCode;
  message: string;
}

export interface Receipt {
  chat_id: ChatId;
  user: UserId;
  delivered: Seq;
  read: Seq;
}

/** N of M of one own group message. */
export interface ReceiptSummary {
  chat_id: ChatId;
  seq: Seq;
  delivered: number;
  read: number;
  of: number;
}

/** Each push with its `d`. */
export interface Pushes {
  hello: Hello;
  message: Message;
  "message.updated": MessageUpdated;
  "message.deleted": MessageDeleted;
  "message.rejected": MessageRejected;
  receipt: Receipt;
  "receipt.summary": ReceiptSummary;
  presence: { user: UserId; status: PresenceStatus; last_seen_at?: Time };
  typing: { chat_id: ChatId; user: UserId; active: boolean };
  chat: { chat: ChatInfo; change: Change };
  reconnect: { after_ms: number; reason: Open<"drain" | "restart"> };
  "token.expiring": { expires_at: Time };
  error: Fault & { request?: Open<RequestType> };
}
export type PushType = keyof Pushes;

/** A push, told apart by its type. */
export type Push = { [T in PushType]: { type: T; d: Pushes[T] } }[PushType];
