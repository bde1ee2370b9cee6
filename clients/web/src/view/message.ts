import type { Message, MessageId, UserId } from "@chatcluster/client";
import type { Conversation, Outgoing } from "../model/conversation.ts";
import { countOf, type Tick, tickOf } from "../model/ticks.ts";
import { clockTime, describeMessage } from "../model/words.ts";
import { button, h, setText } from "./dom.ts";
import { setStop } from "./roving.ts";

/** One line of a conversation: a message, or an own one on its way. */
export type Line = { kind: "message"; message: Message } | { kind: "outgoing"; outgoing: Outgoing };

export interface MessageActions {
  edit(message: Message): void;
  delete(message: Message): void;
  info(message: Message): void;
  discard(id: string): void;
}

const GLYPHS: Record<Tick, string> = { sending: "◷", failed: "!", sent: "✓", delivered: "✓✓", read: "✓✓" };

/**
 * The same key before and after a send has its seq, so that its line stays where it is. The sender is part of it:
 * another user's message may have the same id.
 */
export function keyOf(sender: UserId, id: MessageId): string {
  return `${sender} ${id}`;
}

/** What may be done with a message, by its kind and the user's role. */
function offers(message: Message, { chat, isGroup, isLeft }: Conversation, isOwn: boolean): Offers {
  const isDeleted = message.deleted_at !== undefined;
  const canChange = !isDeleted && !message.system && !isLeft;
  return {
    edit: canChange && isOwn,
    delete: canChange && (isOwn || (isGroup && chat.role === "ADMIN")),
    info: isOwn && !isDeleted && isGroup,
  };
}

const OFFERED = ["edit", "delete", "info", "discard"] as const;
type Offers = { [action in (typeof OFFERED)[number]]?: boolean };

/** An element that shows one line and knows which. */
export class MessageItem {
  readonly element: HTMLLIElement;
  #line: Line;
  readonly #sender = h("span", { class: "sender" });
  readonly #content = h("p", { class: "content" });
  readonly #attachment = h("a", {
    class: "attachment",
    attributes: { rel: "noopener noreferrer nofollow", target: "_blank" },
  });
  readonly #edited = h("span", { class: "edited", text: "edited" });
  readonly #time = h("time");
  readonly #glyph = h("span", { class: "glyph", attributes: { "aria-hidden": "true" } });
  readonly #tickText = h("span", { class: "visually-hidden" });
  readonly #tick = h("span", { class: "tick" }, this.#glyph, this.#tickText);
  readonly #count = h("span", { class: "count" });
  readonly #actions = h("span", { class: "actions" });

  constructor(line: Line, actions: MessageActions) {
    this.#line = line;
    const withMessage = (act: (message: Message) => void) => () => {
      if (this.#line.kind === "message") act(this.#line.message);
    };
    this.#actions.append(
      button("Edit", withMessage(actions.edit), { class: "edit" }),
      button("Delete", withMessage(actions.delete), { class: "delete" }),
      button("Info", withMessage(actions.info), { class: "info" }),
      button("Discard", () => this.#line.kind === "outgoing" && actions.discard(this.#line.outgoing.id), {
        class: "discard",
      }),
    );
    const meta = h("span", { class: "meta" }, this.#edited, this.#time, this.#count, this.#tick);
    const bubble = h("div", { class: "bubble" }, this.#sender, this.#content, this.#attachment, meta);
    this.element = h("li", { class: "message" }, bubble, this.#actions);
    setStop(this.element, false);
  }

  update(line: Line, conversation: Conversation, me: string): void {
    this.#line = line;
    if (line.kind === "outgoing") this.#showOutgoing(line.outgoing);
    else this.#showMessage(line.message, conversation, me);
  }

  #showOutgoing({ content, state, why }: Outgoing): void {
    this.element.className = `message own ${state}`;
    setText(this.#content, content);
    setText(this.#sender, "");
    setText(this.#time, "");
    setText(this.#count, state === "failed" ? `Not sent: ${why ?? "refused"}` : "");
    this.#edited.hidden = true;
    this.#attachment.hidden = true;
    this.#showTick(state);
    this.#offer({ discard: state === "failed" });
  }

  #showMessage(message: Message, conversation: Conversation, me: string): void {
    const isOwn = message.sender === me && !message.system;
    const isDeleted = message.deleted_at !== undefined;
    const kind = message.system ? "system" : isOwn ? "own" : "theirs";
    this.element.className = `message ${kind}${isDeleted ? " deleted" : ""}`;
    this.element.dataset["seq"] = String(message.seq);
    setText(this.#sender, kind === "theirs" && conversation.isGroup ? message.sender : "");
    setText(this.#content, describeMessage(message));
    this.#showAttachment(message);
    this.#edited.hidden = message.edited_at === undefined || isDeleted;
    setText(this.#time, clockTime(message.created_at));
    this.#time.dateTime = message.created_at;
    const summary = conversation.summaries.get(message.seq);
    setText(this.#count, isOwn && !isDeleted ? (countOf(summary) ?? "") : "");
    this.#showTick(isOwn && !isDeleted ? tickOf(message, conversation.receipts) : undefined);
    this.#offer(offers(message, conversation, isOwn));
  }

  /** Only a link: what it leads to is somebody else's, and the page loads nothing from there. */
  #showAttachment({ attachment }: Message): void {
    const isLink = attachment !== undefined && /^https?:\/\//i.test(attachment.url);
    this.#attachment.hidden = !isLink;
    if (!isLink) return;
    this.#attachment.href = attachment.url;
    setText(this.#attachment, `${attachment.name} (${Math.ceil(attachment.size_bytes / 1024)} KiB)`);
  }

  #showTick(tick: Tick | undefined): void {
    this.#tick.hidden = tick === undefined;
    if (tick === undefined) return;
    this.#tick.dataset["tick"] = tick;
    setText(this.#glyph, GLYPHS[tick]);
    setText(this.#tickText, tick);
  }

  #offer(offered: Offers): void {
    for (const name of OFFERED) {
      const action = this.#actions.querySelector<HTMLButtonElement>(`.${name}`);
      if (action) action.hidden = offered[name] !== true;
    }
  }
}
