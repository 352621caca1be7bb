// The first admin, who is made by a link, from an empty folder (R142).
import { expectAccessible } from "../support/accessible.js";
import { expect, register, Server, somebody, status, test as base, Vestibule } from "../support/fixtures.js";

/** Each test has a server without an admin. */
const test = base.extend<{ fresh: Server }>({
  fresh: async ({}, use) => {
    const server = await new Server().start();
    await use(server);
    await server.remove();
  },
  baseURL: async ({ fresh }, use) => use(fresh.url),
});

/** The link that the command line prints beside the running server. */
function setupLink(server: Server): string {
  const printed = server.run(["operator", "link"]);
  const link = printed.match(/http\S+\/setup#vsl_\w+/)?.[0] ?? "";
  expect(link, printed).toContain(`${server.url}/setup#vsl_`);
  return link;
}

test("the link creates the first admin, and works once_r142", async ({ page, fresh, complaints }) => {
  complaints.expect(status(400));
  expect(fresh.log).toContain("vestibule operator link");
  const link = setupLink(fresh);
  const admin = somebody();
  const app = new Vestibule(page);
  await app.open(link);
  await expect(app.heading).toHaveText("Create the first admin");
  await expect(page, "the token leaves the address bar").toHaveURL(`${fresh.url}/setup`);
  await expectAccessible(page);
  await app.email.fill("ann");
  await app.username.fill("admin");
  await app.password.fill(admin.password);
  await page.getByRole("button", { name: "Create admin" }).click();
  await expect(app.email).toHaveAccessibleDescription(/Enter a full email address/);
  await app.email.fill(admin.email);
  await page.keyboard.press("Enter");
  await expect(page.getByText("You are the first admin. Log in below.")).toBeVisible();
  await expect(app.email).toHaveValue(admin.email);
  await app.password.fill(admin.password);
  await app.loginButton.click();
  await expect(app.welcome).toHaveText("Hello, admin");

  await page.goto("about:blank");
  await app.open(link);
  await expect(app.heading).toHaveText("This link no longer works");
  await expect(app.heading).toBeFocused();
  await expect(page.getByText("vestibule operator link")).toBeVisible();
  await expectAccessible(page);
});

test("the link makes a registered account the first admin_r142", async ({ page, fresh, request, complaints }) => {
  // The new role ends the session, so its check fails.
  complaints.expect(status(401), status(403));
  const user = await register(request);
  const app = new Vestibule(page);
  await app.logIn(user);
  await app.open(setupLink(fresh));
  await expect(app.heading).toHaveText(`Make ${user.username} the first admin`);
  await expect(page.getByText(`This also confirms the email ${user.email}.`)).toBeVisible();
  await expectAccessible(page);
  await app.password.fill("not my password");
  await page.getByRole("button", { name: "Become an admin" }).click();
  await expect(app.password).toHaveAccessibleDescription(/That is not your password/);
  await app.password.fill(user.password);
  await page.keyboard.press("Enter");
  await expect(page.getByText("You are the first admin. Log in again.")).toBeVisible();
  await expect(app.email).toHaveValue(user.email);
  await app.password.fill(user.password);
  await app.loginButton.click();
  await expect(app.welcome).toBeVisible();
});

test("somebody who is logged in can create another account for the admin", async ({ page, fresh, request }) => {
  const app = new Vestibule(page);
  await app.logIn(await register(request));
  await app.open(setupLink(fresh));
  await page.getByRole("button", { name: "Use another account" }).click();
  await expect(app.heading).toHaveText("Create the first admin");
});

test("an incomplete link names the terminal", async ({ page, fresh }) => {
  const app = new Vestibule(page);
  await app.open(`${fresh.url}/setup`);
  await expect(app.heading).toHaveText("This link is incomplete");
  await expect(page.getByText("Copy the whole link from the terminal")).toBeVisible();
  await expectAccessible(page);
});
