/** Modal dialogs. The element keeps the focus inside and gives it back at its end. */

import type { Message } from "@chatcluster/client";
import type { Account } from "../account.ts";
import { isMissing, reason } from "../model/words.ts";
import { button, h, uniqueId } from "./dom.ts";

const USER_ID = /^[A-Za-z0-9._~@+:|-]{1,128}$/;

function dialog(title: string, ...children: Node[]): HTMLDialogElement {
  const id = uniqueId("dialog");
  const heading = h("h3", { text: title, attributes: { id } });
  const element = h("dialog", { attributes: { "aria-labelledby": id } }, heading, ...children);
  element.addEventListener("close", () => element.remove());
  // Escape closes the dialog, not also the chat behind it.
  element.addEventListener("keydown", (event) => event.stopPropagation());
  return element;
}

function field(
  label: string,
  hint: string,
  attributes: Record<string, string | boolean>,
): [HTMLElement, HTMLInputElement] {
  const id = uniqueId("field");
  const hintId = uniqueId("hint");
  const input = h("input", { attributes: { id, autocomplete: "off", "aria-describedby": hintId, ...attributes } });
  const row = h(
    "div",
    { class: "field" },
    h("label", { text: label, attributes: { for: id } }),
    input,
    h("p", { class: "hint", text: hint, attributes: { id: hintId } }),
  );
  return [row, input];
}

/** Asks for whom to chat with: one user makes a direct chat, a name or several make a group. */
export function newChat(host: HTMLElement, account: Account, done: () => void): void {
  const [usersRow, users] = field("With", "User ids, separated by commas. Users exist by being named.", {
    name: "users",
    required: true,
  });
  const [nameRow, name] = field("Group name", "Leave it empty for a direct chat with one user.", {
    name: "name",
    maxlength: "128",
  });
  const problem = h("p", { class: "problem", attributes: { role: "alert" } });
  const submit = h("button", { class: "primary", text: "Create", attributes: { type: "submit" } });
  const form = h(
    "form",
    {},
    usersRow,
    nameRow,
    problem,
    h(
      "div",
      { class: "dialog-actions" },
      button("Cancel", () => element.close()),
      submit,
    ),
  );
  const element = dialog("New chat", form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const ids = users.value.split(/[\s,]+/).filter((id) => id !== "" && id !== account.user);
    const bad = ids.find((id) => !USER_ID.test(id) || id === "." || id === "..");
    if (bad !== undefined || ids.length === 0) {
      problem.textContent = bad === undefined ? "Name somebody else." : `“${bad}” is no user id.`;
      users.focus();
      return;
    }
    submit.disabled = true;
    void create(account, name.value.trim(), ids).then(
      () => {
        element.close();
        done();
      },
      (error: unknown) => {
        submit.disabled = false;
        problem.textContent = isMissing(error) ? "This server cannot make chats yet." : reason(error);
      },
    );
  });
  host.append(element);
  element.showModal();
}

async function create(account: Account, name: string, ids: string[]): Promise<void> {
  const [first] = ids;
  if (name === "" && ids.length === 1 && first !== undefined) await account.openDirect(first);
  else await account.createGroup(name || ids.concat(account.user).join(", ").slice(0, 128), ids);
}

/** Asks before a message is deleted for everyone. */
export function confirmDelete(host: HTMLElement): Promise<boolean> {
  return new Promise((resolve) => {
    let isConfirmed = false;
    const confirm = button(
      "Delete",
      () => {
        isConfirmed = true;
        element.close();
      },
      { class: "danger" },
    );
    const element = dialog(
      "Delete this message for everyone?",
      h(
        "div",
        { class: "dialog-actions" },
        button("Cancel", () => element.close()),
        confirm,
      ),
    );
    element.addEventListener("close", () => resolve(isConfirmed));
    host.append(element);
    element.showModal();
  });
}

/** Shows who has an own group message. */
export function messageInfo(host: HTMLElement, account: Account, message: Message): void {
  const status = h("p", { text: "Loading…", attributes: { role: "status" } });
  const list = h("ul", { class: "receipts" });
  const close = button("Close", () => element.close());
  const element = dialog("Message info", status, list, h("div", { class: "dialog-actions" }, close));
  host.append(element);
  element.showModal();
  account.receipts(message).then(
    ({ items, read, delivered, of }) => {
      status.textContent = `${read} of ${of} read, ${delivered} of ${of} delivered`;
      for (const { user, status: state } of items) {
        list.append(h("li", {}, h("span", { text: user }), h("span", { class: "receipt", text: state.toLowerCase() })));
      }
    },
    (error: unknown) => {
      status.textContent = isMissing(error) ? "This server does not tell it yet." : reason(error);
    },
  );
}
