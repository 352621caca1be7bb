// The strength of a new password is shown while it is typed.
import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { expect, status, test, Vestibule } from "../support/fixtures.js";

const GOOD = "orchard walrus lantern quilt";
const PAUSE_MS = 400;

/** The passwords whose strength the page has requested from the server. */
function asked(page: Page): string[] {
  const passwords: string[] = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/fn/judge_password")) passwords.push(request.postDataJSON().password);
  });
  return passwords;
}

/** The form to register, on a page with a clock that the test controls. */
async function registerByOwnClock(page: Page): Promise<Vestibule> {
  await page.clock.install();
  const app = new Vestibule(page);
  await page.goto("/register");
  await page.clock.runFor(1000);
  await app.live();
  // Otherwise time passes while the test types.
  await page.clock.pauseAt((await page.evaluate(() => Date.now())) + 1000);
  return app;
}

const strength = (page: Page) => page.locator(".strength").getByRole("status");

test("the strength of a new password is shown in words, and depends on the other fields", async ({ page }) => {
  const app = new Vestibule(page);
  const passwords = asked(page);
  await app.open("/register");
  await app.email.fill("ann.beetle@example.org");
  await app.username.fill("annbeetle");
  await app.password.fill("short");
  await app.password.fill("password");
  await expect(strength(page)).toHaveText("Too easy to guess. It is one of the most commonly used passwords.");
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  await app.password.fill("annbeetle annbeetle");
  await expect(strength(page)).toContainText("Too easy to guess.");
  await app.password.fill(GOOD);
  await expect(strength(page)).toHaveText("Strong password.");
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  await app.password.fill("");
  await expect(strength(page)).toHaveText("");
  expect(passwords, "the page itself detects a short password").not.toContain("short");
});

test("the page requests a strength check after a pause in typing, one at a time", async ({ page }) => {
  const app = await registerByOwnClock(page);
  const passwords = asked(page);
  let release = () => {};
  await page.route("**/fn/judge_password", async (route) => {
    await new Promise<void>((resolve) => (release = resolve));
    await route.continue();
  });
  await app.password.pressSequentially("password");
  expect(passwords).toEqual([]);
  await page.clock.runFor(PAUSE_MS);
  await expect.poll(() => passwords).toEqual(["password"]);
  await app.password.pressSequentially("-2");
  await page.clock.runFor(PAUSE_MS);
  await app.password.fill(GOOD);
  await page.clock.runFor(PAUSE_MS);
  expect(passwords).toEqual(["password"]);
  release();
  await expect.poll(() => passwords).toEqual(["password", GOOD]);
  release();
  await expect(strength(page)).toHaveText("Strong password.");
});

test("a submitted form requests no additional strength check", async ({ page, complaints }) => {
  complaints.expect(status(400));
  const app = await registerByOwnClock(page);
  const passwords = asked(page);
  await app.email.fill("ann.beetle@example.org");
  await app.username.fill("annbeetle");
  await app.password.fill("annbeetle");
  await app.password.press("Enter");
  await expect(app.password).toHaveAttribute("aria-invalid", "true");
  await page.clock.runFor(PAUSE_MS);
  await app.password.fill("annbeetle1");
  await page.clock.runFor(PAUSE_MS);
  await expect.poll(() => passwords).toEqual(["annbeetle1"]);
});

test("a logged-in user gets a warning if a password contains their username", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.open("/account/security");
  await page.getByRole("button", { name: "Change password" }).click();
  await page.getByLabel("New password").fill(`${user.username}1`);
  await expect(strength(page)).toHaveText(
    "Too easy to guess. It contains your email, your username or this service's name.",
  );
});
