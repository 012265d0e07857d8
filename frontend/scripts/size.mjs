/**
 * Fails when the first load weighs more than its budget: the page, what it names, all scripts that these need at once, the heaviest
 * page of the app, and the fonts in Latin letters. Compressed as the host sends it.
 */
import { readFileSync } from "node:fs";
import { brotliCompressSync } from "node:zlib";

const BUDGET_KB = 250;
const dist = new URL("../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8"));

const weigh = (file) => {
  const bytes = readFileSync(new URL(file, dist));
  return file.endsWith(".woff2") ? bytes.length : brotliCompressSync(bytes).length;
};

/** An entry's files with those that are loaded with it. */
const closure = (key, files = new Set()) => {
  const { file, css = [], imports = [] } = manifest[key];
  if (!files.has(file)) {
    files.add(file);
    css.forEach((sheet) => files.add(sheet));
    imports.forEach((other) => closure(other, files));
  }
  return files;
};

const sum = (files) => [...files].reduce((total, file) => total + weigh(file), 0);

const entry = Object.keys(manifest).find((key) => manifest[key].isEntry);
const first = closure(entry).add("index.html").add("favicon.svg");
for (const { file } of Object.values(manifest)) {
  if (file.endsWith(".woff2") && !file.includes("latin-ext")) {
    first.add(file);
  }
}
// Frame and page of the settings, the largest page there is.
const pages = Object.keys(manifest).filter((key) => manifest[key].isDynamicEntry);
const frame = pages.find((key) => key.endsWith("SettingsRoute.tsx"));
const added = pages.map((key) => closure(key, closure(frame, new Set(first))));
const heaviest = added.reduce((one, other) => (sum(other) > sum(one) ? other : one), first);

const kb = (bytes) => (bytes / 1000).toFixed(1);
console.log(`first load: ${kb(sum(first))} KB for the sign-in, ${kb(sum(heaviest))} KB for the heaviest page, of ${BUDGET_KB} KB`);
if (sum(heaviest) > BUDGET_KB * 1000) {
  for (const file of [...heaviest].toSorted((one, other) => weigh(other) - weigh(one))) {
    console.log(`  ${kb(weigh(file)).padStart(6)} KB  ${file}`);
  }
  process.exit(1);
}
