// Registering by an invitation, on a server that requires one (R143, R144).
import { expectAccessible } from "../support/accessible.js";
import { expect, Server, somebody, status, test as base, Vestibule } from "../support/fixtures.js";

/** Each test has a server that requires invitations. */
const test = base.extend<{ closed: Server }>({
  closed: async ({}, use) => {
    const server = await new Server({ VESTIBULE_REGISTRATION_MODE: "invite" }).start();
    await use(server);
    await server.remove();
  },
  baseURL: async ({ closed }, use) => use(closed.url),
});

/** The link that the command line prints beside the running server. */
function invite(server: Server, ...options: string[]): string {
  const printed = server.run(["invitation", "add", ...options]);
  const link = printed.match(/http\S+\/invite#vsi_\w+/)?.[0] ?? "";
  expect(link, printed).toContain(`${server.url}/invite#vsi_`);
  return link;
}

test("a visitor without an invitation reads how to get one_r144", async ({ page, closed }) => {
  const app = new Vestibule(page);
  await app.open(`${closed.url}/register`);
  await expect(app.heading).toHaveText("You need an invitation");
  await expectAccessible(page);
});

test("an invitation for anybody registers one account_r143", async ({ page, closed, complaints }) => {
  complaints.expect(status(400), status(410));
  const link = invite(closed);
  const guest = somebody();
  const app = new Vestibule(page);
  await app.open(link);
  await expect(app.heading).toHaveText("You are invited");
  await expect(page, "the token leaves the address bar").toHaveURL(`${closed.url}/invite`);
  await expect(app.email).toBeEditable();
  await expectAccessible(page);
  await page.reload();
  await app.email.fill(guest.email);
  await app.username.fill("x");
  await app.password.fill(guest.password);
  await app.registerButton.click();
  await expect(app.username).toHaveAccessibleDescription(/Use 3 to 32 characters/);
  await app.username.fill(guest.username);
  await page.keyboard.press("Enter");
  await expect(app.welcome).toHaveText(`Hello, ${guest.username}`);

  await app.open(link);
  await expect(app.heading).toHaveText("This link no longer works");
  await expect(page.getByText("Ask the person who invited you for a new one.")).toBeVisible();
  await expectAccessible(page);
});

test("an invitation for one email shows it and can't be given to another_r143", async ({ page, closed }) => {
  const guest = somebody();
  const app = new Vestibule(page);
  await app.open(invite(closed, guest.email));
  await expect(app.email).toHaveValue(guest.email);
  await expect(app.email).not.toBeEditable();
  await expect(app.email).toHaveAccessibleDescription("The invitation is for this address.");
  await expectAccessible(page);
  await app.username.fill(guest.username);
  await app.password.fill(guest.password);
  await app.registerButton.click();
  await expect(app.welcome).toHaveText(`Hello, ${guest.username}`);
});

test("an invitation that was revoked meanwhile says so when the form is sent_r143", async ({ page, closed, complaints }) => {
  complaints.expect(status(410));
  const guest = somebody();
  const app = new Vestibule(page);
  await app.open(invite(closed));
  await app.email.fill(guest.email);
  await app.username.fill(guest.username);
  await app.password.fill(guest.password);
  const [{ id }] = JSON.parse(closed.run(["invitation", "list", "--json"])) as [{ id: string }];
  closed.run(["invitation", "revoke", id]);
  await app.registerButton.click();
  await expect(app.heading).toHaveText("This link no longer works");
  await expect(app.heading).toBeFocused();
});
