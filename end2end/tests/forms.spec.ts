// The forms: errors next to their fields, typed text is never lost, one request at a time (R20, R77).
import { expect, somebody, status, test, Vestibule } from "../support/fixtures.js";

test("errors are shown beside their fields, describe them, and move the focus there", async ({ page, complaints }) => {
  complaints.expect(status(400));
  const app = new Vestibule(page);
  await app.open("/register");
  await app.email.fill("not an address");
  await app.username.fill("x");
  await app.password.fill("a-fine-long-passphrase");
  await app.registerButton.click();
  for (const field of [app.email, app.username]) {
    await expect(field).toHaveAttribute("aria-invalid", "true");
    await expect(field).toHaveAccessibleDescription(/[A-Z].*\./);
  }
  await expect(app.email).toBeFocused();
  await expect(app.email).toHaveValue("not an address");
  await expect(app.username).toHaveValue("x");
  await expect(page.getByRole("alert").filter({ hasText: "Please correct the 2 marked fields." })).toBeVisible();
});

test("a single error is shown only at its field", async ({ page }) => {
  const app = new Vestibule(page);
  await app.open("/login");
  await app.email.fill("ann@example.org");
  await app.loginButton.click();
  await expect(app.password).toHaveAccessibleDescription("Please fill in this field.");
  await expect(app.password).toBeFocused();
  await expect(page.getByRole("alert").filter({ hasText: /./ })).toHaveCount(0);
  await expect(page.locator(".notice:visible")).toHaveCount(0);
});

test("a password that is easy to guess is rejected with advice", async ({ page, complaints }) => {
  complaints.expect(status(400));
  const app = new Vestibule(page);
  const user = somebody();
  await app.open("/register");
  await app.email.fill(user.email);
  await app.username.fill(user.username);
  for (const [password, advice] of [["short", /at least 8/i], ["password1", /too easy to guess/i]] as const) {
    await app.password.fill(password);
    await app.registerButton.click();
    await expect(app.password).toHaveAccessibleDescription(advice);
    await expect(app.password).toHaveAttribute("aria-invalid", "true");
    await expect(app.password).toBeFocused();
  }
  await expect(app.email).toHaveValue(user.email);
});

test("an empty form marks its required fields", async ({ page }) => {
  const app = new Vestibule(page);
  await app.open("/login");
  await app.loginButton.click();
  await expect(app.email).toBeFocused();
  await expect(app.email).toHaveAccessibleDescription(/fill in/i);
  await expect(app.password).toHaveAttribute("aria-invalid", "true");
});

test("after a wrong password, the form keeps the email and shows an error", async ({ page, user, complaints }) => {
  complaints.expect(status(400));
  const app = new Vestibule(page);
  await app.open("/login");
  await app.fillLogin({ ...user, password: "a wrong password" });
  await app.loginButton.click();
  await expect(page.getByRole("alert").filter({ hasText: "Wrong email or password." })).toBeVisible();
  await expect(app.email).toHaveValue(user.email);
  await expect(app.password, "typing replaces the wrong password").toBeFocused();
  await page.keyboard.type(user.password);
  await page.keyboard.press("Enter");
  await expect(app.welcome).toBeVisible();
});

test("a rate limit shows a countdown, is announced once, and ends by itself", async ({ page, user, complaints }) => {
  complaints.expect(status(429), status(503));
  await page.clock.install();
  const app = new Vestibule(page);
  let requests = 0;
  await page.route("**/fn/login", async (route) => {
    requests += 1;
    if (requests > 1) return route.continue();
    await route.fulfill({ status: 429, contentType: "application/json", body: '{"rate_limited":{"retry_after":12}}' });
  });
  await app.open("/login");
  await app.fillLogin(user);
  await app.loginButton.click();
  const alert = page.getByRole("alert").filter({ hasText: "Too many attempts. Try again in 12 seconds." });
  const seen = page.locator(".form-alert .notice");
  await expect(alert).toBeVisible();
  await expect(seen).toHaveText("Too many attempts. Try again in 12 seconds.");
  await expect(page.locator(".form-alert")).toBeFocused();
  await expect(app.loginButton).toBeDisabled();
  await page.clock.runFor(3_000);
  await expect(seen).toHaveText("Too many attempts. Try again in 9 seconds.");
  await expect(alert, "screen readers don't announce each second").toHaveCount(1);
  await app.password.press("Enter");
  await page.clock.runFor(9_000);
  await expect(seen).toBeHidden();
  await expect(app.loginButton).toBeEnabled();
  expect(requests, "no request is sent during the wait").toBe(1);
  await expect(app.password).toHaveValue(user.password);
  await app.loginButton.click();
  await expect(app.welcome).toBeVisible();
});

test("a rejected registration doesn't reveal whether the email or the username is in use", async (
  { page, user, complaints },
) => {
  complaints.expect(status(409));
  const app = new Vestibule(page);
  await app.open("/register");
  await app.email.fill(somebody().email);
  await app.username.fill(user.username);
  await app.password.fill(user.password.replace("walrus", "pelican"));
  await app.registerButton.click();
  await expect(page.getByRole("alert").filter({ hasText: "already exists" })).toBeVisible();
  await expect(app.username).toHaveValue(user.username);
});

test("text that is typed before the hydration is kept", async ({ page, user }) => {
  const app = new Vestibule(page);
  let release = () => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  await page.route("**/*.wasm", async (route) => {
    await gate;
    await route.continue();
  });
  await page.goto("/login", { waitUntil: "commit" });
  await app.fillLogin(user);
  release();
  await app.live();
  await expect(app.email).toHaveValue(user.email);
  await expect(app.password).toHaveValue(user.password);
  await app.loginButton.click();
  await expect(app.welcome).toBeVisible();
});

test("a double click on a slow connection sends one request, and the form is marked as busy", async (
  { page, user },
) => {
  const app = new Vestibule(page);
  let requests = 0;
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await page.route("**/fn/login", async (route) => {
    requests += 1;
    await held;
    await route.continue();
  });
  await app.open("/login");
  await app.fillLogin(user);
  await app.loginButton.dblclick();
  await app.password.press("Enter");
  await expect(page.locator("form")).toHaveAttribute("aria-busy", "true");
  release();
  await expect(app.welcome).toBeVisible();
  expect(requests).toBe(1);
});

test("password fields work with password managers, and a button shows the password_r20", async ({ page }) => {
  const app = new Vestibule(page);
  await app.open("/login");
  await expect(app.email).toHaveAttribute("autocomplete", "username");
  await expect(app.password).toHaveAttribute("autocomplete", "current-password");
  await expect(app.password).toHaveAttribute("type", "password");
  await app.password.fill("shown or not");
  const show = page.getByRole("button", { name: /password/i });
  await show.click();
  await expect(app.password).toHaveAttribute("type", "text");
  await show.click();
  await expect(app.password).toHaveAttribute("type", "password");
  await expect(app.password).toHaveValue("shown or not");
  await app.open("/register");
  await expect(app.email).toHaveAttribute("autocomplete", "email");
  await expect(app.username).toHaveAttribute("autocomplete", "username");
  await expect(app.password).toHaveAttribute("autocomplete", "new-password");
});

test("without WebAssembly, no form puts its fields into a URL_r77", async ({ page, complaints, server }) => {
  complaints.expect(/ERR_FAILED|ERR_BLOCKED|Failed to fetch|TypeError/);
  await page.route("**/*.wasm", (route) => route.abort());
  const addresses: string[] = [];
  page.on("request", (request) => addresses.push(request.url()));
  for (const path of ["/login", "/register"]) {
    await page.goto(path);
    await expect(page.getByRole("alert").filter({ hasText: "This page could not start." })).toBeVisible();
    await expect(page.locator("form")).toHaveAttribute("method", "post");
    const app = new Vestibule(page);
    await app.email.fill("someone@example.org");
    await app.password.fill("a-secret-in-the-field");
    await app.password.press("Enter");
    await expect(page.locator("main button[type=submit]")).toBeDisabled();
    expect(page.url()).not.toContain("?");
  }
  expect(addresses.join("\n")).not.toContain("secret");
  expect(server.log).not.toContain("secret-in-the-field");
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });

  test("the page reports that it requires JavaScript, and sends nothing_r77", async ({ page, complaints }) => {
    complaints.expect(/^request: \S+\.js csp$/);
    const html = await (await page.goto("/login"))?.text();
    expect(html).toMatch(/<noscript>.*JavaScript is off\..*<\/noscript>/s);
    await expect(page.locator("form")).toHaveAttribute("method", "post");
    await expect(page.locator("main button[type=submit]")).toBeDisabled();
  });
});
