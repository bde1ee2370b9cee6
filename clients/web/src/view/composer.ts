import { button, h, uniqueId } from "./dom.ts";

const TYPING_STOPS_MS = 5_000;

export interface ComposerActions {
  send(content: string): void;
  edited(content: string): void;
  typing(isActive: boolean): void;
}

/** Where a message is written, or an own one is edited. */
export class Composer {
  readonly element: HTMLFormElement;
  readonly #input: HTMLTextAreaElement;
  readonly #mode = h("p", { class: "mode", text: "Editing a message. Escape ends it." });
  readonly #submit = h("button", { class: "primary", text: "Send", attributes: { type: "submit" } });
  readonly #cancel: HTMLButtonElement;
  readonly #actions: ComposerActions;
  #isEditing = false;
  #typingStops: ReturnType<typeof setTimeout> | undefined;

  constructor(user: string, actions: ComposerActions) {
    this.#actions = actions;
    const id = uniqueId("composer");
    this.#input = h("textarea", {
      attributes: { id, rows: 1, placeholder: "Message", autocomplete: "off", maxlength: 16_384 },
    });
    this.#cancel = button("Cancel", () => this.endEdit(), {});
    const label = h("label", { class: "visually-hidden", text: `Message from ${user}`, attributes: { for: id } });
    this.element = h(
      "form",
      { class: "composer" },
      this.#mode,
      h("div", { class: "composer-row" }, label, this.#input, this.#cancel, this.#submit),
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    this.#input.addEventListener("input", () => this.#typed());
    this.#input.addEventListener("blur", () => this.#stopTyping());
    this.endEdit();
  }

  enable(isEnabled: boolean): void {
    this.#input.disabled = !isEnabled;
    this.#submit.disabled = !isEnabled;
  }

  focus(): void {
    this.#input.focus();
  }

  edit(content: string): void {
    this.#isEditing = true;
    this.#show(content);
    this.#input.select();
  }

  endEdit(): void {
    this.#isEditing = false;
    this.#show("");
  }

  #show(content: string): void {
    this.#mode.hidden = !this.#isEditing;
    this.#cancel.hidden = !this.#isEditing;
    this.#submit.textContent = this.#isEditing ? "Save" : "Send";
    this.#input.value = content;
    this.#grow();
    if (this.element.isConnected) this.#input.focus();
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "Escape" && this.#isEditing) {
      // Escape here ends the edit, not the chat.
      event.stopPropagation();
      this.endEdit();
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#send();
    }
  }

  #send(): void {
    const content = this.#input.value.trim();
    if (content === "") return;
    this.#stopTyping();
    if (this.#isEditing) this.#actions.edited(content);
    else this.#actions.send(content);
    this.endEdit();
  }

  #typed(): void {
    this.#grow();
    if (this.#isEditing) return;
    if (this.#input.value === "") {
      this.#stopTyping();
      return;
    }
    this.#actions.typing(true);
    clearTimeout(this.#typingStops);
    this.#typingStops = setTimeout(() => this.#stopTyping(), TYPING_STOPS_MS);
  }

  #stopTyping(): void {
    clearTimeout(this.#typingStops);
    this.#typingStops = undefined;
    this.#actions.typing(false);
  }

  /** As many rows as lines, up to six: without inline styles, which the page's policy forbids. */
  #grow(): void {
    this.#input.rows = Math.min(6, this.#input.value.split("\n").length);
  }
}
