// Trims the page's WebAssembly and its scripts.
//
// node .ci/trim.mjs streams <wasm> <result>, before the page is split. It removes the exports and bindings of
// wasm-streams, with which a script reads streams from Rust. The page streams nothing. Without the exports, that code is
// unreachable, and wasm-split omits it.
//
// node .ci/trim.mjs names <wasm> <script> <loader>, after wasm-bindgen. The files are changed in place.
// 1. The WebAssembly imports each function of the script by a name that ends in a hash, which doesn't compress. The
//    functions get short names in both files.
// 2. The loader lists the shared items in the order of a hash table, so two builds would differ. The list is sorted.
// 3. The files with the code of several parts get the names of these parts, such as chunk_account_secondary.wasm. The
//    server preloads them by their names (src/build.rs).
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const CUSTOM = 0;
const IMPORTS = 2;
const EXPORTS = 7;
const FUNCTION = 0;
/** The section from which wasm-bindgen learns what to export and import. */
const BINDINGS = "__wasm_bindgen_unstable";
const HASHED = /^__wbg_\w+_[0-9a-f]{16}$/;
const STREAMS = /intounderlying/i;

/** Reads a module or a section sequentially. */
class Reader {
  #at = 0;

  /** @param {Buffer} bytes */
  constructor(bytes) {
    this.bytes = bytes;
  }
  get done() {
    return this.#at >= this.bytes.length;
  }
  /** @param {number} count */
  take(count) {
    this.#at += count;
    return this.bytes.subarray(this.#at - count, this.#at);
  }
  /** Reads bytes that follow their count in 32 bits. */
  counted() {
    return this.take(this.take(4).readUInt32LE());
  }
  /** Reads an unsigned number (LEB128). */
  number() {
    let [value, factor] = [0, 1];
    for (;;) {
      const byte = this.take(1).readUInt8();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
  }
  name() {
    return this.take(this.number()).toString();
  }
}

/** @param {number} value */
function number(value) {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Buffer.from([...bytes, value]);
}

/** @param {string | Buffer} content */
function sized(content) {
  const bytes = Buffer.from(content);
  return Buffer.concat([number(bytes.length), bytes]);
}

/**
 * Replaces the contents of sections.
 * @param {string} path
 * @param {(id: number, section: Buffer) => Buffer} change
 */
function changeSections(path, change) {
  const module = new Reader(readFileSync(path));
  const changed = [module.take(8)];
  while (!module.done) {
    const id = module.number();
    changed.push(number(id), sized(change(id, module.take(module.number()))));
  }
  return Buffer.concat(changed);
}

/** @param {Buffer} section */
function dropStreamExports(section) {
  const reader = new Reader(section);
  const entries = [];
  for (let left = reader.number(); left > 0; left--) {
    const [name, kind, index] = [reader.name(), reader.number(), reader.number()];
    if (!STREAMS.test(name)) entries.push(Buffer.concat([sized(name), number(kind), number(index)]));
  }
  return Buffer.concat([number(entries.length), ...entries]);
}

/**
 * Each use of wasm-bindgen's macro has an entry: a version and a description.
 * @param {Buffer} section
 */
function dropStreamBindings(section) {
  const reader = new Reader(section);
  const name = reader.name();
  if (name !== BINDINGS) return section;
  const entries = [sized(name)];
  let dropped = 0;
  while (!reader.done) {
    const entry = [reader.counted(), reader.counted()];
    if (STREAMS.test(entry[1].toString("latin1"))) dropped++;
    else for (const bytes of entry) entries.push(u32(bytes.length), bytes);
  }
  if (dropped === 0) throw new Error("the classes of wasm-streams were not found; adapt .ci/trim.mjs");
  return Buffer.concat(entries);
}

/** @param {number} value */
function u32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** @param {string} wasm @param {string} result */
function dropStreams(wasm, result) {
  const change = new Map([[EXPORTS, dropStreamExports], [CUSTOM, dropStreamBindings]]);
  writeFileSync(result, changeSections(wasm, (id, section) => change.get(id)?.(section) ?? section));
}

/** @param {string} wasm @param {string} script @param {string} loader */
function shortenNames(wasm, script, loader) {
  /** @type {Map<string, string>} */
  const short = new Map();
  const rename = (/** @type {Buffer} */ section) => {
    const reader = new Reader(section);
    const count = reader.number();
    const entries = [number(count)];
    for (let entry = 0; entry < count; entry++) {
      const [module, name, kind] = [reader.name(), reader.name(), reader.number()];
      if (kind !== FUNCTION) throw new Error(`${name} is not a function, but only functions may be imported`);
      if (HASHED.test(name)) short.set(name, `_${short.size.toString(36)}`);
      entries.push(sized(module), sized(short.get(name) ?? name), number(kind), number(reader.number()));
    }
    return Buffer.concat(entries);
  };
  writeFileSync(wasm, changeSections(wasm, (id, section) => (id === IMPORTS ? rename(section) : section)));
  if (short.size === 0) throw new Error("the names of wasm-bindgen's functions have changed; adapt .ci/trim.mjs");
  const names = readFileSync(script, "utf8").replace(/\b__wbg_\w+_[0-9a-f]{16}\b/g, (name) => short.get(name) ?? name);
  writeFileSync(script, names);

  const code = readFileSync(loader, "utf8");
  const list = /\{ ((?:\w+, )+) \}/g;
  if (!list.test(code)) throw new Error("the format of wasm-split's loader has changed; adapt .ci/trim.mjs");
  const sorted = code.replace(list, (_, names) => `{ ${names.match(/\w+/g).sort().join(", ")} }`);
  const chunk = /\/\* ([\w, ]+) \*\/(\nconst __chunk_\d+ = makeLoad\(\(\) => \{\s+const src = fetch\(new URL\("\.\/)(chunk_\d+)\.wasm"/g;
  const folder = dirname(loader);
  const named = sorted.replace(chunk, (_, parts, start, old) => {
    const name = ["chunk", ...parts.split(", ").sort()].join("_");
    renameSync(join(folder, `${old}.wasm`), join(folder, `${name}.wasm`));
    return `${start}${name}.wasm"`;
  });
  if (/chunk_\d+\.wasm/.test(named)) throw new Error("the format of wasm-split's chunks has changed; adapt .ci/trim.mjs");
  writeFileSync(loader, named);
}

const [command, ...paths] = process.argv.slice(2);
if (command === "streams" && paths.length === 2) dropStreams(...paths);
else if (command === "names" && paths.length === 3) shortenNames(...paths);
else throw new Error("usage: node .ci/trim.mjs streams <wasm> <result> | names <wasm> <script> <loader>");
