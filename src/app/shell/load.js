// Loads the page and starts it. Says so if that takes long, if it fails, and if the page breaks later.
const trouble = document.getElementById("trouble");
const buttons = [...document.querySelectorAll("#page [type=submit]")].map((button) => [button, button.textContent]);
const label = (text) => buttons.forEach(([button, before]) => (button.textContent = text ?? before));
const late = setTimeout(label, 1000, "Loading…");
const say = (cause, what) => {
  console.error(cause);
  clearTimeout(late);
  label();
  delete document.documentElement.dataset.session;
  if (what) trouble.firstChild.textContent = what;
  if (!globalThis.WebAssembly) trouble.lastChild.textContent = "WebAssembly is switched off in this browser. Allow it for this site, then reload the page.";
  trouble.hidden = false;
};
const broken = (cause) => {
  if (globalThis.WebAssembly && cause instanceof WebAssembly.RuntimeError) say(cause, "This page has stopped working. ");
};
import(script).then(async (page) => {
  await page.default({ module_or_path: wasm });
  await asked;
  page.start();
  clearTimeout(late);
  addEventListener("error", (event) => broken(event.error));
  addEventListener("unhandledrejection", (event) => broken(event.reason));
}).catch((cause) => say(cause));
