/** The network between the browser and the server: passes bytes on, and can be cut. */

import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export class Network {
  readonly #upstream: URL;
  readonly #sockets = new Set<Socket>();
  readonly #listener = createServer((socket) => this.#pass(socket));
  #isCut = false;

  constructor(upstream: string) {
    this.#upstream = new URL(upstream);
  }

  /** Returns the URL that leads through this network. */
  async start(): Promise<string> {
    await new Promise<void>((done) => this.#listener.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.#listener.address() as AddressInfo).port}`;
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
    this.#listener.close();
  }

  #pass(socket: Socket): void {
    if (this.#isCut) {
      socket.destroy();
      return;
    }
    const onward = connect(Number(this.#upstream.port), this.#upstream.hostname);
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
