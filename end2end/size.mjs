// The cost of a first visit: the bytes of the page, its style, script and WebAssembly as sent to a browser.
import { get } from "node:http";
import { gunzipSync } from "node:zlib";
import { Server } from "./support/server.mjs";

const BUDGET = 119_000;

/**
 * The bytes as sent to a browser: files in Brotli, compressed once, and pages in gzip.
 * @param {string} url
 * @returns {Promise<Buffer>}
 */
function fetchRaw(url) {
  return new Promise((resolve, reject) => {
    const request = get(url, { headers: { "Accept-Encoding": "gzip, deflate, br, zstd" } }, (response) => {
      /** @type {Buffer[]} */
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks));
        else reject(new Error(`${url} returns ${response.statusCode}`));
      });
    });
    request.on("error", reject);
  });
}

const server = new Server();
try {
  await server.start();
  const html = await fetchRaw(`${server.url}/login`);
  const text = gunzipSync(html).toString();
  // Each of these saves a round trip at the first visit.
  if (!text.includes("<style nonce") || text.includes('rel="stylesheet"')) throw new Error("the style is not in the page");
  if (!/rel="preload" href="[^"]*\.wasm"/.test(text)) throw new Error("the page doesn't preload its WebAssembly");
  const links = [...new Set(text.match(/\/pkg\/[\w./-]+/g))];
  const sizes = [["HTML", html.length]];
  for (const link of links) sizes.push([link, (await fetchRaw(server.url + link)).length]);
  const sum = sizes.reduce((sum, [, bytes]) => sum + Number(bytes), 0);
  for (const [what, bytes] of [...sizes, ["in all", sum], ["budget", BUDGET]]) {
    console.log(String(bytes).padStart(8), what);
  }
  if (links.length < 3) throw new Error("the page doesn't name its style, script and WebAssembly");
  if (sum > BUDGET) throw new Error(`a first visit costs ${sum - BUDGET} bytes more than the budget`);
} catch (cause) {
  console.error(String(cause));
  process.exitCode = 1;
} finally {
  await server.remove();
}
