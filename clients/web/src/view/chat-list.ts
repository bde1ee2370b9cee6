import type { Account } from "../account.ts";
import type { Conversation } from "../model/conversation.ts";
import { clockTime, describeMessage } from "../model/words.ts";
import { h, KeyedList, setText } from "./dom.ts";
import { Roving, setStop } from "./roving.ts";

/** The chats of a user, newest first, with what is unread. */
export class ChatList {
  readonly element: HTMLElement;
  readonly #account: Account;
  readonly #list: KeyedList<Conversation, HTMLLIElement>;
  readonly #empty = h("p", { class: "empty", text: "No chats yet. Begin one with “New chat”." });
  readonly #roving: Roving;

  constructor(account: Account, open: (conversation: Conversation) => void) {
    this.#account = account;
    const list = h("ul", { class: "chats", attributes: { "aria-label": `Chats of ${account.user}` } });
    this.#list = new KeyedList(
      list,
      (conversation) => conversation.id,
      (conversation) => this.#create(() => open(this.#account.inbox.get(conversation.id) ?? conversation)),
      (element, conversation) => this.#update(element, conversation),
    );
    this.#roving = new Roving(list, ".chat");
    this.element = h("nav", { class: "chat-list", attributes: { "aria-label": "Chats" } }, list, this.#empty);
  }

  show(): void {
    const { conversations } = this.#account.inbox;
    this.#list.show(conversations);
    this.#empty.hidden = conversations.length > 0;
    this.#roving.refresh("first");
  }

  focus(chatId: string): void {
    this.#list.get(chatId)?.querySelector("button")?.focus();
  }

  #create(open: () => void): HTMLLIElement {
    const badge = h(
      "span",
      { class: "badge" },
      h("span", { class: "count" }),
      h("span", { class: "visually-hidden", text: " unread" }),
    );
    const entry = h(
      "button",
      { class: "chat", attributes: { type: "button" } },
      h("span", { class: "chat-top" }, h("span", { class: "presence" }), h("span", { class: "chat-title" }), h("time")),
      h("span", { class: "chat-bottom" }, h("span", { class: "chat-last" }), badge),
    );
    setStop(entry, false);
    entry.addEventListener("click", open);
    return h("li", {}, entry);
  }

  #update(element: HTMLLIElement, conversation: Conversation): void {
    const part = (selector: string): HTMLElement => element.querySelector<HTMLElement>(selector) ?? element;
    const { chat, last, unread, title, isLeft } = conversation;
    const status = chat.peer && this.#account.inbox.presence.get(chat.peer.user)?.status;
    part(".chat").classList.toggle("left", isLeft);
    if (this.#account.open === conversation) part(".chat").setAttribute("aria-current", "true");
    else part(".chat").removeAttribute("aria-current");
    part(".presence").hidden = status !== "online";
    setText(part(".presence"), status === "online" ? "online" : "");
    setText(part(".chat-title"), title);
    setText(part("time"), clockTime(chat.head_at));
    part("time").setAttribute("datetime", chat.head_at);
    setText(part(".chat-last"), this.#preview(conversation, last && describeMessage(last)));
    part(".badge").hidden = unread === 0;
    setText(part(".count"), String(unread));
  }

  #preview({ typing, last, isGroup }: Conversation, text: string | undefined): string {
    if (typing.size > 0) return "typing…";
    if (!last || text === undefined) return "";
    if (last.sender === this.#account.user && !last.system) return `You: ${text}`;
    return isGroup && !last.system ? `${last.sender}: ${text}` : text;
  }
}
