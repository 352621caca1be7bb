// Loads the page and starts it. A form can be filled in and submitted before that; the page sends it once it has started.
// Shows an error if the start fails or if the page crashes later.
const trouble = document.getElementById("trouble");
const buttons = [...document.querySelectorAll("#page [data-busy]")].map((button) => [button, button.textContent]);
let deferred;
const defer = (event) => {
  const button = event.target.querySelector("[data-busy]");
  if (!button) return;
  event.preventDefault();
  deferred = button;
  deferred.textContent = deferred.dataset.busy;
  deferred.classList.add("is-busy");
};
addEventListener("submit", defer);
buttons.forEach(([button]) => (button.disabled = false));
const showError = (cause, text) => {
  console.error(cause);
  for (const [button, label] of buttons) {
    button.textContent = label;
    button.classList.remove("is-busy");
    button.disabled = true;
  }
  delete document.documentElement.dataset.session;
  if (text) trouble.firstChild.textContent = text;
  if (!globalThis.WebAssembly) trouble.lastChild.textContent = "WebAssembly is switched off in this browser. Allow it for this site, then reload the page.";
  trouble.hidden = false;
};
const onCrash = (cause) => {
  if (globalThis.WebAssembly && cause instanceof WebAssembly.RuntimeError) showError(cause, "This page has stopped working. ");
};
import(script).then(async (page) => {
  await page.default({ module_or_path: wasm });
  await asked;
  stopAsking();
  await page.start();
  removeEventListener("submit", defer);
  // The timeout lets the page's effects run first.
  if (deferred) setTimeout(() => document.getElementById(deferred.id)?.form.requestSubmit());
  addEventListener("error", (event) => onCrash(event.error));
  addEventListener("unhandledrejection", (event) => onCrash(event.reason));
}).catch((cause) => showError(cause));
