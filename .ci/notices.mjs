// Prints the licences of all crates in the program and its page, with the texts that the crates contain. Most licences
// require that a distribution of the program includes them.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const builds = [
  ["--features", "ssr", "--filter-platform", process.argv[2]],
  ["--no-default-features", "--features", "browser", "--filter-platform", "wasm32-unknown-unknown"],
];

/** The crates that one build links, by name and version. */
function linked(options) {
  const metadata = execFileSync("cargo", ["metadata", "--locked", "--format-version", "1", ...options], { maxBuffer: 1 << 28 });
  const { packages, resolve } = JSON.parse(metadata);
  const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
  const seen = new Set();
  const queue = [resolve.root];
  for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
    if (seen.has(id)) continue;
    seen.add(id);
    const normal = nodes.get(id).deps.filter((dep) => dep.dep_kinds.some(({ kind }) => kind === null));
    queue.push(...normal.map((dep) => dep.pkg));
  }
  seen.delete(resolve.root);
  return packages.filter(({ id }) => seen.has(id)).map((crate) => [`${crate.name} ${crate.version}`, crate]);
}

const crates = new Map(builds.flatMap(linked).sort(([one], [other]) => (one < other ? -1 : 1)));
const texts = new Map();
for (const [name, crate] of crates) {
  const folder = dirname(crate.manifest_path);
  const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|copyright|notice|unlicense)/i.test(file));
  for (const file of files.sort()) {
    let text;
    try {
      text = readFileSync(join(folder, file), "utf8").trim();
    } catch {
      continue; // It is a folder of that name.
    }
    texts.set(text, [...(texts.get(text) ?? []), name]);
  }
}
const rule = "=".repeat(80);
console.log("Third-party software in Vestibule, and its licences.\n");
for (const [name, crate] of crates) console.log(`${name}: ${crate.license ?? "see below"}`);
for (const [text, names] of texts) console.log(`\n${rule}\n${names.join(", ")}\n${rule}\n\n${text}`);
