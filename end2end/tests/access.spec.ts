// Accessibility: axe on every view in both themes and three widths, narrow screens, reduced motion.
import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { expect, Server, somebody, status, test, type User, Vestibule } from "../support/fixtures.js";

const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const WIDTHS = [390, 820, 1440];
const PARTS = [
  "/account",
  "/account/security",
  "/account/sessions",
  "/account/tokens",
  "/account/history",
  "/account/data",
];

type Check = (what: string) => Promise<void>;

/** Analyses the page in both themes. Only the contrast depends on the theme. */
function checkerOf(page: Page): Check {
  return async (what) => {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      await page.evaluate(async () => {
        for (const animation of document.getAnimations()) animation.finish();
      });
      // Otherwise each analysis opens a page for the results of other frames, which this page doesn't have.
      const axe = new AxeBuilder({ page }).setLegacyMode();
      const rules = colorScheme === "light" ? axe.withTags(TAGS) : axe.withRules("color-contrast");
      const { violations } = await rules.analyze();
      const found = violations.map(({ id, nodes }) => [id, nodes.map((node) => [node.html, node.failureSummary])]);
      expect(found, `${what}, ${colorScheme}`).toEqual([]);
    }
  };
}

/** Groups of views, by what their test is named after. */
const GROUPS: Record<string, (app: Vestibule, user: User, check: Check) => Promise<void>> = {
  "view for visitors": async (app, _user, check) => {
    for (const path of ["/login", "/register", "/account", "/logout", "/nowhere"]) {
      await app.open(path);
      await check(path);
    }
    await app.open("/register");
    await app.registerButton.click();
    await expect(app.email).toHaveAttribute("aria-invalid", "true");
    await check("/register with errors");
    await app.page.goto("/api/docs");
    await check("/api/docs");
  },
  "view for users": async (app, user, check) => {
    await app.logIn(user);
    await check("/login");
    for (const path of ["/register", "/logout", ...PARTS]) {
      await app.open(path);
      if (PARTS.includes(path)) await expect(app.page.locator(".part h1")).toBeVisible();
      await check(path);
    }
  },
  "form of the account": async (app, user, check) => {
    const { page } = app;
    await app.logIn(user);
    await app.open("/account/data");
    await page.getByRole("button", { name: "Delete account" }).click();
    await check("the dialog before an account is deleted");
    await app.open("/account");
    await page.getByRole("button", { name: "Change email" }).click();
    await check("/account with an open form");
    await app.open("/account/security");
    for (let press = 0; press < 2; press++) await page.getByRole("button", { name: "Change password" }).click();
    await check("/account/security with errors");
    await app.open("/account/tokens");
    await page.getByRole("button", { name: "New token" }).click();
    await page.getByLabel("Name", { exact: true }).fill("Backup");
    await page.keyboard.press("Enter");
    await expect(page.getByRole("heading", { name: "Your new token" })).toBeVisible();
    await check("/account/tokens with a new token");
  },
};

for (const width of WIDTHS) {
  test.describe(`${width} pixels`, () => {
    test.use({ viewport: { width, height: 900 } });

    for (const [group, walk] of Object.entries(GROUPS)) {
      test(`no ${group} has an accessibility violation`, async ({ page, user, complaints }) => {
        test.slow();
        complaints.expect(status(400), status(404));
        await walk(new Vestibule(page), user, checkerOf(page));
      });
    }
  });
}

test("no view scrolls sideways at 320 pixels", async ({ page, request, complaints }) => {
  complaints.expect(status(404));
  // The username has the maximum length, in the widest letter.
  const user = somebody();
  user.username = `${"w".repeat(32 - user.username.length)}${user.username}`;
  expect((await request.post("/api/accounts/api_register/", { data: user })).status()).toBe(200);
  const app = new Vestibule(page);
  await page.setViewportSize({ width: 320, height: 640 });
  const widest = () => page.evaluate(() => document.documentElement.scrollWidth);
  for (const path of ["/login", "/register", "/logout", "/nowhere"]) {
    await app.open(path);
    expect(await widest(), path).toBeLessThanOrEqual(320);
  }
  await app.logIn(user);
  for (const path of ["/login", "/register", "/logout", ...PARTS]) {
    await app.open(path);
    if (PARTS.includes(path)) await expect(page.locator(".part h1")).toBeVisible();
    expect(await widest(), `${path}, logged in`).toBeLessThanOrEqual(320);
  }
  await app.open("/account/tokens");
  await page.getByRole("button", { name: "New token" }).click();
  await page.getByLabel("Name", { exact: true }).fill("w".repeat(64));
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { name: "Your new token" })).toBeVisible();
  await expect(page.getByRole("button", { name: "Revoke" })).toBeVisible();
  expect(await widest(), "a new token").toBeLessThanOrEqual(320);
  await page.goto("/api/docs");
  expect(await widest(), "/api/docs").toBeLessThanOrEqual(320);
});

test("the account links to the API reference, which works with the keyboard", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.open("/account/tokens");
  // The reference opens in another tab, because the page shows a new token only once.
  const opened = page.waitForEvent("popup");
  await page.getByRole("link", { name: "API reference (new tab)" }).press("Enter");
  const manual = await opened;
  await expect(manual).toHaveURL(/\/api\/docs#personal-access-tokens$/);
  await expect(manual.getByRole("heading", { name: "Personal access tokens" })).toBeInViewport();
  await page.goto("/api/docs");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to content" })).toBeFocused();
  await page.getByRole("link", { name: "Sessions", exact: true }).press("Enter");
  await expect(page.getByRole("heading", { name: "Sessions", exact: true })).toBeInViewport();
});

test("the server and the page show a configured minimum length of passwords", async ({ page }) => {
  const server = await new Server({ VESTIBULE_PASSWORD_MIN_LENGTH: "14" }).start();
  try {
    const html = await (await page.goto(`${server.url}/register`))?.text();
    expect(html).toContain("At least 14 characters.");
    const app = new Vestibule(page);
    await app.live();
    await expect(app.password).toHaveAccessibleDescription(/At least 14 characters\./);
    await app.switcher.selectOption("Log in");
    await app.switcher.selectOption("Register");
    await expect(app.password).toHaveAccessibleDescription(/At least 14 characters\./);
  } finally {
    await server.remove();
  }
});

test("the page has no animations if the user prefers reduced motion", async ({ page }) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  const app = new Vestibule(page);
  await app.open("/login");
  const longest = await page.evaluate(() => {
    const seconds = (text: string) => Math.max(...text.split(",").map((one) => parseFloat(one) || 0));
    const all = [...document.querySelectorAll("*")].map((element) => getComputedStyle(element));
    return Math.max(...all.flatMap((style) => [seconds(style.transitionDuration), seconds(style.animationDuration)]));
  });
  expect(longest).toBeLessThanOrEqual(0.01);
});

test("an unknown URL has the status 404 and a page with links", async ({ page, complaints }) => {
  complaints.expect(status(404));
  const answer = await page.goto("/nowhere/at/all");
  expect(answer?.status()).toBe(404);
  const app = new Vestibule(page);
  await app.live();
  await expect(page).toHaveTitle("Page not found · Vestibule");
  await page.getByRole("main").getByRole("link", { name: "Register" }).click();
  await expect(app.heading).toHaveText("Register");
  await expect(app.switcher).toHaveValue("/register");
});
