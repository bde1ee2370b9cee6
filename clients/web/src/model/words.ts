/** What people read: changes, states, times. */

import { type Change, ChatError, type ConnectionState, type Message, type Presence } from "@chatcluster/client";
import type { Conversation } from "./conversation.ts";

export function describeChange(change: Change): string {
  const who = (change.users ?? []).join(", ");
  switch (change.kind) {
    case "created":
      return `${change.actor} created the group`;
    case "renamed":
      return `${change.actor} renamed the group to “${change.name ?? ""}”`;
    case "member_added":
      return `${change.actor} added ${who}`;
    case "member_removed":
      return `${change.actor} removed ${who}`;
    case "member_left":
      return `${who || change.actor} left`;
    case "role_changed":
      return `${change.actor} made ${who} ${change.role === "ADMIN" ? "an admin" : "a member"}`;
    default:
      return "The chat changed";
  }
}

export function describeMessage(message: Message): string {
  if (message.deleted_at !== undefined) return "This message was deleted";
  if (message.system) return describeChange(message.system);
  if (message.content !== "") return message.content;
  return message.attachment?.name ?? "A message this page cannot show";
}

export function describeState(state: ConnectionState): string {
  switch (state.status) {
    case "idle":
      return "Offline";
    case "connecting":
      return "Connecting…";
    case "syncing":
      return "Catching up…";
    case "live":
      return "Connected";
    case "waiting":
      return `Reconnecting in ${Math.max(1, Math.round(state.ms / 1000))} s`;
    case "stopped":
      return `Signed out (${state.why.reason || state.why.code})`;
  }
}

export function describePresence(presence: Presence | undefined): string {
  if (presence?.status === "online") return "online";
  if (presence?.last_seen_at !== undefined) return `last seen ${clockTime(presence.last_seen_at)}`;
  return presence?.status === "offline" ? "offline" : "";
}

/** The line under a chat's title. */
export function describeChat(conversation: Conversation, presence: Presence | undefined): string {
  const typists = [...conversation.typing];
  if (typists.length > 0) return `${typists.join(", ")} ${typists.length === 1 ? "is" : "are"} typing…`;
  if (conversation.isLeft) return "You are no longer a member";
  if (!conversation.isGroup) return describePresence(presence);
  const { members, chat } = conversation;
  return members.length > 0 ? members.map(({ user }) => user).join(", ") : `${chat.member_count} members`;
}

/** The time of today, the date otherwise. */
export function clockTime(time: string, now = new Date()): string {
  const date = new Date(time);
  if (date.toDateString() === now.toDateString()) {
    return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  }
  return date.toLocaleDateString([], { day: "numeric", month: "short" });
}

/** Whether the server says that it has no such feature, not that it failed. */
export function isMissing(error: unknown): boolean {
  return error instanceof ChatError && (error.code === "not_enabled" || error.code === "not_found");
}

export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
