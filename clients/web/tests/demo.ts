/** `npm run demo`: the page on the fake server, to look at without a Rust build. */

import { FakeServer } from "./fake-server.ts";
import { PageServer } from "./page-server.ts";

const upstream = await new FakeServer().start();
const url = await new PageServer(upstream, ["ann", "bob"], (user) => Promise.resolve(user)).start(8090);
process.stdout.write(`${url}\n`);
