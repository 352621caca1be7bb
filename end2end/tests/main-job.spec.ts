// Registers, logs in, reloads while logged in, and logs out.
import { AxeBuilder } from "@axe-core/playwright";
import { expect, somebody, test, token, Vestibule } from "../support/fixtures.js";

test("a user registers, stays logged in after a reload, and logs out", async ({ page, request }) => {
  const app = new Vestibule(page);
  const user = somebody();
  await app.open("/register");
  await app.email.fill(user.email);
  await app.username.fill(user.username);
  await app.password.fill(user.password);
  await app.registerButton.click();

  await expect(app.welcome).toBeVisible();
  await expect(page.getByText("Account created.")).toBeVisible();
  await expect(page.getByRole("main")).toContainText(user.username);
  await expect(page.getByRole("main")).toContainText(user.email);
  await expect(page).toHaveURL("/login");

  await page.reload();
  await expect(app.welcome).toBeVisible();
  await expect(page.getByRole("main")).toContainText(user.email);

  const stored = (await app.storage()).session.match(/vst_[0-9A-Za-z]+/)?.[0] ?? "";
  await app.switcher.selectOption("Log out");
  await expect(app.heading).toHaveText("Do you want to log out?");
  await page.getByRole("main").getByRole("link", { name: "Stay logged in" }).click();
  await expect(app.welcome).toBeVisible();
  await app.switcher.selectOption("Log out");
  await app.logOutButton.click();
  await expect(app.heading).toHaveText("You are logged out");

  const ended = await request.get("/api/accounts/me/", { headers: { Authorization: `Bearer ${stored}` } });
  expect(ended.status(), "the session has ended on the server too").toBe(401);
});

test("a user logs in with the username", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.open("/login");
  await app.email.fill(user.username.toUpperCase());
  await app.password.fill(user.password);
  await app.password.press("Enter");
  await expect(app.welcome).toBeVisible();
});

test("a logout on the page doesn't end a program's session", async ({ page, request, user }) => {
  const app = new Vestibule(page);
  const other = await token(request, user);
  await app.logIn(user);
  await app.switcher.selectOption("Log out");
  await app.logOutButton.click();
  await expect(app.heading).toHaveText("You are logged out");
  const me = await request.get("/api/accounts/me/", { headers: { Authorization: `Bearer ${other}` } });
  expect(me.status()).toBe(200);
});

test("the view select follows the URL and the back button", async ({ page }) => {
  const app = new Vestibule(page);
  await app.open("/");
  await expect(app.switcher).toHaveValue("/login");
  await expect(app.switcher.getByRole("option")).toHaveText(["Log in", "Register", "Log out"]);

  await app.switcher.selectOption("Register");
  await expect(page).toHaveURL("/register");
  await expect(app.heading).toHaveText("Register");
  await app.switcher.selectOption("Log out");
  await expect(page).toHaveURL("/logout");
  await expect(app.heading).toHaveText("You are logged out");

  await page.goBack();
  await expect(page).toHaveURL("/register");
  await expect(app.switcher).toHaveValue("/register");
  await expect(app.heading).toHaveText("Register");
  await page.goForward();
  await expect(app.switcher).toHaveValue("/logout");
  await page.goBack();
  await page.goBack();
  await expect(app.heading).toHaveText("Log in");
  await expect(app.switcher).toHaveValue("/login");
});

test("after a login, the view select offers other views", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  await expect(app.switcher.getByRole("option")).toHaveText(["Home", "Account", "Log out"]);
  await expect(app.switcher).toHaveValue("/login");
  await expect(page).toHaveTitle("Home · Vestibule");
  const links = page.getByRole("navigation", { name: "Views" }).getByRole("link");
  await expect(links).toHaveText(["Home", "Account", "Log out"]);
  await expect(links.first()).toHaveAttribute("aria-current", "page");
  await links.nth(2).click();
  await expect(app.heading).toHaveText("Do you want to log out?");
  await expect(app.switcher).toHaveValue("/logout");
  await expect(page.getByText(user.username)).toHaveCount(1);
  await app.switcher.selectOption("Home");
  await expect(page.getByText(user.username, { exact: true })).toHaveCount(1);
});

test("changing views by the arrow keys adds no history entry, and keeps the form's text", async ({ page }) => {
  const app = new Vestibule(page);
  await app.open("/login");
  await page.getByRole("main").getByRole("link", { name: "Register" }).click();
  await app.email.fill("ann@example.org");
  await app.username.fill("ann");
  const steps = await page.evaluate(() => history.length);
  await app.switcher.focus();
  await page.keyboard.press("ArrowDown");
  await expect(app.heading).toHaveText("You are logged out");
  await page.keyboard.press("ArrowUp");
  await expect(app.heading).toHaveText("Register");
  expect(await page.evaluate(() => history.length)).toBe(steps);
  await expect(app.switcher).toBeFocused();
  await expect(app.email).toHaveValue("ann@example.org");
  await expect(app.username).toHaveValue("ann");
  await page.goBack();
  await expect(app.heading).toHaveText("Log in");
  await page.goForward();
  await expect(app.email).toHaveValue("ann@example.org");
});

test("each view has its URL and its title", async ({ page }) => {
  const app = new Vestibule(page);
  const views = [
    ["/", "Log in · Vestibule", "Log in"],
    ["/login", "Log in · Vestibule", "Log in"],
    ["/login/", "Log in · Vestibule", "Log in"],
    ["/register", "Register · Vestibule", "Register"],
    ["/logout", "Log out · Vestibule", "Log out"],
  ] as const;
  for (const [path, title, choice] of views) {
    await app.open(path);
    await expect(page).toHaveTitle(title);
    await expect(app.switcher.locator("option:checked")).toHaveText(choice);
  }
  await app.switcher.selectOption("Register");
  await expect(page).toHaveTitle("Register · Vestibule");
  await page.goBack();
  await expect(page).toHaveTitle("Log out · Vestibule");
});

test("a logged-in user must log out before registering", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.open("/register");
  await expect(app.heading).toHaveText("You need to log out before registering");
  await expect(app.registerButton).toHaveCount(0);
  await app.logOutButton.click();
  await expect(app.heading).toHaveText("Register");
  await expect(app.email).toHaveValue("");
});

test("the commands for developers don't wrap, and can be copied", async ({ page, context, user }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const app = new Vestibule(page);
  await app.logIn(user);
  await page.getByText("For developers").click();
  const command = page.locator(".recipe pre").first();
  await expect(command).toHaveCSS("white-space", /^(pre|nowrap)/);
  await expect(command).toHaveText(/^curl http:\/\/127\.0\.0\.1:\d+\/api\/accounts\/api_auth\//);
  await page.getByRole("button", { name: "Copy the login command" }).click();
  await expect(page.getByRole("status").filter({ hasText: "Copied" })).toHaveCount(1);
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(await command.innerText());
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
});

test("registration, logout and login work with the keyboard alone", async ({ page }) => {
  const app = new Vestibule(page);
  const user = somebody();
  const tabTo = async (target: typeof app.email) => {
    for (let presses = 0; presses < 20; presses += 1) {
      await page.keyboard.press("Tab");
      if (await target.evaluate((element) => element === document.activeElement)) return;
    }
    throw new Error("the Tab key doesn't lead there");
  };
  await app.open("/login");
  await tabTo(app.switcher);
  await page.keyboard.press("ArrowDown");
  await expect(app.heading).toHaveText("Register");
  await tabTo(app.email);
  await page.keyboard.type(user.email);
  await tabTo(app.username);
  await page.keyboard.type(user.username);
  await tabTo(app.password);
  await page.keyboard.type(user.password);
  await page.keyboard.press("Enter");
  await expect(app.welcome).toBeVisible();
  await tabTo(app.logOutButton);
  await page.keyboard.press("Enter");
  await expect(app.heading).toHaveText("Log in");
  await expect(page.getByText("You are logged out.")).toBeVisible();
  await tabTo(app.email);
  await page.keyboard.type(user.email);
  await tabTo(app.password);
  await page.keyboard.type(user.password);
  await tabTo(app.loginButton);
  await page.keyboard.press("Space");
  await expect(app.welcome).toBeVisible();
});
