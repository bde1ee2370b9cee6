import type { MessageDeleted, MessageUpdated } from "./protocol/frames.ts";
import type { Message } from "./protocol/model.ts";

/** Returns a message with an edit or delete applied; as it is where it has that change or a later one already. */
export function amend(message: Message, change: MessageUpdated | MessageDeleted): Message {
  if (message.rev !== undefined && message.rev >= change.rev) return message;
  // An edit replaces `meta`, also by none; a delete takes the attachment too.
  const { meta: _meta, ...rest } = message;
  if ("content" in change) {
    const { content, meta, edited_at, rev } = change;
    return { ...rest, content, edited_at, rev, ...(meta && { meta }) };
  }
  const { attachment: _attachment, ...bare } = rest;
  return { ...bare, content: "", deleted_at: change.deleted_at, rev: change.rev };
}
