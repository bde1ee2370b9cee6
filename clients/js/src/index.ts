export { amend } from "./amend.ts";
export { ChatClient, type ClientOptions, type Saved, type Sent } from "./client.ts";
export type { Closed } from "./connection/session.ts";
export type { TokenProvider } from "./connection/token-source.ts";
export type { Write } from "./core/outbox.ts";
export type { Watched } from "./core/watched.ts";
export type { Cancel, Environment, Fetch, Socket, SocketClass } from "./environment.ts";
export type { ClientEvents, ConnectionState } from "./events.ts";
export { ChatError, type LocalCode } from "./fault.ts";
export type * from "./protocol/frames.ts";
export type * from "./protocol/model.ts";
export type {
  Device,
  Found,
  History,
  HistoryOptions,
  Me,
  MessageReceipts,
  PageOptions,
  SearchOptions,
} from "./rest/rest.ts";
