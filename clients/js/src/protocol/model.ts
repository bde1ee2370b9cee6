/** The nouns of protocol v1. Fields and values that are not known here may come: v1 grows by addition only. */

/** Canonical lower-case UUID: version 7 of a group, version 5 of a direct chat. */
export type ChatId = string;
/** UUIDv7 chosen by the sender; the idempotency key of a send. */
export type MessageId = string;
/** UUIDv7 chosen by who makes the change; the idempotency key of an edit or delete. */
export type OpId = string;
/** 1-128 of `A-Za-z0-9._~@+:|-`; users exist by being named. */
export type UserId = string;
/** Position of a message in its chat: 1, 2, 3 …, no gaps. 0 is "before the first". */
export type Seq = number;
/** Count of edits and deletes in a chat: 1, 2, 3 …, no gaps. 0 is "none yet". */
export type Rev = number;
/** RFC 3339, UTC, milliseconds. */
export type Time = string;

/** A value set that may grow: what is known completes in the editor, what is not still fits. */
export type Open<T extends string> = T | (string & Record<never, never>);

export type Role = Open<"ADMIN" | "MEMBER">;
export type ChatType = Open<"DIRECT" | "GROUP">;
export type ContentType = Open<"TEXT" | "IMAGE" | "FILE" | "SYSTEM">;
export type ChangeKind = Open<
  "created" | "renamed" | "member_added" | "member_removed" | "member_left" | "role_changed"
>;
export type PresenceStatus = Open<"online" | "offline" | "unknown">;
export type Meta = Record<string, unknown>;

export interface Attachment {
  url: string;
  name: string;
  mime_type: string;
  size_bytes: number;
  width?: number;
  height?: number;
}

/** What changed in a chat: the body of a SYSTEM message and of the `chat` push. */
export interface Change {
  kind: ChangeKind;
  actor: UserId;
  /** Seq of the SYSTEM message; 0 for a new DIRECT chat, which has none. */
  seq: Seq;
  users?: UserId[];
  name?: string;
  role?: Role;
}

export interface Message {
  chat_id: ChatId;
  seq: Seq;
  /** Rev of its last edit or delete. */
  rev?: Rev;
  message_id: MessageId;
  sender: UserId;
  content_type: ContentType;
  /** Empty when deleted and in SYSTEM messages. Plain text, never markup. */
  content: string;
  attachment?: Attachment;
  meta?: Meta;
  system?: Change;
  created_at: Time;
  edited_at?: Time;
  deleted_at?: Time;
}

/** A chat as everyone in it sees it. */
export interface ChatInfo {
  chat_id: ChatId;
  type: ChatType;
  name?: string;
  created_at: Time;
  created_by: UserId;
  member_count: number;
  head_seq: Seq;
  head_rev: Rev;
  head_at: Time;
  /** The oldest message still kept. */
  first_seq: Seq;
}

/** A chat as the caller sees it. */
export interface Chat extends ChatInfo {
  role: Role;
  join_seq: Seq;
  delivered: Seq;
  read: Seq;
  unread: number;
  muted_until?: Time;
  last_message?: Message;
  /** DIRECT: the other user, with their cursors. */
  peer?: { user: UserId; delivered: Seq; read: Seq };
  /** No longer a member: (join_seq, left_seq] stays readable. */
  left_seq?: Seq;
}

export interface Member {
  user: UserId;
  role: Role;
  joined_at: Time;
  join_seq: Seq;
}

export interface Presence {
  status: PresenceStatus;
  last_seen_at?: Time;
}

export interface Page<T> {
  items: T[];
  /** Absent: this is the end. */
  next_cursor?: string;
}
