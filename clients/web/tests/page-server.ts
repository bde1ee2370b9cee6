/**
 * Serves the page as `chatctl local` does, and passes everything else on to the server behind it: so a test can cut the
 * network in between. Where the server behind serves the page itself, its own answers are used.
 */

import { readFile } from "node:fs/promises";
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

/** What `GET /` must come with; the same is in index.html, for servers that forget it. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES: Record<string, string> = { html: "text/html; charset=utf-8", js: "text/javascript", css: "text/css" };
const FILES: Record<string, string> = { "/": "index.html", "/app.js": "app.js", "/app.css": "app.css" };

export type TokenOf = (user: string) => Promise<string>;

export class PageServer {
  readonly #upstream: URL;
  readonly #token: TokenOf;
  readonly #users: string[];
  readonly #sockets = new Set<Socket>();
  readonly #http = createServer((request, response) => void this.#serve(request, response));
  #isCut = false;
  /** The server behind serves the page itself. */
  servesItself = false;

  constructor(upstream: string, users: string[], token: TokenOf) {
    this.#upstream = new URL(upstream);
    this.#users = users;
    this.#token = token;
  }

  async start(port = 0): Promise<string> {
    this.servesItself = await fetch(new URL("/demo/tokens", this.#upstream)).then(
      (answer) => answer.ok,
      () => false,
    );
    this.#http.on("upgrade", (request: IncomingMessage, socket: Socket) => this.#upgrade(request, socket));
    await new Promise<void>((done) => this.#http.listen(port, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  /** Cuts every connection, and lets none through until `mend`. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  stop(): void {
    this.cut();
    this.#http.close();
    this.#http.closeAllConnections();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url ?? "/", "http://page").pathname;
    if (this.#isCut) request.socket.destroy();
    else if (this.servesItself || path.startsWith("/v1/")) this.#pass(request, response);
    else if (path === "/demo/tokens") {
      const users = this.#users.map(async (user) => ({ user, token: await this.#token(user) }));
      response.writeHead(200, { "content-type": "application/json", "cache-control": "no-store" });
      response.end(JSON.stringify({ users: await Promise.all(users) }));
    } else await serveFile(path, response);
  }

  #pass(request: IncomingMessage, response: ServerResponse): void {
    const { hostname, port } = this.#upstream;
    const { method, url: path, headers } = request;
    const onward = httpRequest({ hostname, port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  }

  #upgrade(request: IncomingMessage, socket: Socket): void {
    if (this.#isCut) {
      socket.destroy();
      return;
    }
    const onward = connect(Number(this.#upstream.port), this.#upstream.hostname);
    const lines = [`${request.method} ${request.url} HTTP/1.1`];
    for (let at = 0; at < request.rawHeaders.length; at += 2) {
      lines.push(`${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}`);
    }
    onward.write(`${lines.join("\r\n")}\r\n\r\n`);
    for (const end of [socket, onward]) {
      this.#sockets.add(end);
      end.on("error", () => end.destroy());
      end.on("close", () => {
        this.#sockets.delete(end);
        (end === socket ? onward : socket).destroy();
      });
    }
    socket.pipe(onward).pipe(socket);
  }
}

async function serveFile(path: string, response: ServerResponse): Promise<void> {
  const file = FILES[path];
  if (file === undefined) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, {
    "content-type": TYPES[file.split(".").at(-1) ?? ""] ?? "application/octet-stream",
    "content-security-policy": POLICY,
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
  });
  response.end(await readFile(`dist/${file}`));
}
