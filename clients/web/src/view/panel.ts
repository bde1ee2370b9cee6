import type { Message } from "@chatcluster/client";
import { Account } from "../account.ts";
import type { Conversation } from "../model/conversation.ts";
import { describeMessage, describeState, reason } from "../model/words.ts";
import { ChatList } from "./chat-list.ts";
import { ConversationView } from "./conversation.ts";
import { confirmDelete, messageInfo, newChat } from "./dialogs.ts";
import { button, h, setText } from "./dom.ts";
import { Search } from "./search.ts";

/** Everything of one user. */
export class Panel {
  readonly element: HTMLElement;
  readonly account: Account;
  readonly #state = h("span", { class: "state", attributes: { role: "status" } });
  readonly #hurry: HTMLButtonElement;
  readonly #offline: HTMLButtonElement;
  readonly #notice = h("p", { class: "notice", attributes: { role: "alert" } });
  /** Reads out what arrives in a chat that is not open. */
  readonly #news = h("p", { class: "visually-hidden", attributes: { "aria-live": "polite" } });
  readonly #chats: ChatList;
  readonly #conversation: ConversationView;
  #frame = 0;

  constructor(user: string, token: () => Promise<string>) {
    this.account = new Account(
      user,
      token,
      () => this.#refresh(),
      (message, where) => this.#arrived(message, where),
    );
    this.#hurry = button("Reconnect now", () => this.account.client.hurry());
    this.#offline = button("Go offline", () => this.#toggle());
    this.#chats = new ChatList(this.account, ({ id }) => void this.#open(id));
    this.#conversation = new ConversationView(this.account, {
      close: () => this.#close(),
      info: (message) => messageInfo(this.element, this.account, message),
      confirmDelete: () => confirmDelete(this.element),
    });
    const search = new Search(this.account, ({ message }) => void this.#jump(message));
    const make = button(
      "New chat",
      () => newChat(this.element, this.account, () => this.#conversation.focusComposer()),
      {
        class: "primary new-chat",
      },
    );
    const heading = h("h2", { class: "user", text: user });
    const head = h("header", { class: "panel-head" }, heading, this.#state, this.#hurry, this.#offline);
    const side = h(
      "div",
      { class: "side" },
      h("div", { class: "side-top" }, search.element, make),
      this.#chats.element,
    );
    const body = h("div", { class: "panel-body" }, side, this.#conversation.element);
    this.element = h(
      "section",
      { class: "panel", attributes: { "aria-label": user } },
      head,
      this.#notice,
      body,
      this.#news,
    );
    this.element.dataset["user"] = user;
    this.show();
  }

  start(): void {
    this.account.client.start();
  }

  /** Shows what the account has; called for once however often it changed. */
  show(): void {
    const { state, notice, open } = this.account;
    setText(this.#state, describeState(state));
    this.#state.dataset["status"] = state.status;
    this.#hurry.hidden = state.status !== "waiting";
    this.#offline.textContent = state.status === "idle" || state.status === "stopped" ? "Go online" : "Go offline";
    setText(this.#notice, notice);
    this.#notice.hidden = notice === "";
    this.element.dataset["open"] = open ? "true" : "false";
    this.#chats.show();
    this.#conversation.show();
  }

  #refresh(): void {
    if (this.#frame !== 0) return;
    const show = (): void => {
      clearTimeout(late);
      cancelAnimationFrame(this.#frame);
      this.#frame = 0;
      this.show();
    };
    this.#frame = requestAnimationFrame(show);
    // A page in the background gets no frames.
    const late = setTimeout(show, 250);
  }

  #toggle(): void {
    const { client } = this.account;
    if (client.state.status === "idle" || client.state.status === "stopped") client.start();
    else client.stop();
  }

  async #open(chatId: string): Promise<void> {
    try {
      const selected = this.account.select(chatId);
      this.show();
      this.#conversation.focusComposer();
      await selected;
    } catch (error) {
      this.account.notice = `The chat could not be opened: ${reason(error)}`;
      this.show();
    }
  }

  #close(): void {
    const { open } = this.account;
    this.account.deselect();
    this.show();
    if (open) this.#chats.focus(open.id);
  }

  async #jump(message: Message): Promise<void> {
    await this.account.jump(message.chat_id, message.seq);
    this.show();
    this.#conversation.reveal(message);
  }

  #arrived(message: Message, conversation: Conversation): void {
    if (message.sender === this.account.user || conversation === this.account.open) return;
    setText(this.#news, `${message.sender} in ${conversation.title}: ${describeMessage(message)}`);
  }
}
