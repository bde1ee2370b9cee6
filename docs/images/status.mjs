// Makes docs/images/status.svg, the picture of the live view of `chatctl local`, from a real run on a real terminal:
// three gateways under load, one of them drained by hand, the planner putting another in its place.
//
//   CHATCTL=path/to/chatctl node docs/images/status.mjs
//
// Needs `script` (util-linux) for the terminal. Without CHATCTL the one on the path is used.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const COLUMNS = 108;
const ROWS = 60;
const DEADLINE_MS = 60_000;
const MANIFEST = `apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo}
spec:
  version: "0.1.0"
  engines: {embedded: {}}
  gateways:
    autoscaling: {min: 3, max: 6, targetConnections: 400}
    drain: {deadlineSeconds: 30, reconnectsPerSecond: 50}
`;

/** Keeps what a terminal shows: as much of one as the view needs. */
class Terminal {
  rows = [[]];
  row = 0;
  column = 0;
  style = "";

  write(text) {
    const pieces = text.matchAll(/\x1b\[([0-9;?]*)([A-Za-z])|\r|\n|[^\x1b\r\n]/gu);
    for (const [piece, numbers = "", letter] of pieces) {
      const count = Number.parseInt(numbers, 10) || 1;
      if (letter === "A") this.row = Math.max(0, this.row - count);
      else if (letter === "B") this.row += count;
      else if (letter === "K") this.rows[this.row] = [];
      else if (letter === "m") this.style = numbers === "0" || numbers === "" ? "" : `${this.style} s${numbers}`;
      else if (piece === "\r") this.column = 0;
      else if (piece === "\n") this.row += 1;
      else if (letter === undefined) this.put(piece);
      while (this.rows.length <= this.row) this.rows.push([]);
    }
  }

  put(character) {
    if (this.column === COLUMNS) {
      this.row += 1;
      this.column = 0;
      this.rows[this.row] ??= [];
    }
    const line = this.rows[this.row];
    while (line.length < this.column) line.push({ character: " ", style: "" });
    line[this.column] = { character, style: this.style.trim() };
    this.column += 1;
  }

  text() {
    return this.rows.map((row) => row.map((cell) => cell.character).join("").trimEnd());
  }
}

/** Draws rows of cells: one text element for each run of one style. */
function svg(rows) {
  const [wide, high, pad] = [7.82, 19, 16];
  const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const runs = rows.flatMap((row, y) => {
    const found = [];
    for (const [x, { character, style }] of row.entries()) {
      const last = found.at(-1);
      if (last?.style === style) last.text += character;
      else found.push({ x, y, style, text: character });
    }
    return found.filter((run) => run.text.trim() !== "");
  });
  const draw = ({ x, y, style, text }) => {
    const at = `x="${(pad + x * wide).toFixed(1)}" y="${pad + (y + 0.75) * high}"`;
    const length = `textLength="${(text.trimEnd().length * wide).toFixed(1)}"`;
    return `<text ${at} ${length} class="${style}">${escape(text.trimEnd())}</text>`;
  };
  const [width, height] = [Math.ceil(pad * 2 + COLUMNS * wide), pad * 2 + rows.length * high];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">
<title>chatctl local on a terminal: gateways with their connections, a drain under way, lag, and the plan</title>
<style>text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#d6dae0;white-space:pre}.s1{font-weight:bold;fill:#fff}
.s2{fill:#7d8590}.s31{fill:#ff7b72}.s32{fill:#3fb950}.s33{fill:#d29922}</style>
<rect width="${width}" height="${height}" rx="8" fill="#0d1117"/>
${runs.map(draw).join("\n")}
</svg>
`;
}

const binary = process.env.CHATCTL ? resolve(process.env.CHATCTL) : "chatctl";
const place = mkdtempSync(join(tmpdir(), "status-"));
const bin = binary.includes("/") ? place : dirname(binary);
if (binary.includes("/")) symlinkSync(binary, join(place, "chatctl"));
const environment = { ...process.env, PATH: `${bin}:${process.env.PATH}`, TERM: "xterm-256color" };
delete environment.NO_COLOR;
delete environment.CHATCTL;
writeFileSync(join(place, "chatcluster.yaml"), MANIFEST);

const command = `stty cols ${COLUMNS} rows ${ROWS}; exec chatctl local -f chatcluster.yaml --port 0 --demo-port 0`;
const stack = spawn("script", ["-qefc", command, "/dev/null"], { cwd: place, env: environment, stdio: ["pipe", "pipe", "inherit"] });
const terminal = new Terminal();
const decoder = new TextDecoder();
let url;
let load;
let drained = false;
let picture;
const done = new Promise((finish, fail) => {
  setTimeout(() => fail(new Error(`nothing to picture after ${DEADLINE_MS} ms`)), DEADLINE_MS).unref();
  stack.on("exit", (code) => fail(new Error(`chatctl local ended with ${code}`)));
  stack.stdout.on("data", (bytes) => {
    terminal.write(decoder.decode(bytes, { stream: true }));
    const lines = terminal.text();
    const screen = lines.join("\n");
    url ??= screen.match(/ready after .*?: (http:\/\/\S+)/)?.[1];
    if (url && !load) {
      const talk = ["load", "--url", url, "--users", "900", "--groups", "45x20", "--rate", "300", "--duration", "50s"];
      load = spawn("chatctl", talk, { cwd: place, env: environment, stdio: "ignore" });
    }
    const last = lines.findLastIndex((line) => / of \d+ gateways? ready/.test(line));
    const view = lines.slice(last).join("\n");
    if (!drained && /gateway-1 .* 300\//.test(view) && Number(view.match(/gateway-1 .*? (\d+) sends/)?.[1]) > 50) {
      drained = true;
      spawnSync("chatctl", ["gateways", "drain", "gateway-1"], { cwd: place, env: environment });
    }
    const left = Number(view.match(/gateway-1 +draining .*? (\d+)\/300/)?.[1]);
    if (left > 100 && left < 200 && /gateway-3 +ready/.test(view) && /scaling +\d/.test(view)) {
      const first = lines.findLastIndex((line) => line.startsWith("Ctrl-C ends it"));
      picture = terminal.rows.slice(first + 1).filter((row) => row.some((cell) => cell.character !== " "));
      finish();
    }
  });
});
try {
  await done;
  writeFileSync(join(import.meta.dirname, "status.svg"), svg(picture));
} finally {
  stack.removeAllListeners("exit");
  load?.kill("SIGINT");
  stack.stdin.write("\x03");
  await new Promise((ended) => stack.on("close", ended));
  rmSync(place, { recursive: true });
}
