import assert from "node:assert/strict";
import { test } from "node:test";
import { ChatError } from "../src/index.ts";
import { CHAT, Rig } from "./world.ts";

test("a call carries the token, JSON and a key that makes repetitions one change", async () => {
  const rig = new Rig();
  rig.world.answer = () => ({ body: { chat_id: CHAT } });
  await rig.client.rest.rename(CHAT, "Crew");
  const [call] = rig.world.calls;
  assert.equal(call?.method, "PATCH");
  assert.equal(call.path, `/v1/chats/${CHAT}`);
  assert.equal(call.headers["authorization"], "Bearer token1");
  assert.match(call.headers["idempotency-key"] ?? "", /-7/);
  assert.deepEqual(call.body, { name: "Crew" });
});

test("names are encoded, and absent parameters left out", async () => {
  const rig = new Rig();
  rig.world.answer = () => ({ body: { items: [] } });
  await rig.client.rest.setMember(CHAT, "a@b/c|d");
  await rig.client.rest.search({ q: "two words", limit: 5 });
  assert.deepEqual(
    rig.world.calls.map((call) => call.path),
    [`/v1/chats/${CHAT}/members/a%40b%2Fc%7Cd`, "/v1/search?q=two+words&limit=5"],
  );
});

test("a temporary fault is waited out and the same call made again, with the same chat_id", async () => {
  const rig = new Rig();
  const answers = [
    { status: 503, body: { code: "unavailable", message: "", temporary: true }, headers: { "retry-after": "2" } },
    { status: 201, body: { chat_id: CHAT } },
  ];
  rig.world.answer = () => answers.shift() ?? { status: 500 };
  const made = rig.client.rest.createGroup("Crew", ["bob"]);
  await rig.world.advance(1_999);
  assert.equal(rig.world.calls.length, 1);
  await rig.world.advance(1);
  await made;
  assert.deepEqual(rig.world.calls[0], rig.world.calls[1]);
});

test("an expired token is replaced once", async () => {
  const rig = new Rig();
  rig.world.answer = () => ({ status: 401, body: { code: "token_expired", message: "", temporary: false } });
  await assert.rejects(rig.client.rest.me(), (error) => error instanceof ChatError && error.code === "token_expired");
  assert.equal(rig.tokens, 2);
});

test("a server that lacks a feature is told apart from one that fails", async () => {
  const rig = new Rig();
  rig.world.answer = () => ({ status: 501 });
  await assert.rejects(
    rig.client.rest.search({ q: "x" }),
    (error) => error instanceof ChatError && error.code === "not_enabled",
  );
  assert.equal(rig.world.calls.length, 1);
});
