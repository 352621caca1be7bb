// The session in the browser (R48, R49, R73): where the token is stored, and what happens when it ends.
import { expect, status, test, token, Vestibule } from "../support/fixtures.js";

const ENDED = "Your session has ended. Log in again.";

test("the token is stored only in sessionStorage_r73", async ({ page, context, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  const kept = await app.storage();
  expect(kept.session).toMatch(/vst_[0-9A-Za-z]{49}/);
  expect(kept.local).toBe("{}");
  expect(kept.cookies).toBe("");
  expect(await page.content()).not.toMatch(/vst_[0-9A-Za-z]{20}/);
  expect(page.url()).not.toContain("vst_");

  await app.switcher.selectOption("Log out");
  await app.logOutButton.click();
  await expect(app.heading).toHaveText("You are logged out");
  expect((await app.storage()).session).not.toContain("vst_");
  expect(await context.cookies(), "no cookie was set").toEqual([]);
});

test("the server renders a logged-in reload like a logged-out one_r49", async ({ page, request, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  const reloaded = await (await page.reload())?.text();
  await expect(app.welcome).toBeVisible();
  for (const secret of [user.email, user.username, "vst_"]) expect(reloaded).not.toContain(secret);

  const bare = (html: string) => html.replace(/nonce="[^"]*"/g, "");
  const Authorization = `Bearer ${await token(request, user)}`;
  for (const path of ["/login", "/register", "/logout"]) {
    const stranger = await (await request.get(path)).text();
    const known = await (await request.get(path, { headers: { Authorization } })).text();
    expect(bare(known), path).toBe(bare(stranger));
  }
});

test("no logged-out form flashes while a logged-in page reloads", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  // Delays the start, so that the test would see a flash.
  await page.route("**/*.wasm", async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 700));
    await route.continue();
  });
  await page.addInitScript(() => {
    const seen: string[] = [];
    Object.assign(window, { seen });
    const look = () => {
      for (const heading of document.querySelectorAll("main h1, main form")) {
        if (heading.checkVisibility({ opacityProperty: true, visibilityProperty: true })) {
          seen.push(heading.tagName === "H1" ? (heading.textContent ?? "") : "a form");
        }
      }
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  await page.reload();
  await expect(app.welcome).toBeVisible();
  // On a busy machine the first frame comes after the check above.
  await page.waitForFunction(() => (window as unknown as { seen: string[] }).seen.length > 0);
  const seen = await page.evaluate(() => [...new Set((window as unknown as { seen: string[] }).seen)]);
  expect(seen).toEqual([`Hello, ${user.username}`]);
});

test("a logout in one tab logs out its duplicate, which deletes its token_r48", async ({ page, context, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  const [duplicatePage] = await Promise.all([
    context.waitForEvent("page"),
    // Chromium copies sessionStorage into a window that its page opens, as it does for a duplicated tab.
    page.evaluate(() => void window.open("/login", "_blank", "opener")),
  ]);
  const duplicate = new Vestibule(duplicatePage);
  await expect(duplicate.welcome).toBeVisible();
  await app.switcher.selectOption("Log out");
  await app.logOutButton.click();
  await expect(app.heading).toHaveText("You are logged out");

  await expect(duplicate.loginButton).toBeVisible();
  await expect(duplicate.page.locator("body")).not.toContainText(user.email);
  expect((await duplicate.storage()).session).not.toContain("vst_");
});

test("the page reports a session that ended elsewhere at the next call_r48", async (
  { page, request, complaints, user },
) => {
  complaints.expect(status(401));
  const app = new Vestibule(page);
  await app.logIn(user);
  const stored = (await app.storage()).session.match(/vst_[0-9A-Za-z]{49}/)?.[0];
  const ended = await request.post("/api/accounts/logout/", { headers: { Authorization: `Bearer ${stored}` } });
  expect(ended.status()).toBe(204);

  await page.reload();
  await expect(app.loginButton).toBeVisible();
  await expect(page.getByText(ENDED)).toBeVisible();
  await expect(page.locator("body")).not.toContainText(user.email);
  expect((await app.storage()).session).not.toContain("vst_");

  await app.fillLogin(user);
  await app.loginButton.click();
  await expect(app.welcome).toBeVisible();
  await expect(page.getByText(ENDED)).toBeHidden();
});

test("an invalid stored token is dropped", async ({ page, complaints }) => {
  complaints.expect(status(401));
  const app = new Vestibule(page);
  await app.open("/login");
  for (const stored of ['"vst_nonsense"', "not even JSON", '"\\u0000\\n"', '{"a":1}', '"töken"']) {
    await page.evaluate((stored) => sessionStorage.setItem("vestibule.session", stored), stored);
    await page.reload();
    await expect(app.loginButton, stored).toBeEnabled();
  }
});

test("after a logout the back button shows no data_r48", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  await page.goto("/register");
  await expect(app.heading).toHaveText("You need to log out before registering");
  await app.switcher.selectOption("Log out");
  await app.logOutButton.click();
  await expect(app.heading).toHaveText("You are logged out");
  for (let step = 0; step < 3; step += 1) {
    await page.goBack();
    await app.live();
    await expect(page.locator("body")).not.toContainText(user.email);
    await expect(page.locator("body")).not.toContainText(user.username);
    await expect(app.welcome).toHaveCount(0);
  }
});

test("logging out clears the browser's data_r48", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.switcher.selectOption("Log out");
  const answer = page.waitForResponse((response) => response.url().endsWith("/fn/logout"));
  await app.logOutButton.click();
  expect((await (await answer).allHeaders())["clear-site-data"]).toContain('"storage"');
  await expect(app.heading).toHaveText("You are logged out");
});

test("a proxy's own 401 does not end the session_r48", async ({ page, user, complaints }) => {
  complaints.expect(status(401));
  const app = new Vestibule(page);
  await app.logIn(user);
  const answers = [
    { contentType: "text/html", body: "<h1>Sign in to the company</h1>" },
    { contentType: "application/json", body: '{"error":"unauthorized"}' },
    { contentType: "application/json", body: "" },
  ];
  for (const answer of answers) {
    await page.route("**/fn/me", (route) => route.fulfill({ status: 401, ...answer }));
    await page.reload();
    await expect(page.getByText("Your session could not be checked")).toBeVisible();
    await expect(page.getByText(ENDED)).toHaveCount(0);
    expect((await app.storage()).session).toContain("vst_");
    await page.unroute("**/fn/me");
  }
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(app.welcome).toBeVisible();
});

test("a browser without AbortSignal.timeout logs in", async ({ page, user }) => {
  await page.addInitScript(() => Reflect.deleteProperty(AbortSignal, "timeout"));
  await new Vestibule(page).logIn(user);
});
