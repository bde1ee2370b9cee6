import type { Message } from "@chatcluster/client";
import type { Account } from "../account.ts";
import type { Conversation } from "../model/conversation.ts";
import { describeChat } from "../model/words.ts";
import { Composer } from "./composer.ts";
import { button, h, KeyedList, setText } from "./dom.ts";
import { keyOf, type Line, MessageItem } from "./message.ts";
import { Roving } from "./roving.ts";

/** So close to the end that new messages are followed, in pixels. */
const NEAR_END = 60;

export interface ConversationActions {
  close(): void;
  info(message: Message): void;
  confirmDelete(message: Message): Promise<boolean>;
}

/** The open chat: its messages, and where to write. */
export class ConversationView {
  readonly element: HTMLElement;
  readonly #account: Account;
  readonly #title = h("h3", { class: "title" });
  readonly #about = h("p", { class: "about", attributes: { role: "status" } });
  readonly #older: HTMLButtonElement;
  readonly #log: HTMLElement;
  readonly #scroller: HTMLElement;
  readonly #composer: Composer;
  readonly #items = new WeakMap<HTMLElement, MessageItem>();
  readonly #list: KeyedList<Line, HTMLLIElement>;
  readonly #roving: Roving;
  readonly #empty = h("p", { class: "empty", text: "Choose a chat, or begin a new one." });
  readonly #content: HTMLElement;
  readonly #actions: ConversationActions;
  #shown: Conversation | undefined;
  #editing: Message | undefined;

  constructor(account: Account, actions: ConversationActions) {
    this.#account = account;
    this.#actions = actions;
    const list = h("ol", { class: "messages" });
    const live = { role: "log", "aria-live": "polite", "aria-relevant": "additions", "aria-label": "Messages" };
    this.#log = h("div", { attributes: live }, list);
    this.#older = button("Show older messages", () => void this.#readOlder(), { class: "older" });
    this.#scroller = h("div", { class: "scroller" }, this.#older, this.#log);
    this.#composer = new Composer(account.user, {
      send: (content) => this.#send(content),
      edited: (content) => this.#edited(content),
      typing: (isActive) => this.#shown && account.client.typing(this.#shown.id, isActive),
    });
    this.#list = this.#makeList(list);
    this.#roving = new Roving(this.#log, ".message");
    const back = button("‹", () => actions.close(), {
      class: "back",
      attributes: { "aria-label": "Back to the chats" },
    });
    const heading = h("header", { class: "conversation-head" }, back, h("div", {}, this.#title, this.#about));
    this.#content = h("div", { class: "conversation-content" }, heading, this.#scroller, this.#composer.element);
    this.element = h(
      "section",
      { class: "conversation", attributes: { "aria-label": "Conversation" } },
      this.#empty,
      this.#content,
    );
    this.#scroller.addEventListener("scroll", () => this.#readIfSeen());
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") actions.close();
    });
  }

  show(): void {
    const conversation = this.#account.open;
    this.#empty.hidden = conversation !== undefined;
    this.#content.hidden = conversation === undefined;
    const isOther = conversation !== this.#shown;
    this.#shown = conversation;
    if (!conversation) return;
    if (isOther) {
      this.#editing = undefined;
      this.#composer.endEdit();
    }
    const wasAtEnd = isOther || this.#isAtEnd();
    const { chat } = conversation;
    setText(this.#title, conversation.title);
    setText(this.#about, describeChat(conversation, chat.peer && this.#account.inbox.presence.get(chat.peer.user)));
    this.#older.hidden = !conversation.hasOlder || !conversation.isLoaded;
    // A page of history is not news: only what comes after it is read out.
    this.#log.setAttribute("aria-busy", String(!conversation.isLoaded));
    this.#list.show(linesOf(conversation));
    this.#roving.refresh("last");
    this.#composer.enable(!conversation.isLeft);
    if (wasAtEnd) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#readIfSeen();
  }

  focusComposer(): void {
    this.#composer.focus();
  }

  /** Brings a message into view and to the keyboard. */
  reveal(message: Message): void {
    const element = this.#list.get(keyOf(message.sender, message.message_id));
    element?.scrollIntoView({ block: "center" });
    element?.focus();
  }

  /** What is on screen at the end of the chat counts as read. */
  #readIfSeen(): void {
    const conversation = this.#shown;
    const isOnScreen = document.visibilityState === "visible" && this.element.offsetParent !== null;
    if (conversation && isOnScreen && this.#isAtEnd()) this.#account.read(conversation);
  }

  #isAtEnd(): boolean {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_END;
  }

  async #readOlder(): Promise<void> {
    const conversation = this.#shown;
    if (!conversation) return;
    const fromEnd = this.#scroller.scrollHeight - this.#scroller.scrollTop;
    this.#log.setAttribute("aria-busy", "true");
    await this.#account.readOlder(conversation);
    this.show();
    // What was on screen stays where it was.
    this.#scroller.scrollTop = this.#scroller.scrollHeight - fromEnd;
  }

  #send(content: string): void {
    if (!this.#shown) return;
    this.#account.send(this.#shown, content);
    this.show();
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #edited(content: string): void {
    const message = this.#editing;
    this.#editing = undefined;
    if (message && message.content !== content) void this.#account.edit(message, content);
  }

  #makeList(parent: HTMLElement): KeyedList<Line, HTMLLIElement> {
    const actions = {
      edit: (message: Message) => {
        this.#editing = message;
        this.#composer.edit(message.content);
      },
      delete: (message: Message) => void this.#delete(message),
      info: (message: Message) => this.#actions.info(message),
      discard: (id: string) => this.#shown && this.#account.discard(this.#shown, id),
    };
    return new KeyedList(
      parent,
      (line) =>
        line.kind === "message"
          ? keyOf(line.message.sender, line.message.message_id)
          : keyOf(this.#account.user, line.outgoing.id),
      (line) => {
        const item = new MessageItem(line, actions);
        this.#items.set(item.element, item);
        return item.element;
      },
      (element, line) => {
        if (this.#shown) this.#items.get(element)?.update(line, this.#shown, this.#account.user);
      },
    );
  }

  async #delete(message: Message): Promise<void> {
    if (!(await this.#actions.confirmDelete(message))) return;
    await this.#account.delete(message);
    this.#composer.focus();
  }
}

function linesOf(conversation: Conversation): Line[] {
  const messages: Line[] = conversation.messages.map((message) => ({ kind: "message", message }));
  const outgoing: Line[] = conversation.outgoing.map((mine) => ({ kind: "outgoing", outgoing: mine }));
  return [...messages, ...outgoing];
}
