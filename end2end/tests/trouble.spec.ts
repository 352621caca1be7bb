// Faults: no network, no server, too many attempts.
import { expect, Server, somebody, status, test, UNREACHABLE, Vestibule } from "../support/fixtures.js";

test("without a network, a login fails with a message and keeps the email", async (
  { page, context, user, complaints },
) => {
  complaints.expect(UNREACHABLE);
  const app = new Vestibule(page);
  await app.open("/login");
  await app.fillLogin(user);
  await context.setOffline(true);
  await app.loginButton.click();
  await expect(page.getByRole("alert").filter({ hasText: "can't be reached" })).toBeVisible();
  await expect(app.email).toHaveValue(user.email);
  await context.setOffline(false);
  await app.password.fill(user.password);
  await app.loginButton.click();
  await expect(app.welcome).toBeVisible();
});

test("a logout works without a network, and reports that the server can't be reached_r48", async (
  { page, context, user, complaints },
) => {
  complaints.expect(UNREACHABLE);
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.switcher.selectOption("Log out");
  await expect(app.logOutButton).toBeVisible();
  await context.setOffline(true);
  await app.logOutButton.click();
  await expect(app.heading).toHaveText("You are logged out");
  await expect(page.getByText(/server can't be reached/)).toBeVisible();
  expect((await app.storage()).session).not.toContain("vst_");
  await expect(page.locator("body")).not.toContainText(user.email);
});

test("a user stays logged in after the server is killed and restarted", async ({ page, request, complaints }) => {
  complaints.expect(UNREACHABLE);
  const server = await new Server().start();
  try {
    const user = somebody();
    const registered = await request.post(`${server.url}/api/accounts/api_register/`, { data: user });
    expect(registered.status()).toBe(200);
    const app = new Vestibule(page);
    await app.open(`${server.url}/login`);
    await app.fillLogin(user);
    await app.loginButton.click();
    await expect(app.welcome).toBeVisible();
    await server.kill();
    await app.switcher.selectOption("Log out");
    await expect(app.heading).toHaveText("Do you want to log out?");
    await server.start();
    await page.reload();
    await expect(app.heading).toHaveText("Do you want to log out?");
    await app.switcher.selectOption("Home");
    await expect(app.welcome).toBeVisible();
  } finally {
    await server.remove();
  }
});

test("after too many attempts, the page shows how long to wait", async ({ page, request, complaints }) => {
  complaints.expect(status(429), status(400));
  const app = new Vestibule(page);
  await app.open("/login");
  for (let attempt = 0; attempt < 10; attempt += 1) {
    const data = { email: `unknown${attempt}@example.org`, password: "wrong" };
    await request.post("/api/accounts/api_auth/", { data });
  }
  await app.fillLogin(somebody());
  await app.loginButton.click();
  await expect(page.getByRole("alert").filter({ hasText: /Too many attempts\. Try again in/ })).toBeVisible();
  await expect(app.email).not.toHaveValue("");
});

test("a failed session check keeps the session, and can be repeated", async (
  { page, user, complaints },
) => {
  complaints.expect(UNREACHABLE);
  const app = new Vestibule(page);
  await app.logIn(user);
  await page.route("**/fn/me", (route) => route.abort());
  await page.reload();
  await expect(page.getByRole("alert").filter({ hasText: "can't be reached" })).toBeVisible();
  await expect(page.locator(".button:not(.button-quiet)"), "only one button is highlighted").toHaveText(["Try again"]);
  expect((await app.storage()).session).toContain("vst_");
  await page.unroute("**/fn/me");
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(app.welcome).toBeVisible();
});
