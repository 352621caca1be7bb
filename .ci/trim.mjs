// Trims the output of wasm-bindgen and wasm-split: node .ci/trim.mjs <wasm> <script> <loader>. The files are changed in place.
//
// 1. The WebAssembly imports each function of the script by a name that ends in a hash, which doesn't compress. The
//    functions get short names in both files.
// 2. The classes of wasm-streams, with which a script reads streams from Rust, are always exported. The page streams
//    nothing, so they are removed, together with the code that they use.
// 3. The loader lists what the parts share in the order of a hash table, so two builds would differ. The list is sorted.
import { readFileSync, writeFileSync } from "node:fs";

const [wasmPath, scriptPath, loaderPath] = process.argv.slice(2);
if (!wasmPath || !scriptPath || !loaderPath) throw new Error("usage: node .ci/trim.mjs <wasm> <script> <loader>");

const IMPORTS = 2;
const EXPORTS = 7;
const FUNCTION = 0;
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
  /** An unsigned number (LEB128). */
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

/** @type {Map<string, string>} */
const short = new Map();

/** @param {Buffer} section */
function renameImports(section) {
  const reader = new Reader(section);
  const count = reader.number();
  const entries = [number(count)];
  for (let entry = 0; entry < count; entry++) {
    const [module, name, kind] = [reader.name(), reader.name(), reader.number()];
    if (kind !== FUNCTION) throw new Error(`${name} is not a function, but only functions may be imported`);
    if (STREAMS.test(name)) throw new Error(`${name} passes a stream to the script, so it can't be trimmed`);
    if (HASHED.test(name)) short.set(name, `_${short.size.toString(36)}`);
    entries.push(sized(module), sized(short.get(name) ?? name), number(kind), number(reader.number()));
  }
  return Buffer.concat(entries);
}

/** @param {Buffer} section */
function dropStreams(section) {
  const reader = new Reader(section);
  const entries = [];
  for (let left = reader.number(); left > 0; left--) {
    const [name, kind, index] = [reader.name(), reader.number(), reader.number()];
    if (!STREAMS.test(name)) entries.push(Buffer.concat([sized(name), number(kind), number(index)]));
  }
  return Buffer.concat([number(entries.length), ...entries]);
}

const module = new Reader(readFileSync(wasmPath));
const trimmed = [module.take(8)];
while (!module.done) {
  const id = module.number();
  const section = module.take(module.number());
  const changed = id === IMPORTS ? renameImports(section) : id === EXPORTS ? dropStreams(section) : section;
  trimmed.push(number(id), sized(changed));
}

let script = readFileSync(scriptPath, "utf8");
script = script.replace(/\b__wbg_\w+_[0-9a-f]{16}\b/g, (name) => short.get(name) ?? name);
script = script.replace(/^export class IntoUnderlying\w+ \{\n[^]*?^\}\n(if \(Symbol\.dispose\).*\n)?/gm, "");
script = script.replace(/^const IntoUnderlying\w+Finalization = [^]*?;\n/gm, "");
if (short.size === 0 || STREAMS.test(script)) throw new Error("the format of wasm-bindgen's script has changed; adapt .ci/trim.mjs");
writeFileSync(wasmPath, Buffer.concat(trimmed));
writeFileSync(scriptPath, script);

const loader = readFileSync(loaderPath, "utf8");
const list = /\{ ((?:\w+, )+) \}/g;
if (!list.test(loader)) throw new Error("the format of wasm-split's loader has changed; adapt .ci/trim.mjs");
writeFileSync(loaderPath, loader.replace(list, (_, names) => `{ ${names.match(/\w+/g).sort().join(", ")} }`));
