/** Makes `dist`, or with `--check` tells whether it is what the sources give. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

async function bundle() {
  const result = await build({
    entryPoints: { app: at("src/main.ts"), "app.css": at("src/app.css") },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    conditions: ["source"],
    charset: "utf8",
    legalComments: "none",
    outdir: at("dist"),
    write: false,
  });
  const files = new Map(
    result.outputFiles.map((file) => [file.path.split("/").at(-1).replace(".css.css", ".css"), file.contents]),
  );
  files.set("index.html", await readFile(at("src/index.html")));
  return files;
}

const files = await bundle();
if (process.argv.includes("--check")) {
  const stale = [];
  for (const [name, contents] of files) {
    const committed = await readFile(at(`dist/${name}`)).catch(() => Buffer.alloc(0));
    if (!committed.equals(contents)) stale.push(name);
  }
  if (stale.length > 0) {
    process.stderr.write(
      `clients/web/dist is stale (${stale.join(", ")}); run \`npm run build\` in clients and commit it\n`,
    );
    process.exitCode = 1;
  }
} else {
  await mkdir(at("dist"), { recursive: true });
  for (const [name, contents] of files) await writeFile(at(`dist/${name}`), contents);
}
