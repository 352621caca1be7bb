// What people do with accounts of their own (R20, R27, R44, R47, R110).
import { readFileSync } from "node:fs";
import { AxeBuilder } from "@axe-core/playwright";
import { expect, register, Server, status, test, token, Vestibule } from "../support/fixtures.js";

const NEW = "orchard-walrus-lantern-quilt";

test("the account is in the switcher once one has logged in", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.open("/login");
  await expect(app.switcher.getByRole("option", { name: "Your account" })).toHaveCount(0);
  await app.logIn(user);
  await app.switcher.selectOption("Your account");
  await expect(app.heading).toHaveText(user.username);
  await expect(page).toHaveTitle("Your account · Vestibule");
  await expect(page).toHaveURL(/\/account$/);
  await expect(page.getByRole("main")).toContainText(user.email);
  await expect(page.getByRole("main")).toContainText("This is the first");
  await page.reload();
  await app.live();
  await expect(app.heading).toHaveText(user.username);
  await expect(app.switcher).toHaveValue("/account");
});

test("a stranger logs in first and stays there", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.open("/account");
  await app.fillLogin(user);
  await app.loginButton.click();
  await expect(app.heading).toHaveText(user.username);
  await expect(page).toHaveURL(/\/account$/);
});

test("what is behind the login is loaded when it is wanted, and again after a failure", async ({ page, user, complaints }) => {
  complaints.expect(/split_account\.wasm net::ERR_FAILED/, /Failed to load resource/, /Failed to fetch|TypeError/);
  const app = new Vestibule(page);
  const parts: string[] = [];
  page.on("request", (request) => {
    if (request.url().includes("split_")) parts.push(request.url());
  });
  await page.route("**/split_account.wasm", (route) => route.abort());
  await app.logIn(user);
  expect(parts).toEqual([]);
  await app.switcher.selectOption("Your account");
  await expect(app.heading).toHaveText("This part could not be loaded");
  await page.unroute("**/split_account.wasm");
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(app.heading).toHaveText(user.username);
  await expect(app.heading).toBeFocused();
  expect(parts).toHaveLength(2);
});

test("going through the views in the select box leads nobody away from it", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.switcher.focus();
  for (const view of ["/register", "/account", "/logout"]) {
    await page.keyboard.press("ArrowDown");
    await expect(app.switcher).toHaveValue(view);
    await expect(app.heading).toBeVisible();
    await expect(app.switcher).toBeFocused();
  }
});

test("a password is changed by who knows it, and ends the other sessions_r27", async (
  { page, user, request, complaints },
) => {
  complaints.expect(status(400), status(403));
  const other = await token(request, user);
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.switcher.selectOption("Your account");
  const [current, next] = [page.getByLabel("Current password"), page.getByLabel("New password")];
  const change = page.getByRole("button", { name: "Change password" });
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
  await expect(next).toHaveAccessibleDescription(/It holds your email, your username or this service's name\./);
  await next.fill(NEW);
  await change.click();
  await expect(page.getByText("Your password was changed, and every other session was ended.")).toBeVisible();
  await expect(current).toHaveValue("");
  await expect(page.getByText("You are logged in nowhere else.")).toBeVisible();
  const me = await request.get("/api/accounts/me/", { headers: { Authorization: `Bearer ${other}` } });
  expect(me.status()).toBe(401);
  await page.reload();
  await app.live();
  await expect(app.heading).toHaveText(user.username);
  await app.open("/logout");
  await app.logOutButton.click();
  await app.logIn({ ...user, password: NEW });
});

test("one sees where one is logged in and ends it there_r44", async ({ page, user, request }) => {
  const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) Version/26.0 Mobile/15E148 Safari/604.1";
  const logIn = async (agent: string) => {
    const answer = await request.post("/api/accounts/api_auth/", { data: user, headers: { "User-Agent": agent } });
    return `Bearer ${(await answer.json()).token}`;
  };
  const [lost, script] = [await logIn(phone), await logIn("curl/8.5.0")];
  const me = async (authorization: string) =>
    (await request.get("/api/accounts/me/", { headers: { Authorization: authorization } })).status();
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.switcher.selectOption("Your account");
  const lines = page.getByRole("listitem");
  await expect(lines).toHaveCount(3);
  await expect(lines.filter({ hasText: "This one" })).toContainText("Chrom");
  const end = page.getByRole("button", { name: /^End the session of Safari on iPhone/ });
  await end.click();
  await expect(page.getByText("Log it out there?")).toBeVisible();
  await expect(page.getByRole("group", { name: /Log it out there\?$/ }), "the focus is at the question").toBeFocused();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await expect(end).toBeFocused();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect(page.getByText("Log it out there?")).toBeHidden();
  await expect(end).toBeFocused();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await expect(page.getByText("Log it out there?")).toBeHidden();
  await expect(end).toBeFocused();
  expect(await me(lost), "who asked has thought better of it").toBe(200);
  await page.keyboard.press("Enter");
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  await end.click();
  await expect(page.getByText("Safari on iPhone is logged out.")).toBeVisible();
  await expect(page.getByRole("heading", { name: "Sessions" })).toBeFocused();
  await expect(lines).toHaveCount(2);
  expect([await me(lost), await me(script)]).toEqual([401, 200]);
  const others = page.getByRole("button", { name: "End all other sessions" });
  await others.click();
  await expect(page.getByText("Log out everywhere but here?")).toBeVisible();
  await others.click();
  await expect(page.getByText("You are logged in nowhere else.")).toBeVisible();
  expect(await me(script)).toBe(401);
});

test("what matters asks for the password again_r47", async ({ page, playwright, complaints }) => {
  complaints.expect(status(403));
  const server = await new Server({ VESTIBULE_SESSION_PROOF: "3s" }).start();
  const request = await playwright.request.newContext({ baseURL: server.url });
  try {
    const user = await register(request);
    const other = `Bearer ${await token(request, user)}`;
    const app = new Vestibule(page);
    await page.goto(`${server.url}/login`);
    await app.live();
    await app.fillLogin(user);
    await app.loginButton.click();
    await app.switcher.selectOption("Your account");
    const lines = page.getByRole("listitem");
    await expect(lines).toHaveCount(2);
    // Until its proof is over, a session hears that there is no such session; then, that it must prove itself.
    const own = `Bearer ${JSON.parse((await page.evaluate(() => sessionStorage.getItem("vestibule.session"))) ?? "")}`;
    const asked = async () =>
      (await request.delete("/api/accounts/sessions/none/", { headers: { Authorization: own } })).status();
    await expect.poll(asked, { timeout: 20_000 }).toBe(403);
    const dialog = page.getByRole("dialog", { name: "Confirm your password" });
    const password = dialog.getByLabel("Password", { exact: true });
    const endOthers = page.getByRole("button", { name: "End all other sessions" });
    await endOthers.click();
    await page.getByText("Log out everywhere but here?").waitFor();
    await endOthers.click();
    await expect(password).toBeFocused();
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
    await expect(page.getByText("All other sessions are ended.")).toBeVisible();
    await expect(lines).toHaveCount(1);
    expect((await request.get("/api/accounts/me/", { headers: { Authorization: other } })).status()).toBe(401);
  } finally {
    await request.dispose();
    await server.remove();
  }
});

test("a username is changed, and shown everywhere at once", async ({ page, user, request, complaints }) => {
  complaints.expect(status(400));
  const other = await register(request);
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.switcher.selectOption("Your account");
  const name = page.getByLabel("New username");
  const change = page.getByRole("button", { name: "Change username" });
  await expect(name).toHaveValue(user.username);
  await name.fill(other.username);
  await change.click();
  await expect(name).toHaveAccessibleDescription(/This name is taken\. Choose another\./);
  await expect(name).toBeFocused();
  const next = `n${user.username}`.slice(0, 32);
  await name.fill(next);
  await change.click();
  await expect(page.getByText(`You are called ${next} from now on.`)).toBeVisible();
  await expect(app.heading).toHaveText(next);
  await expect(page.getByText(`Logged in as ${next}`)).toBeVisible();
});

test("everything kept about a person is downloaded as one file_r110", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.switcher.selectOption("Your account");
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download your data" }).click();
  const file = await download;
  expect(file.suggestedFilename()).toBe("account.json");
  const { account, sessions } = JSON.parse(readFileSync(await file.path(), "utf8"));
  expect(account).toMatchObject({ email: user.email, username: user.username });
  expect(sessions).toHaveLength(1);
  await expect(page.getByText("Your data is in the file account.json.")).toBeVisible();
});

test("an account is deleted by whoever types its username, and is gone_r110", async ({ page, user, complaints }) => {
  complaints.expect(status(400));
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.switcher.selectOption("Your account");
  const typed = page.getByLabel("Type your username to make sure");
  const leave = page.getByRole("button", { name: "Delete my account" });
  await leave.click();
  await expect(typed).toHaveAccessibleDescription(/Please fill in this field\./);
  await typed.fill("somebody else");
  await leave.click();
  await expect(typed).toHaveAccessibleDescription(/This is not your username/);
  await typed.fill(user.username);
  await leave.click();
  await expect(page.getByText("Your account was deleted.")).toBeVisible();
  await expect(page).toHaveURL(/\/login$/);
  expect((await app.storage()).session).toBe("{}");
  await app.fillLogin(user);
  await app.loginButton.click();
  await expect(page.getByText("Email or password is wrong.")).toBeVisible();
});

test("an access token is made, shown once, used by a program, and revoked", async ({ page, user, request, complaints }) => {
  complaints.expect(status(400));
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.switcher.selectOption("Your account");
  const tokens = page.getByRole("region", { name: "Access tokens" });
  await expect(tokens.getByText("You have none.")).toBeVisible();
  const make = tokens.getByRole("button", { name: "Make a token" });
  const name = tokens.getByLabel("Name of a new token");
  await make.click();
  await expect(name).toHaveAccessibleDescription(/Please fill in this field\./);
  await name.fill("x".repeat(65));
  await make.click();
  await expect(name).toHaveAccessibleDescription(/Use at most 64 characters\./);
  await name.fill("Backup <b>script</b>");
  await tokens.getByLabel("How long it lasts").selectOption("A year");
  await make.click();
  const shown = tokens.getByLabel("Your new token");
  await expect(shown).toHaveValue(/^vsp_[0-9A-Za-z]{49}$/);
  await expect(shown).toBeFocused();
  const headers = { Authorization: `Bearer ${await shown.inputValue()}` };
  const me = await request.get("/api/accounts/me/", { headers });
  expect(await me.json()).toMatchObject({ username: user.username, scope: "read" });
  await expect(tokens.getByRole("listitem")).toContainText("Backup <b>script</b>");
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  await page.reload();
  await app.live();
  await expect(tokens.getByRole("listitem")).toContainText("May only read · last used");
  await expect(shown).toHaveCount(0);
  const revoke = tokens.getByRole("button", { name: "Revoke Backup" });
  await revoke.click();
  await expect(tokens.getByText("Shut out whatever uses it?")).toBeVisible();
  await revoke.click();
  await expect(tokens.getByText("Backup <b>script</b> is revoked.")).toBeVisible();
  await expect(tokens.getByText("You have none.")).toBeVisible();
  await expect(tokens.getByRole("heading")).toBeFocused();
  expect((await request.get("/api/accounts/me/", { headers })).status()).toBe(401);
});
