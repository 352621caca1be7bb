// One session for all tabs of a browser. Logging out in one of them logs out all (R48).
import type { BrowserContext, Page } from "@playwright/test";
import { expect, register, status, test, Vestibule } from "../support/fixtures.js";

/** The token that a tab stores, or an empty text. */
async function kept(page: Page): Promise<string> {
  return (await new Vestibule(page).storage()).session.match(/vst_[0-9A-Za-z]{49}/)?.[0] ?? "";
}

async function tab(context: BrowserContext, path: string): Promise<Vestibule> {
  const app = new Vestibule(await context.newPage());
  await app.page.goto(path);
  return app;
}

async function logOut(app: Vestibule): Promise<void> {
  await app.switcher.selectOption("Log out");
  await app.logOutButton.click();
  await expect(app.heading).toHaveText("You are logged out");
}

test("a new tab shares the session of an open one", async ({ page, context, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  const other = await tab(context, "/login");
  await expect(other.welcome).toBeVisible();
  expect(await kept(other.page)).toBe(await kept(page));

  const [clicked] = await Promise.all([
    context.waitForEvent("page"),
    page.getByRole("main").getByRole("link", { name: "Your account" }).click({ modifiers: ["Control"] }),
  ]);
  await expect(clicked.getByRole("main")).toContainText(user.email);

  const [opened] = await Promise.all([
    context.waitForEvent("page"),
    page.evaluate(() => void window.open("/login", "_blank", "noopener")),
  ]);
  await expect(new Vestibule(opened).welcome).toBeVisible();
  const stored = await opened.evaluate(() => [JSON.stringify({ ...localStorage }), document.cookie]);
  expect(stored, "the token is in sessionStorage and nowhere else").toEqual(["{}", ""]);
});

test("no logged-out form flashes in a new tab", async ({ page, context, user }) => {
  await new Vestibule(page).logIn(user);
  const other = await context.newPage();
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await other.route("**/vestibule.wasm", async (route) => {
    await held;
    await route.continue();
  });
  await other.goto("/login", { waitUntil: "commit" });
  await expect(other.getByText("Checking your session…")).toBeVisible();
  await expect(other.locator("form")).toBeHidden();
  release();
  await expect(new Vestibule(other).welcome).toBeVisible();
});

test("a new tab accepts a late response of another tab", async ({ page, context, user }) => {
  await new Vestibule(page).logIn(user);
  await page.evaluate(() => {
    const post = BroadcastChannel.prototype.postMessage;
    const held: (() => void)[] = [];
    BroadcastChannel.prototype.postMessage = function (message) {
      held.push(() => post.call(this, message));
    };
    Object.assign(window, { release: () => held.forEach((send) => send()) });
  });
  const other = new Vestibule(await context.newPage());
  // Otherwise the time for a response may pass while the test waits.
  await other.page.clock.install();
  await other.page.clock.pauseAt(Date.now() + 60_000);
  await other.page.goto("/login");
  await other.page.clock.runFor(200);
  await other.live();
  await expect(other.loginButton).toBeVisible();
  await page.evaluate("release()");
  await expect(other.welcome).toBeVisible();
});

test("a logout in one tab logs out all tabs", async ({ page, context, user }) => {
  const here = new Vestibule(page);
  await here.logIn(user);
  const there = await tab(context, "/login");
  await expect(there.welcome).toBeVisible();
  await logOut(here);
  await expect(there.loginButton).toBeVisible();
  await expect(there.page.getByText("You are logged out.")).toBeVisible();
  await expect(there.page.locator("body")).not.toContainText(user.email);
  expect([await kept(page), await kept(there.page)]).toEqual(["", ""]);
  const third = await tab(context, "/login");
  await third.live();
  await expect(third.loginButton).toBeVisible();
});

test("the view select shows the right view after a logout in another tab", async ({ page, context, user }) => {
  const here = new Vestibule(page);
  await here.logIn(user);
  const there = await tab(context, "/register");
  await expect(there.heading).toHaveText("You need to log out before registering");
  await page.bringToFront();
  await logOut(here);
  await there.page.bringToFront();
  await expect(there.heading).toHaveText("Register");
  await expect(there.switcher).toHaveValue("/register");
});

test("a logout with a replaced token ends the session", async ({ page, request, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  const before = await kept(page);
  await changePassword(app, user.password);
  const renewed = await kept(page);
  // A tab that has not received the new token sends this message.
  await page.evaluate((token) => {
    const other = new BroadcastChannel("vestibule.session");
    other.postMessage(["logged out", token]);
    other.close();
  }, before);
  await expect(page.getByText("You are logged out.")).toBeVisible();
  expect(await kept(page)).toBe("");
  const me = () => request.get("/api/accounts/me/", { headers: { Authorization: `Bearer ${renewed}` } });
  await expect.poll(async () => (await me()).status(), "the session ends on the server too").toBe(401);
});

test("a login in one tab logs in the others", async ({ page, context, user }) => {
  const there = await tab(context, "/login");
  await there.live();
  await new Vestibule(page).logIn(user);
  await expect(there.welcome).toBeVisible();
});

test("the other tabs receive a token that one tab has renewed", async ({ page, context, user }) => {
  const here = new Vestibule(page);
  await here.logIn(user);
  const there = await tab(context, "/login");
  await expect(there.welcome).toBeVisible();
  const before = await kept(page);
  await page.bringToFront();
  await changePassword(here, user.password);
  const renewed = await kept(page);
  expect(renewed).not.toBe(before);
  await expect.poll(() => kept(there.page)).toBe(renewed);
  await there.page.reload();
  await expect(there.welcome).toBeVisible();
});

test("a pending token renewal doesn't undo a logout in another tab", async (
  { page, context, request, user, complaints },
) => {
  complaints.expect(status(401));
  const here = new Vestibule(page);
  await here.logIn(user);
  const there = await tab(context, "/login");
  await expect(there.welcome).toBeVisible();
  const changing = hold(page, "**/fn/change_password");
  await page.bringToFront();
  await sendNewPassword(here, user.password);
  const renewed = JSON.parse(await changing.answered);
  await there.page.bringToFront();
  await there.logOutButton.click();
  await expect(there.email).toBeVisible();
  changing.release();
  const me = () => request.get("/api/accounts/me/", { headers: { Authorization: `Bearer ${renewed}` } });
  await expect.poll(async () => (await me()).status(), "the session ends on the server too").toBe(401);
  expect(renewed).toContain("vst_");
  for (const app of [here, there]) {
    await app.page.bringToFront();
    expect(await kept(app.page)).toBe("");
    await expect(app.email).toBeVisible();
  }
});

test("a pending token renewal doesn't undo a logout in its own tab", async ({ page, request, user, complaints }) => {
  complaints.expect(status(401));
  const app = new Vestibule(page);
  await app.logIn(user);
  const [changing, leaving] = [hold(page, "**/fn/change_password"), hold(page, "**/fn/logout")];
  await sendNewPassword(app, user.password);
  const renewed = JSON.parse(await changing.answered);
  await app.switcher.selectOption("Log out");
  await page.locator("main").getByRole("button", { name: "Log out" }).click();
  await leaving.answered;
  changing.release();
  const me = () => request.get("/api/accounts/me/", { headers: { Authorization: `Bearer ${renewed}` } });
  await expect.poll(async () => (await me()).status(), "the session ends on the server too").toBe(401);
  expect(renewed).toContain("vst_");
  leaving.release();
  await expect(app.heading).toHaveText("You are logged out");
  expect(await kept(page)).toBe("");
});

/** Lets a request reach the server and delays its response. */
function hold(page: Page, path: string): { answered: Promise<string>; release: () => void } {
  let release = () => {};
  const released = new Promise<void>((done) => (release = done));
  const answered = new Promise<string>((answer) => {
    void page.route(path, async (route) => {
      const response = await route.fetch();
      answer(await response.text());
      await released;
      await route.fulfill({ response });
    });
  });
  return { answered, release };
}

/** Requests a password change, which gives the session a new token. */
async function sendNewPassword(app: Vestibule, password: string): Promise<void> {
  await app.open("/account/security");
  const page = app.page;
  await page.getByRole("button", { name: "Change password" }).click();
  await page.getByLabel("Current password").fill(password);
  await page.getByLabel("New password").fill(`${password}-new`);
  await page.getByRole("button", { name: "Change password" }).click();
}

/** Changes the password, and waits for the result. */
async function changePassword(app: Vestibule, password: string): Promise<void> {
  await sendNewPassword(app, password);
  await expect(app.page.getByText("Password changed.")).toBeVisible();
}

test("a tab makes no requests for a user after another user has logged in elsewhere", async (
  { page, context, request, user },
) => {
  const ann = new Vestibule(page);
  await ann.logIn(user);
  const bob = await register(request);
  // This tab receives no session of another tab, as if the browser had suspended the others.
  const other = await context.newPage();
  await other.addInitScript(() => {
    const receive = Object.getOwnPropertyDescriptor(BroadcastChannel.prototype, "onmessage")?.set;
    Object.defineProperty(BroadcastChannel.prototype, "onmessage", {
      set(listener: (event: MessageEvent) => void) {
        receive?.call(this, (event: MessageEvent) => event.data[0] !== "have" && listener(event));
      },
    });
  });
  const there = new Vestibule(other);
  await there.open("/login");
  await there.fillLogin(bob);
  await there.loginButton.click();
  await expect(there.welcome).toBeVisible();

  await expect(ann.heading).toHaveText(`You are now logged in as ${bob.username}`);
  await expect(page.locator("body")).not.toContainText(user.email);
  expect(await kept(page)).toBe("");
  const sent: string[] = [];
  page.on("request", (request) => sent.push(request.url()));
  await ann.switcher.selectOption("Register");
  await expect(ann.heading).toHaveText(`You are now logged in as ${bob.username}`);
  expect(sent.filter((url) => url.includes("/fn/"))).toEqual([]);
  await page.getByRole("button", { name: `Continue as ${bob.username}` }).click();
  await expect(page.getByRole("main")).toContainText("You need to log out before registering");
  await page.goto("/login");
  await expect(page.getByRole("main")).toContainText(bob.email);
});

test("closing the last tab discards the session's token", async ({ context, user }) => {
  const first = new Vestibule(await context.newPage());
  await first.logIn(user);
  const second = await tab(context, "/login");
  await expect(second.welcome).toBeVisible();
  await first.page.close();
  const third = await tab(context, "/login");
  await expect(third.welcome).toBeVisible();
  await second.page.close();
  await third.page.close();
  const fourth = await tab(context, "/login");
  await fourth.live();
  await expect(fourth.loginButton).toBeVisible();
});

test("a page from the back-forward cache applies a login or logout of another tab", async (
  { page, context, user, complaints },
) => {
  complaints.expect(status(401));
  const app = new Vestibule(page);
  await app.logIn(user);
  await page.goto("/api/docs");
  const other = await tab(context, "/login");
  // No tab responds, because the only tab with the session shows another page.
  await other.live();
  await expect(other.loginButton).toBeVisible();
  await page.goBack();
  await expect(app.welcome).toBeVisible();
  await other.page.reload();
  await expect(other.welcome).toBeVisible();
  await page.goto("/api/docs");
  await logOut(other);
  await page.goBack();
  await app.live();
  await expect(page.locator("body")).not.toContainText(user.email);
});
