// Loads the page and starts it. A form can be filled in and submitted before that; the page sends it once it has started.
// Shows an error if the start fails or if the page crashes later.
const trouble = document.getElementById("trouble");
const buttons = [...document.querySelectorAll("#page [data-busy]")].map((button) => [button, button.textContent]);
let sent;
const early = (event) => {
  const button = event.target.querySelector("[data-busy]");
  if (!button) return;
  event.preventDefault();
  sent = button;
  sent.textContent = sent.dataset.busy;
  sent.classList.add("is-busy");
};
addEventListener("submit", early);
buttons.forEach(([button]) => (button.disabled = false));
const say = (cause, what) => {
  console.error(cause);
  for (const [button, label] of buttons) {
    button.textContent = label;
    button.classList.remove("is-busy");
    button.disabled = true;
  }
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
  removeEventListener("submit", early);
  // The timeout lets the page's effects run first.
  if (sent) setTimeout(() => document.getElementById(sent.id)?.form.requestSubmit());
  addEventListener("error", (event) => broken(event.error));
  addEventListener("unhandledrejection", (event) => broken(event.reason));
}).catch((cause) => say(cause));
