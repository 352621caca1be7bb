// Runs every code block of README.md in order, with the real program on its real port. `.ci/readme` starts it in an
// isolated environment, where it may install services and change /etc. Arguments: the program, a Python with requests
// and Streamlit, one with Streamlit 1.45, and the built app of the Rust block.
import { createServer } from "node:http";
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "@playwright/test";

import { findChromium } from "./support/chromium.mjs";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const [program = "", python = "", oldPython = "", rustApp = ""] = process.argv.slice(2);
const home = mkdtempSync(join(tmpdir(), "vestibule-readme-"));
const TIMEOUT_MS = 30_000;
/** The address of README's server. */
const URL_HERE = "http://127.0.0.1:8000";
/** Variables that a reader's shell would still have in the next block. */
const shell = new Map([["PATH", `${home}/bin:${process.env.PATH}`]]);

/** @typedef {{ heading: string, language: string, text: string, line: number }} Block */

/** @returns {Block[]} */
function readBlocks() {
  const found = [];
  let heading = "";
  /** @type {Block | undefined} */
  let open;
  for (const [index, line] of readFileSync(join(root, "README.md"), "utf8").split("\n").entries()) {
    if (open && line === "```") {
      found.push(open);
      open = undefined;
    } else if (open) {
      open.text += `${line}\n`;
    } else if (line.startsWith("```")) {
      open = { heading, language: line.slice(3), text: "", line: index + 2 };
    } else if (line.startsWith("#")) {
      heading = line.replace(/^#+ /, "");
    }
  }
  return found;
}

/**
 * Runs a program to its end and returns what it printed.
 * @param {string} command
 * @param {string[]} words
 * @param {import("node:child_process").SpawnSyncOptionsWithStringEncoding | object} options
 */
function run(command, words, options = {}) {
  const result = spawnSync(command, words, { cwd: home, encoding: "utf8", timeout: 120_000, ...options });
  if (result.error || result.status !== 0) {
    const why = result.error?.message ?? `status ${result.status}`;
    throw new Error(`${command} ${words[0] ?? ""}: ${why}\n${result.stdout ?? ""}${result.stderr ?? ""}`);
  }
  return result.stdout;
}

/**
 * Starts a program that keeps running. The isolated environment ends with it.
 * @param {string} command
 * @param {string[]} words
 * @param {string} cwd
 * @param {Record<string, string>} environment
 */
function start(command, words, cwd = home, environment = {}) {
  const env = { ...process.env, ...environment };
  const child = spawn(command, words, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  child.stdout.on("data", (chunk) => (printed += chunk));
  child.stderr.on("data", (chunk) => (printed += chunk));
  const ended = new Promise((done) => child.on("exit", done));
  return { stop: () => (child.kill(), ended), printed: () => printed };
}

/**
 * Waits until a URL responds with a status.
 * @param {string} url
 * @param {RequestInit} request
 */
async function answer(url, request = {}) {
  const end = Date.now() + TIMEOUT_MS;
  for (;;) {
    try {
      return await fetch(url, request);
    } catch (cause) {
      if (Date.now() > end) throw new Error(`${url} does not respond`, { cause });
      await new Promise((next) => setTimeout(next, 50));
    }
  }
}

/**
 * @param {boolean} holds
 * @param {string} what
 */
function expect(holds, what) {
  if (!holds) throw new Error(`expected: ${what}`);
}

/** Runs a block of shell as a reader types it: variables persist, and a curl with an error status fails the block. */
function inShell(/** @type {string} */ text, cwd = home) {
  const script = `
    set -euo pipefail
    curl() { command curl --silent --show-error --fail-with-body "$@"; }
    cd ${cwd}
    ${text}
    for name in BASE TOKEN DATABASE_URL; do [ -z "\${!name:-}" ] || printf '\\nvariable %s=%s\\n' "$name" "\${!name}"; done`;
  const printed = run("bash", ["-c", script], { env: { ...process.env, ...Object.fromEntries(shell) } });
  for (const [, name, value] of printed.matchAll(/^variable (\w+)=(.*)$/gm)) shell.set(name, value);
  return printed;
}

/** Writes the block into the configuration file and lets the program read it. */
function checkConfiguration(/** @type {Block} */ block) {
  const folder = mkdtempSync(join(home, "config-"));
  writeFileSync(join(folder, "vestibule.toml"), block.text);
  return run(program, ["check-config"], { cwd: folder });
}

/** How each block is run, by its heading and its language. A block that is missing here fails. */
/** @type {Record<string, (block: Block) => Promise<unknown> | unknown>} */
const sections = {
  async "Start sh"({ text }) {
    const command = text.trim();
    expect(["make run", "make test"].includes(command), "the two commands of the repository");
    run("make", ["-n", ...command.split(" ").slice(1)], { cwd: root });
    if (command === "make run") await serve();
  },
  "Use from curl sh"({ text }) {
    inShell(text);
    expect(/^vst_/.test(shell.get("TOKEN") ?? ""), "a token");
  },
  "Use from Python python"({ text }) {
    expect(run(python, ["-c", text]).trim() === "ann", "the username");
  },
  "Use from Streamlit python": useStreamlit,
  "Use from a Leptos or axum app toml": () => expect(rustApp !== "", "an app that was built from these blocks"),
  "Use from a Leptos or axum app rust": useRustApp,
  "Who may register toml": checkConfiguration,
  "Who may register sh": (block) => (block.text.includes("approve") ? useApproval : useInvitations)(block),
  "On a server sh": useUnit,
  "In a container sh": useContainer,
  "Behind a proxy toml": checkConfiguration,
  "Behind a proxy nginx": useNginx,
  "Behind a proxy caddy": useCaddy,
  "fail2ban ini": useFail2ban,
  "From a browser app of another origin toml": checkConfiguration,
  "Mail toml": checkConfiguration,
  "With PostgreSQL sh": usePostgres,
  "Backup sh": useBackup,
  "Scheduled backups toml": checkConfiguration,
  "Restore sh": useBackup,
  "Monitoring toml": checkConfiguration,
  "Check a server sh": useDoctor,
  "Move here from Django sh": importSite,
  "The command line sh": useUnit,
  "Operators sh": useOperators,
  "Audit trail sh": useEvents,
};

/** @type {{ stop: () => Promise<unknown>, printed: () => string } | undefined} */
let server;
const data = join(home, "data");
/** The files that `make dist` packs. */
const archive = join(home, "archive");

/** @param {Record<string, string>} environment */
async function serve(environment = {}) {
  mkdirSync(data, { recursive: true });
  server = start(join(home, "bin/vestibule"), [], data, environment);
  expect((await answer(`${URL_HERE}/readyz`)).status === 200, "a server that is ready");
}

/** Enables the unit, or runs a command beside the server of the unit. */
async function useUnit(/** @type {Block} */ { heading, text }) {
  if (text.includes("systemctl")) await server?.stop();
  inShell(text, archive);
  expect((await answer(`${URL_HERE}/readyz`)).status === 200, "a server that is ready");
  if (heading === "On a server" && !text.includes("systemctl")) await replace("nobody");
}

/** Stops the server of another user, and starts the reader's server. */
async function replace(/** @type {string} */ user) {
  run("pkill", ["--uid", user, "vestibule"]);
  const end = Date.now() + TIMEOUT_MS;
  while (await fetch(`${URL_HERE}/healthz`).then(() => true, () => false)) {
    expect(Date.now() < end, `the server of ${user} stops`);
    await new Promise((next) => setTimeout(next, 50));
  }
  await serve();
}

/** Runs commands in a folder with an account. */
function useInvitations(/** @type {Block} */ { text }) {
  const folder = mkdtempSync(join(home, "invitations-"));
  // The commands are not about the database of an earlier block.
  shell.delete("DATABASE_URL");
  run(program, ["migrate"], { cwd: folder });
  const printed = inShell(text, folder);
  expect(printed.split("/invite#vsi_").length === 3, "two links");
  expect(printed.includes("ann@example.org") && printed.includes("workshop"), "a list of both invitations");
}

/** Decides about two accounts that wait for approval. */
function useApproval(/** @type {Block} */ { text }) {
  const folder = mkdtempSync(join(home, "approval-"));
  shell.delete("DATABASE_URL");
  for (const name of ["ann", "bob"]) {
    run(program, ["user", "add", `${name}@example.org`, name], { cwd: folder, input: "walrus orchard lantern\n" });
  }
  // As if they had registered while an operator must approve accounts.
  const wait = "c = sqlite3.connect('vestibule.db'); c.execute('UPDATE users SET pending_since = created_at'); c.commit()";
  run(python, ["-c", `import sqlite3; ${wait}`], { cwd: folder });
  const printed = inShell(text, folder);
  expect(printed.includes("The account ann is approved.") && printed.includes("bob was declined"), "two decisions");
}

function useOperators(/** @type {Block} */ { text }) {
  const folder = mkdtempSync(join(home, "operators-"));
  // The commands are not about the database of an earlier block.
  shell.delete("DATABASE_URL");
  run(program, ["user", "add", "ann@example.org", "ann"], { cwd: folder, input: "walrus orchard lantern\n" });
  const printed = inShell(text, folder);
  if (text.includes("operator link")) {
    expect(printed.includes("http://127.0.0.1:8000/setup#vsl_"), "a link that makes the first admin");
  } else {
    expect(run(program, ["user", "show", "ann"], { cwd: folder }).includes("editors"), "an editor");
  }
}

/** Reads the audit trail of a folder with an account. */
function useEvents(/** @type {Block} */ { text }) {
  const folder = mkdtempSync(join(home, "events-"));
  shell.delete("DATABASE_URL");
  run(program, ["user", "add", "ann@example.org", "ann"], { cwd: folder, input: "walrus orchard lantern\n" });
  const printed = inShell(text, folder);
  if (text.includes("--person")) expect(printed.includes("account.create"), "the event of the new account");
}

/** The folder of a Django site with a user model of its own. */
const site = join(home, "site");

/** Imports the site's accounts. Some are skipped, which is exit status 3. */
function importSite(/** @type {Block} */ { text }) {
  mkdirSync(join(site, "mysite"), { recursive: true });
  copyFileSync(join(root, "src/tests/fixtures/django-site.sqlite3"), join(site, "mysite/db.sqlite3"));
  shell.delete("DATABASE_URL");
  const printed = inShell(text.replaceAll(/^vestibule import .*$/gm, "$& || [ $? = 3 ]"), site);
  expect(printed.includes("skipped"), "a summary");
  if (!text.includes("--dry-run")) expect(printed.includes("ann@example.org"), "the account of ann");
}

async function useContainer(/** @type {Block} */ { text }) {
  await server?.stop();
  // A reader runs the next command after the server has started.
  const started = "until vestibule health 2>/dev/null; do sleep 0.05; done";
  inShell(text.replace("podman exec", `${started}\npodman exec`), archive);
  const request = { headers: { Host: "accounts.example.org" } };
  expect((await answer(`${URL_HERE}/healthz`, request)).status === 200, "a server in the container");
  await replace("vestibule");
}

async function useNginx(/** @type {Block} */ { text }) {
  const name = "/etc/ssl/accounts.example.org";
  const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=accounts.example.org"];
  run("openssl", [...request, "-keyout", `${name}.key`, "-out", `${name}.pem`]);
  writeFileSync("/etc/hosts", "127.0.0.1 localhost accounts.example.org\n");
  const folder = join(home, "nginx");
  mkdirSync(folder);
  writeFileSync(join(folder, "nginx.conf"), `daemon off; pid ${folder}/pid; events {} http { access_log off; ${text} }`);
  await logInThrough(start("nginx", ["-p", folder, "-e", "stderr", "-c", join(folder, "nginx.conf")]));
}

async function useCaddy(/** @type {Block} */ { text }) {
  // The certificate is self-signed, because no public CA can be reached.
  writeFileSync(join(home, "Caddyfile"), `{\n local_certs\n skip_install_trust\n}\n${text}`);
  await logInThrough(start("caddy", ["run", "--config", join(home, "Caddyfile"), "--adapter", "caddyfile"]));
}

/** Checks that the filter finds a failed login, and that the jail accepts the filter. */
async function useFail2ban(/** @type {Block} */ { text }) {
  if (!text.includes("[Definition]")) {
    writeFileSync("/etc/fail2ban/jail.d/vestibule.conf", text);
    expect(run("fail2ban-client", ["-d"]).includes("['start', 'vestibule']"), "a jail that starts");
    return;
  }
  const login = { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"email":"x","password":"y"}' };
  await fetch(`${URL_HERE}/api/accounts/api_auth/`, login);
  const log = join(home, "fail2ban.log");
  writeFileSync(log, server?.printed() ?? "");
  writeFileSync("/etc/fail2ban/filter.d/vestibule.conf", text);
  const printed = run("fail2ban-regex", [log, "vestibule"]);
  expect(/Failregex: [1-9]\d* total/.test(printed), `failed logins in the log: ${printed}`);
}

/** Logs in through a proxy under the public name, as the page does, and stops the proxy. */
async function logInThrough(/** @type {ReturnType<typeof start>} */ proxy) {
  await server?.stop();
  await serve({
    VESTIBULE_SERVER_PUBLIC_URL: "https://accounts.example.org",
    VESTIBULE_SERVER_TRUSTED_PROXIES: "127.0.0.1",
  });
  const origin = "https://accounts.example.org";
  const login = JSON.stringify({ email: "ann@example.org", password: "violet-anchor-37-meadow" });
  const page = ["-H", `Origin: ${origin}`, "-H", "Sec-Fetch-Site: same-origin", "-H", "Content-Type: application/json"];
  run("bash", ["-c", `until curl --silent --insecure --fail ${origin}/readyz; do sleep 0.05; done`], { timeout: TIMEOUT_MS });
  const printed = run("curl", ["--silent", "--insecure", "--fail-with-body", ...page, "-d", login, `${origin}/fn/login`]);
  expect(printed.includes("vst_"), "a token");
  await proxy.stop();
  await server?.stop();
  await serve();
}

/** An empty PostgreSQL, as a reader has installed it. */
function startPostgres() {
  const folder = join(home, "postgres");
  const bin = run("pg_config", ["--bindir"]).trim();
  mkdirSync(folder);
  run("chown", ["postgres", folder]);
  run("chmod", ["755", home]);
  const as = ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"];
  run("setpriv", [...as, join(bin, "initdb"), "--auth=trust", "--pgdata", folder], { cwd: "/" });
  const options = ["-D", folder, "-c", "listen_addresses=127.0.0.1", "-c", `unix_socket_directories=${folder}`];
  start("setpriv", [...as, join(bin, "postgres"), ...options], "/");
  run("bash", ["-c", `until pg_isready -q -h 127.0.0.1; do :; done`], { timeout: TIMEOUT_MS });
  shell.set("PGHOST", "127.0.0.1").set("PGUSER", "postgres");
}

function usePostgres(/** @type {Block} */ { text }) {
  if (!shell.has("PGHOST")) startPostgres();
  if (!text.includes("CREATE ROLE")) shell.set("DATABASE_URL", "postgres://vestibule:choose-one@127.0.0.1/app");
  if (!text.includes("CREATE ROLE")) run("psql", ["-h", "127.0.0.1", "-U", "postgres", "-c", "CREATE DATABASE app OWNER vestibule"]);
  inShell(`${text}\nvestibule migrate`);
}

async function useBackup(/** @type {Block} */ { text }) {
  if (text.includes("pg_dump")) {
    shell.set("DATABASE_URL", "postgres://vestibule:choose-one@127.0.0.1/vestibule");
    inShell(text);
    return;
  }
  shell.delete("DATABASE_URL");
  const restores = text.includes("restore");
  if (restores) await server?.stop();
  inShell(text, data);
  if (restores) {
    await serve();
    const old = { headers: { Authorization: `Bearer ${shell.get("TOKEN")}` } };
    expect((await answer(`${URL_HERE}/api/accounts/me/`, old)).status === 401, "no old token after a restore");
  }
}

/** Checks the running server. */
function useDoctor(/** @type {Block} */ { text }) {
  shell.delete("DATABASE_URL");
  const printed = inShell(text, data);
  expect(/^OK +server /m.test(printed) && !/^wrong/m.test(printed), "a server in good order");
}

async function useRustApp() {
  const app = start(rustApp, []);
  const url = "http://127.0.0.1:3000/";
  const login = { email: "ann@example.org", password: "violet-anchor-37-meadow" };
  const request = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(login) };
  const { token } = await (await fetch(`${URL_HERE}/api/accounts/api_auth/`, request)).json();
  const cookie = { headers: { Cookie: `token=${token}` } };
  expect(/^ann is /.test(await (await answer(url, cookie)).text()), "the app knows the account");
  expect((await answer(url)).status === 401, "nobody without a token");
  const bearer = { method: "POST", headers: { Authorization: `Bearer ${token}` } };
  await fetch(`${URL_HERE}/api/accounts/logout/`, bearer);
  expect((await answer(url, cookie)).status === 401, "nobody after the logout");
  await app.stop();
}

/** @param {string} python */
async function startStreamlit(python) {
  const options = ["--server.headless=true", "--server.port=8501", "--browser.gatherUsageStats=false"];
  const app = start(python, ["-m", "streamlit", "run", ...options, "app.py"]);
  await answer("http://127.0.0.1:8501/_stcore/health");
  return app;
}

async function useStreamlit(/** @type {Block} */ { text }) {
  writeFileSync(join(home, "app.py"), text);
  const app = await startStreamlit(python);
  const browser = await chromium.launch({ executablePath: findChromium(), args: ["--no-sandbox", "--disable-gpu"] });
  try {
    const page = await browser.newPage();
    await page.goto("http://127.0.0.1:8501/");
    const choose = async (/** @type {string} */ view) => {
      await page.getByRole("combobox", { name: "Account" }).click();
      await page.getByRole("option", { name: view }).click();
    };
    await choose("Register");
    await page.getByRole("textbox", { name: "Email", exact: true }).fill("bea@example.org");
    await page.getByRole("textbox", { name: "Username", exact: true }).fill("bea");
    await page.getByRole("textbox", { name: "Password" }).fill("violet-anchor-37-meadow");
    await page.getByRole("button", { name: "Register" }).click();
    await page.getByRole("heading", { name: "Hello, bea" }).waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Email or username").fill("bea");
    const password = page.getByRole("textbox", { name: "Password" });
    const logIn = page.getByRole("button", { name: "Log in" });
    await password.fill("wrong");
    await logIn.click();
    await page.getByText("rong email or password").or(page.getByText("password is wrong")).waitFor();
    await password.fill("violet-anchor-37-meadow");
    await logIn.click();
    await page.getByRole("heading", { name: "Hello, bea" }).waitFor();
    await server?.stop();
    const awake = page.getByRole("button", { name: "Log out" });
    const proxy = createServer((_, response) => response.writeHead(502).end("<h1>Bad Gateway</h1>"));
    await new Promise((listening) => proxy.listen(8000, "127.0.0.1", () => listening(undefined)));
    await awake.click();
    await page.getByText("can't be reached").waitFor();
    proxy.closeAllConnections();
    await new Promise((closed) => proxy.close(closed));
    await serve({ VESTIBULE_SERVER_TRUSTED_PROXIES: "127.0.0.1" });
    await findAddress(browser);
    await app.stop();
    const older = await startStreamlit(oldPython);
    await findAddress(browser);
    await older.stop();
  } finally {
    await browser.close();
  }
  await server?.stop();
  await serve();
}

/**
 * Logs in to the app through nginx from another address, and finds that address in the server's log.
 * @param {import("@playwright/test").Browser} browser
 */
async function findAddress(browser) {
  const client = "192.0.2.7";
  if (!run("ip", ["address", "show", "lo"]).includes(client)) run("ip", ["address", "add", `${client}/32`, "dev", "lo"]);
  const folder = mkdtempSync(join(home, "nginx-"));
  const headers = [
    "proxy_http_version 1.1",
    "proxy_set_header Host $http_host",
    "proxy_set_header Upgrade $http_upgrade",
    'proxy_set_header Connection "upgrade"',
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for",
  ];
  const site = `server { listen ${client}:8502; location / { proxy_pass http://127.0.0.1:8501; ${headers.join("; ")}; } }`;
  writeFileSync(join(folder, "nginx.conf"), `daemon off; pid ${folder}/pid; events {} http { access_log off; ${site} }`);
  const proxy = start("nginx", ["-p", folder, "-e", "stderr", "-c", join(folder, "nginx.conf")]);
  await answer(`http://${client}:8502/_stcore/health`);
  const page = await browser.newPage();
  await page.goto(`http://${client}:8502/`);
  const failures = () => (server?.printed() ?? "").split("\n").filter((line) => line.includes("login failed"));
  const before = failures().length;
  await page.getByLabel("Email or username").fill("bea");
  await page.getByRole("textbox", { name: "Password" }).fill("wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("rong email or password").or(page.getByText("password is wrong")).waitFor();
  const lines = failures().slice(before);
  expect(lines.length === 1 && (lines[0] ?? "").includes(client), `the person's address in: ${lines.join("\n")}`);
  await page.close();
  await proxy.stop();
}

/** Writes the blocks of the section for Leptos and axum as a package. */
function writeRustApp(/** @type {string} */ folder) {
  const heading = "Use from a Leptos or axum app";
  const of = (/** @type {string} */ language) =>
    readBlocks().find((block) => block.heading === heading && block.language === language)?.text ?? "";
  writeFileSync(join(folder, "Cargo.toml"), `[package]\nname = "app"\nversion = "0.1.0"\nedition = "2024"\n\n${of("toml")}\n[workspace]\n`);
  writeFileSync(join(folder, "src/main.rs"), of("rust"));
}

if (process.argv[2] === "--app") {
  writeRustApp(process.argv[3] ?? ".");
  process.exit(0);
}
for (const folder of [join(home, "bin"), archive]) mkdirSync(folder);
for (const file of readdirSync(join(root, ".ci/readme.d"))) {
  copyFileSync(join(root, ".ci/readme.d", file), join(home, "bin", file));
}
copyFileSync(program, join(home, "bin/vestibule"));
copyFileSync(program, join(archive, "vestibule"));
for (const file of ["vestibule.service", "Containerfile"]) copyFileSync(join(root, ".ci", file), join(archive, file));
copyFileSync(join(root, "Leptos.toml"), join(archive, "vestibule.toml"));
let failed = 0;
const blocks = readBlocks();
for (const block of blocks) {
  const name = `${block.heading} ${block.language}`;
  try {
    const handler = sections[name];
    if (!handler) throw new Error("no step of end2end/readme.mjs runs it");
    await handler(block);
    console.log(`ok      README.md:${block.line} ${name}`);
  } catch (cause) {
    failed += 1;
    console.log(`FAILED  README.md:${block.line} ${name}: ${cause instanceof Error ? cause.message : cause}`);
  }
}
console.log(`${blocks.length - failed} blocks ran, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
