// Operations of users on their accounts (R20, R27, R44, R47, R110).
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { expect, register, Server, status, test, token, Vestibule } from "../support/fixtures.js";

const NEW = "orchard-walrus-lantern-quilt";

/** A row of the account view, by its label. */
const row = (page: Page, label: string) =>
  page.locator(".row").filter({ has: page.getByRole("term").getByText(label, { exact: true }) });

test("the view select offers the account after a login", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.open("/login");
  await expect(app.switcher.getByRole("option", { name: "Your account" })).toHaveCount(0);
  await app.logIn(user);
  await app.switcher.selectOption("Account");
  await expect(app.heading).toHaveText("Profile");
  await expect(page).toHaveTitle("Account · Vestibule");
  await expect(page).toHaveURL(/\/account$/);
  await expect(row(page, "Email")).toContainText(user.email);
  const pieces = await row(page, "Email").locator("dd").first().evaluate((value) => value.innerHTML.split("<wbr>"));
  expect(pieces.map((piece) => piece.replace(/<[^>]*>/g, "")).slice(0, 3), "it breaks only after @ and dots").toEqual([
    ...user.email.split(/(?<=[@.])/),
  ]);
  await expect(row(page, "Username")).toContainText(user.username);
  await page.reload();
  await app.live();
  await expect(app.heading).toHaveText("Profile");
  await expect(app.switcher).toHaveValue("/account");
});

test("a visitor of the account view logs in first, and then sees it", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.open("/account");
  await app.fillLogin(user);
  await app.loginButton.click();
  await expect(app.heading).toHaveText("Profile");
  await expect(page).toHaveURL(/\/account$/);
});

test("each part of the account has a URL, reachable directly, by links and by the back button", async (
  { page, user },
) => {
  const app = new Vestibule(page);
  await app.open("/account/security");
  await app.fillLogin(user);
  await app.loginButton.click();
  await expect(app.heading).toHaveText("Security");
  await expect(row(page, "Previous login")).toContainText("This is your first login");
  const parts = page.getByRole("navigation", { name: "Your account" });
  for (const [link, heading, address] of [
    ["Sessions", "Sessions", "/account/sessions"],
    ["Tokens", "Access tokens", "/account/tokens"],
    ["History", "History", "/account/history"],
    ["Data", "Data", "/account/data"],
    ["Profile", "Profile", "/account"],
  ]) {
    await parts.getByRole("link", { name: link, exact: true }).press("Enter");
    await expect(app.heading).toHaveText(heading);
    await expect(app.heading).toBeFocused();
    await expect(page).toHaveURL(new RegExp(`${address}$`));
    await expect(page).toHaveTitle(address === "/account" ? "Account · Vestibule" : `${link} · Vestibule`);
    await expect(parts.locator("[aria-current=page]")).toHaveText(link);
    await expect(app.switcher).toHaveValue("/account");
  }
  await page.goBack();
  await expect(app.heading).toHaveText("Data");
  await expect(app.switcher).toHaveValue("/account");
  await app.open("/account/tokens/");
  await expect(app.heading).toHaveText("Access tokens");
});

test("the history says what happened, and shows more on request", async ({ page, request, user }) => {
  const app = new Vestibule(page);
  const headers = { Authorization: `Bearer ${await token(request, user)}` };
  await app.logIn(user);
  await app.open("/account/history");
  const lines = page.locator(".part .rows > li");
  await expect(lines).toHaveText([/^You logged in\./, /^You logged in\./, /^The account was created\./]);
  await expect(lines.first()).toContainText(/\d+\.\d+\.\d+\.x.*Chrome/);
  await expect(page.getByText("This is everything.")).toBeVisible();
  for (let export_ = 0; export_ < 30; export_++) await request.get("/api/accounts/export/", { headers });
  await page.reload();
  await expect(lines).toHaveCount(25);
  await page.getByRole("button", { name: "Show more" }).press("Enter");
  await expect(lines).toHaveCount(33);
  await expect(lines.nth(25), "the first new line has the focus").toBeFocused();
  await expect(page.getByText("This is everything.")).toBeVisible();
});

test("a row opens its form in place, closes any other form, and moves the focus", async (
  { page, user, complaints },
) => {
  complaints.expect(status(400));
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.switcher.selectOption("Account");
  const [changeEmail, changeName] = ["Change email", "Change username"].map((name) => page.getByRole("button", { name }));
  const [email, name] = ["New email", "New username"].map((label) => page.getByLabel(label));
  await expect(page.getByRole("main").locator("form")).toHaveCount(0);
  await changeEmail.press("Enter");
  await expect(email).toBeFocused();
  await expect(page.getByRole("main").locator("form")).toHaveCount(1);
  await changeName.press("Enter");
  await expect(name).toBeFocused();
  await expect(email).toHaveCount(0);
  await page.getByRole("button", { name: "Cancel" }).press("Enter");
  await expect(name).toHaveCount(0);
  await expect(changeName).toBeFocused();
  await changeName.press("Enter");
  await name.fill("-");
  await page.keyboard.press("Enter");
  await expect(name).toHaveAttribute("aria-invalid", "true");
  await page.getByRole("button", { name: "Cancel" }).click();
  await changeName.click();
  await expect(name, "the form is reset").toHaveAttribute("aria-invalid", "false");
  await expect(name).toHaveValue(user.username);
});

test("the code of the account view is loaded on demand, and again after a failure", async (
  { page, user, complaints },
) => {
  complaints.expect(/split_account\.wasm net::ERR_FAILED/, /Failed to load resource/, /Failed to fetch|TypeError/);
  const app = new Vestibule(page);
  const parts: string[] = [];
  page.on("request", (request) => {
    if (request.url().includes("split_")) parts.push(request.url());
  });
  await page.route("**/split_account.wasm", (route) => route.abort());
  await app.logIn(user);
  expect(parts).toEqual([]);
  await app.switcher.selectOption("Account");
  await expect(app.heading).toHaveText("This part could not be loaded");
  await page.unroute("**/split_account.wasm");
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(app.heading).toHaveText("Profile");
  await expect(app.heading).toBeFocused();
  expect(parts).toHaveLength(2);
});

test("changing views by the arrow keys keeps the focus in the view select", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.switcher.focus();
  for (const view of ["/account", "/logout"]) {
    await page.keyboard.press("ArrowDown");
    await expect(app.switcher).toHaveValue(view);
    await expect(app.heading).toBeVisible();
    await expect(app.switcher).toBeFocused();
  }
});

test("a password change requires the current password, and ends other sessions_r27", async (
  { page, user, request, complaints },
) => {
  complaints.expect(status(400), status(403));
  const other = await token(request, user);
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.open("/account/security");
  const [current, next] = [page.getByLabel("Current password"), page.getByLabel("New password")];
  const change = page.getByRole("button", { name: "Change password" });
  await change.click();
  await expect(current).toBeFocused();
  await change.click();
  await expect(current).toHaveAccessibleDescription(/Please fill in this field\./);
  await expect(current).toBeFocused();
  await current.fill("not my password");
  await next.fill(NEW);
  await change.click();
  await expect(current).toHaveAccessibleDescription(/That is not your password\. Check it and try again\./);
  await expect(current).toBeFocused();
  await expect(next).toHaveValue(NEW);
  await current.fill(user.password);
  await next.fill(`${user.username}1`);
  await change.click();
  await expect(next).toHaveAccessibleDescription(/It contains your email, your username or this service's name\./);
  await next.fill(NEW);
  await change.click();
  await expect(page.getByText("Password changed. You were logged out everywhere else.")).toBeVisible();
  await expect(current).toHaveCount(0);
  await expect(change).toBeFocused();
  await page.getByRole("link", { name: "See where you're logged in" }).click();
  await expect(page.getByText("No other devices.")).toBeVisible();
  const me = await request.get("/api/accounts/me/", { headers: { Authorization: `Bearer ${other}` } });
  expect(me.status()).toBe(401);
  await page.reload();
  await app.live();
  await expect(app.heading).toHaveText("Sessions");
  await app.open("/logout");
  await app.logOutButton.click();
  await app.logIn({ ...user, password: NEW });
});

test("a password change revokes access tokens if the box is checked", async ({ page, user, request }) => {
  const session = await token(request, user);
  const init = { data: { name: "backup", scope: "read", days: 1 }, headers: { Authorization: `Bearer ${session}` } };
  const access = (await (await request.post("/api/accounts/tokens/", init)).json()).token;
  const me = async () => (await request.get("/api/accounts/me/", { headers: { Authorization: `Bearer ${access}` } })).status();
  expect(await me()).toBe(200);
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.open("/account/security");
  const change = page.getByRole("button", { name: "Change password" });
  await change.click();
  await page.getByLabel("Current password").fill(user.password);
  await page.getByLabel("New password").fill(NEW);
  await page.getByLabel("Also revoke my access tokens").check();
  await change.click();
  await expect(page.getByText("and your access tokens were revoked.")).toBeVisible();
  expect(await me()).toBe(401);
});

test("users see their sessions, and end one or all others_r44", async ({ page, user, request }) => {
  const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) Version/26.0 Mobile/15E148 Safari/604.1";
  const logIn = async (agent: string) => {
    const answer = await request.post("/api/accounts/api_auth/", { data: user, headers: { "User-Agent": agent } });
    return `Bearer ${(await answer.json()).token}`;
  };
  const [iphone, script] = [await logIn(phone), await logIn("curl/8.5.0")];
  const me = async (authorization: string) =>
    (await request.get("/api/accounts/me/", { headers: { Authorization: authorization } })).status();
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.open("/account/sessions");
  const lines = page.locator(".part").getByRole("listitem");
  await expect(lines).toHaveCount(3);
  await expect(lines.filter({ hasText: "This device" })).toContainText("Chrom");
  const end = page.getByRole("button", { name: /^Log out Safari on iPhone/ });
  await end.click();
  await expect(page.getByText("Log out this device?")).toBeVisible();
  await expect(page.getByRole("group", { name: /Log out this device\?$/ }), "the focus is on the question").toBeFocused();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await expect(end).toBeFocused();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect(page.getByText("Log out this device?")).toBeHidden();
  await expect(end).toBeFocused();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await expect(page.getByText("Log out this device?")).toBeHidden();
  await expect(end).toBeFocused();
  expect(await me(iphone), "the user cancelled").toBe(200);
  await page.keyboard.press("Enter");
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  await end.click();
  await expect(page.getByText("Safari on iPhone is logged out.")).toBeVisible();
  await expect(page.getByRole("heading", { name: "Sessions" })).toBeFocused();
  await expect(lines).toHaveCount(2);
  expect([await me(iphone), await me(script)]).toEqual([401, 200]);
  const others = page.getByRole("button", { name: "Log out all other devices" });
  await others.click();
  await expect(page.getByText("Log out everywhere but here?")).toBeVisible();
  await others.click();
  await expect(page.getByText("All other devices are logged out.")).toBeVisible();
  await expect(page.getByText("No other devices.")).toBeVisible();
  expect(await me(script)).toBe(401);
});

test("sensitive operations require the password again_r47", async ({ page, playwright, complaints }) => {
  complaints.expect(status(403));
  const server = await new Server({ VESTIBULE_SESSION_REAUTH_AFTER: "3s" }).start();
  const request = await playwright.request.newContext({ baseURL: server.url });
  try {
    const user = await register(request);
    const other = `Bearer ${await token(request, user)}`;
    const app = new Vestibule(page);
    await page.goto(`${server.url}/login`);
    await app.live();
    await app.fillLogin(user);
    await app.loginButton.click();
    await app.switcher.selectOption("Account");
    await page.getByRole("link", { name: "Sessions" }).click();
    const lines = page.locator(".part").getByRole("listitem");
    await expect(lines).toHaveCount(2);
    // After a recent password check, the response is that no such session exists. Later, it is that a password check is
    // required.
    const own = `Bearer ${JSON.parse((await page.evaluate(() => sessionStorage.getItem("vestibule.session"))) ?? "")}`;
    const asked = async () =>
      (await request.delete("/api/accounts/sessions/none/", { headers: { Authorization: own } })).status();
    await expect.poll(asked, { timeout: 20_000 }).toBe(403);
    const dialog = page.getByRole("dialog", { name: "Confirm your password" });
    const password = dialog.getByLabel("Password", { exact: true });
    const endOthers = page.getByRole("button", { name: "Log out all other devices" });
    await endOthers.click();
    await page.getByText("Log out everywhere but here?").waitFor();
    await endOthers.click();
    await expect(password).toBeFocused();
    await expect(dialog).toContainText("Enter your password to log out all other devices.");
    expect((await new AxeBuilder({ page }).include("dialog").analyze()).violations).toEqual([]);
    await page.keyboard.press("Escape");
    await expect(dialog).toBeHidden();
    await expect(endOthers).toBeFocused();
    await endOthers.click();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await expect(dialog).toBeHidden();
    await expect(endOthers).toBeFocused();
    await expect(lines).toHaveCount(2);
    await endOthers.click();
    await password.fill("not my password");
    await dialog.getByRole("button", { name: "Confirm" }).click();
    await expect(password).toHaveAccessibleDescription(/That is not your password\. Check it and try again\./);
    await password.fill(user.password);
    await page.keyboard.press("Enter");
    await expect(dialog).toBeHidden();
    await expect(page.getByText("All other devices are logged out.")).toBeVisible();
    await expect(lines).toHaveCount(1);
    expect((await request.get("/api/accounts/me/", { headers: { Authorization: other } })).status()).toBe(401);
  } finally {
    await request.dispose();
    await server.remove();
  }
});

test("a username change appears in every view at once", async ({ page, user, request, complaints }) => {
  complaints.expect(status(400));
  const other = await register(request);
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.switcher.selectOption("Account");
  const name = page.getByLabel("New username");
  const change = page.getByRole("button", { name: "Change username" });
  await change.click();
  await expect(name).toHaveValue(user.username);
  await name.fill(other.username);
  await change.click();
  await expect(name).toHaveAccessibleDescription(/This name is taken\. Choose another\./);
  await expect(name).toBeFocused();
  const next = `n${user.username}`.slice(0, 32);
  await name.fill(next);
  await change.click();
  await expect(page.getByText(`Your username is now ${next}.`)).toBeVisible();
  await expect(change).toBeFocused();
  await expect(row(page, "Username")).toContainText(next);
  await expect(page.locator(".account-name")).toHaveText(next);
  await expect(page.getByText("Logged in as"), "the account view shows the name itself").toHaveCount(0);
  await app.switcher.selectOption("Log out");
  await expect(page.getByText(`Logged in as ${next}`)).toBeVisible();
  await app.switcher.selectOption("Home");
  await expect(app.welcome).toHaveText(`Hello, ${next}`);
});

test("users download all their data as one file_r110", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.open("/account/data");
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download your data" }).click();
  const file = await download;
  expect(file.suggestedFilename()).toBe("account.json");
  const { account, sessions } = JSON.parse(readFileSync(await file.path(), "utf8"));
  expect(account).toMatchObject({ email: user.email, username: user.username });
  expect(sessions).toHaveLength(1);
  await expect(page.getByText("Your data is in the file account.json.")).toBeVisible();
});

test("deleting an account requires typing its username_r110", async ({ page, user, complaints }) => {
  complaints.expect(status(400));
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.open("/account/data");
  const ask = page.getByRole("button", { name: "Delete account" });
  const dialog = page.getByRole("dialog", { name: "Delete your account?" });
  const typed = dialog.getByLabel(`Type "${user.username}" to confirm`);
  const confirm = dialog.getByRole("button", { name: "Delete my account" });
  await ask.press("Enter");
  await expect(typed).toBeFocused();
  await expect(dialog).toContainText("It can't be undone.");
  await page.keyboard.press("Escape");
  await expect(dialog).toHaveCount(0);
  await expect(ask).toBeFocused();
  await ask.click();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await expect(dialog).toHaveCount(0);
  await ask.click();
  await confirm.click();
  await expect(typed).toHaveAccessibleDescription(/Please fill in this field\./);
  await typed.fill("somebody else");
  await confirm.click();
  await expect(typed).toHaveAccessibleDescription(/This is not the username/);
  await typed.fill(user.username);
  await confirm.click();
  await expect(page.getByText("Your account was deleted.")).toBeVisible();
  await expect(page).toHaveURL(/\/login$/);
  expect((await app.storage()).session).toBe("{}");
  await app.fillLogin(user);
  await app.loginButton.click();
  await expect(page.getByRole("alert").filter({ hasText: "Wrong email or password." })).toBeVisible();
});

test("an access token is created, shown once, used by a program, and revoked", async (
  { page, user, request, complaints, context },
) => {
  complaints.expect(status(400));
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const copied = () => page.evaluate(() => navigator.clipboard.readText());
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.open("/account/tokens");
  await expect(page.getByText("No tokens yet.")).toBeVisible();
  const begin = page.getByRole("button", { name: "New token" });
  const make = page.getByRole("button", { name: "Create token" });
  const name = page.getByLabel("Name", { exact: true });
  await begin.press("Enter");
  await expect(name).toBeFocused();
  await page.getByRole("button", { name: "Cancel" }).press("Enter");
  await expect(begin).toBeFocused();
  await begin.click();
  await make.click();
  await expect(name).toHaveAccessibleDescription(/Please fill in this field\./);
  await name.fill("x".repeat(65));
  await make.click();
  await expect(name).toHaveAccessibleDescription(/Use at most 64 characters\./);
  await name.fill("Backup <b>script</b>");
  await page.getByLabel("Expires").selectOption("In a year");
  await make.click();
  const made = page.getByRole("region", { name: "Your new token" });
  await expect(made).toContainText("Copy it now. You won't see it again.");
  await expect(made.getByRole("heading")).toBeFocused();
  await expect(make).toHaveCount(0);
  await made.getByRole("button", { name: "Copy the token" }).click();
  await expect(made.getByRole("button", { name: "Copy the token" })).toHaveText("Copied");
  const secret = await copied();
  expect(secret).toMatch(/^vsp_[0-9A-Za-z]{49}$/);
  await expect(made.locator("#new-token")).toHaveText(secret);
  await made.getByRole("button", { name: "Copy the example" }).click();
  await expect.poll(copied).toMatch(/^curl -H "Authorization: Bearer vsp_\w{49}" http:\/\/127\.0\.0\.1:\d+\/api\/accounts\/me\/$/);
  const example = execFileSync("sh", ["-c", `${await copied()} --silent`], { encoding: "utf8" });
  expect(JSON.parse(example)).toMatchObject({ username: user.username, scope: "read" });
  const lines = page.locator(".part").getByRole("listitem");
  await expect(lines).toContainText("Backup <b>script</b>");
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  await made.getByRole("button", { name: "Done" }).click();
  await expect(made).toHaveCount(0);
  await expect(begin).toBeFocused();
  await page.reload();
  await app.live();
  await expect(lines).toContainText("Read only · last used");
  await expect(made).toHaveCount(0);
  const revoke = page.getByRole("button", { name: "Revoke Backup" });
  await revoke.click();
  await expect(page.getByText("Revoke? Scripts that use it stop working.")).toBeVisible();
  await revoke.click();
  await expect(page.getByText("Backup <b>script</b> is revoked.")).toBeVisible();
  await expect(page.getByText("No tokens yet.")).toBeVisible();
  await expect(app.heading).toBeFocused();
  const headers = { Authorization: `Bearer ${secret}` };
  expect((await request.get("/api/accounts/me/", { headers })).status()).toBe(401);
});

test("without the clipboard API, the token is selected and copied", async ({ page, user }) => {
  // Browsers have no clipboard API on plain HTTP.
  await page.addInitScript(() => Object.defineProperty(navigator, "clipboard", { value: undefined }));
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.open("/account/tokens");
  await page.getByRole("button", { name: "New token" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Backup");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Copy the token" }).click();
  await expect.poll(() => page.evaluate(() => getSelection()?.toString())).toMatch(/^vsp_[0-9A-Za-z]{49}$/);
});

test("names in right-to-left scripts don't reorder the text around them", async ({ page, user, request }) => {
  const bearer = { Authorization: `Bearer ${await token(request, user)}` };
  const made = await request.post("/api/accounts/tokens/", {
    data: { name: "نسخ احتياطي 2", scope: "read", days: 30 },
    headers: bearer,
  });
  expect(made.ok(), await made.text()).toBe(true);
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.open("/account/tokens");
  await expect(page.locator("bdi", { hasText: "نسخ احتياطي 2" })).toBeVisible();
  await app.open("/account/sessions");
  await expect(page.locator(".part li bdi")).toHaveCount(2);
});
