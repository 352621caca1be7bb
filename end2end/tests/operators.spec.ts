// The operators' page: the list of accounts, the page of an account, and what each role may do (R141).
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { APIRequestContext, Browser, Page } from "@playwright/test";
import { expectAccessible } from "../support/accessible.js";
import {
  expect, register, Server, somebody, status, test as base, token, type User, Vestibule,
} from "../support/fixtures.js";

/** How many accounts are imported. */
const PEOPLE = 120;
const LIST = "/operators/accounts";

interface Staff {
  admin: User;
  support: User;
  auditor: User;
}

/** A server with imported accounts, two groups and an operator of each role. */
const test = base.extend<{}, { staff: Staff }>({
  staff: [
    async ({ server }, use) => {
      const lines = Array.from({ length: PEOPLE }, (_, at) => {
        const name = `member${String(at).padStart(3, "0")}`;
        return `${name}@example.net,${name},${at % 3 === 0 ? "editors" : ""}`;
      });
      writeFileSync(join(server.folder, "people.csv"), ["email,username,groups", ...lines, ""].join("\n"));
      server.run(["import", "csv", "people.csv"]);
      server.run(["group", "add", "night shift"]);
      const hire = (role: string) => {
        const user = somebody();
        server.run(["operator", "add", user.email, user.username, "--role", role], `${user.password}\n`);
        return user;
      };
      await use({ admin: hire("admin"), support: hire("support"), auditor: hire("auditor") });
    },
    { scope: "worker" },
  ],
});

const search = (page: Page) => page.getByRole("searchbox", { name: "Email, username or id" });
const lines = (page: Page) => page.getByRole("row").filter({ has: page.getByRole("rowheader") });
const filter = (page: Page, name: string) => page.getByRole("combobox", { name, exact: true });
const section = (page: Page, name: string) => page.getByRole("region", { name, exact: true });
const row = (page: Page, label: string) =>
  page.locator(".row").filter({ has: page.getByRole("term").getByText(label, { exact: true }) });

/** Opens the list as an operator. */
async function open(page: Page, operator: User): Promise<Vestibule> {
  const app = new Vestibule(page);
  await app.logIn(operator);
  await app.switcher.selectOption("Administration");
  await expect(app.heading).toHaveText("Accounts");
  await expect(lines(page).first()).toBeVisible();
  return app;
}

/** Opens the page of an account. */
async function openAccount(app: Vestibule, user: User): Promise<void> {
  const { page } = app;
  await search(page).fill(user.email);
  await page.keyboard.press("Enter");
  await expect(page.getByText("1 account matches.")).toBeVisible();
  await page.getByRole("link", { name: user.username }).click();
  await expect(app.heading).toHaveText(user.username);
  await expect(app.heading).toBeFocused();
}

/** A browser of its own, in which somebody is logged in. */
async function elsewhere(browser: Browser, baseURL: string | undefined, user: User): Promise<Vestibule> {
  const context = await browser.newContext({ baseURL });
  const app = new Vestibule(await context.newPage());
  await app.logIn(user);
  return app;
}

/** Registers somebody whose email is confirmed. */
async function confirmed(server: Server, request: APIRequestContext): Promise<User> {
  const user = await register(request);
  server.run(["user", "confirm", user.username]);
  return user;
}

test("only operators see the page, and its code is loaded on demand_r141", async ({ page, user, staff }) => {
  const app = new Vestibule(page);
  const parts: string[] = [];
  page.on("request", (request) => {
    if (/split_|chunk_/.test(request.url())) parts.push(request.url());
  });
  await app.logIn(user);
  await expect(app.switcher.getByRole("option", { name: "Administration" })).toHaveCount(0);
  expect(parts, "a visitor loads no part").toEqual([]);
  await app.open(LIST);
  await expect(app.heading).toHaveText("Administration");
  await expect(page.getByText("This page is for the people who run this service.")).toBeVisible();
  await expectAccessible(page);
  await app.open("/logout");
  await app.logOutButton.click();
  await app.logIn(staff.auditor);
  await expect(app.switcher.getByRole("option", { name: "Administration" })).toHaveCount(1);
  await app.open("/operators");
  await expect(app.heading).toHaveText("Accounts");
  await expect(page).toHaveTitle("Accounts · Vestibule");
});

test("a visitor of the page logs in first, and then sees it", async ({ page, staff }) => {
  const app = new Vestibule(page);
  await app.open(`${LIST}?state=disabled`);
  await expect(page.getByText("Log in to manage accounts.")).toBeVisible();
  await app.fillLogin(staff.support);
  await app.loginButton.click();
  await expect(app.heading).toHaveText("Accounts");
  await expect(filter(page, "State")).toHaveValue("disabled");
  await expect(page.getByText("No accounts match.")).toBeVisible();
});

test("the list shows more accounts on request, each one once", async ({ page, staff }) => {
  await open(page, staff.auditor);
  await filter(page, "Group").selectOption("editors");
  await filter(page, "Sort by").selectOption("Username");
  await expect(page.getByText("40 accounts match.")).toBeVisible();
  await filter(page, "Group").selectOption("Any or none");
  await filter(page, "State").selectOption("Enabled");
  await search(page).fill("member");
  await page.getByRole("button", { name: "Search" }).click();
  await expect(page.getByText("50 shown.")).toBeVisible();
  await expect(lines(page)).toHaveCount(50);
  await page.getByRole("button", { name: "Show more" }).press("Enter");
  await expect(lines(page)).toHaveCount(100);
  await expect(page.getByRole("link", { name: "member050" }), "the first new one has the focus").toBeFocused();
  await page.getByRole("button", { name: "Show more" }).press("Enter");
  await expect(page.getByText(`${PEOPLE} accounts match.`)).toBeVisible();
  await expect(page.getByRole("button", { name: "Show more" })).toHaveCount(0);
  const names = await lines(page).getByRole("rowheader").allTextContents();
  expect(new Set(names).size).toBe(PEOPLE);
  expect(names).toEqual([...names].sort());

  // The way back from an account shows the same list, with all that was loaded.
  await page.getByRole("link", { name: "member110" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("member110");
  await page.goBack();
  await expect(lines(page)).toHaveCount(PEOPLE);
});

test("the filters are in the address, so links and the back button keep them", async ({ page, staff }) => {
  const app = await open(page, staff.auditor);
  await filter(page, "Role").selectOption("Auditor");
  await expect(page).toHaveURL(/\?role=auditor$/);
  await filter(page, "Email").selectOption("Confirmed");
  await search(page).fill(staff.auditor.username.slice(0, -1));
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\?search=\w+&role=auditor&email=confirmed$/);
  await expect(page.getByText("1 account matches.")).toBeVisible();
  await page.getByRole("link", { name: staff.auditor.username }).click();
  await expect(app.heading).toHaveText(staff.auditor.username);
  await expect(page).toHaveTitle(`${staff.auditor.username} · Vestibule`);
  await page.goBack();
  await expect(app.heading).toHaveText("Accounts");
  await expect(app.heading).toBeFocused();
  await expect(search(page)).toHaveValue(staff.auditor.username.slice(0, -1));
  await expect(filter(page, "Role")).toHaveValue("auditor");
  await expect(lines(page)).toHaveCount(1);
  await page.reload();
  await app.live();
  await expect(filter(page, "Email")).toHaveValue("confirmed");
  await expect(lines(page)).toHaveCount(1);
  await search(page).fill("nobody has this name");
  await page.keyboard.press("Enter");
  await expect(page.getByText("No accounts match.")).toBeVisible();
  await page.getByRole("link", { name: "Clear filters" }).click();
  await expect(page).toHaveURL(new RegExp(`${LIST}$`));
  await expect(search(page)).toHaveValue("");
  await expect(lines(page)).toHaveCount(50);
  await page.goBack();
  await expect(search(page)).toHaveValue("nobody has this name");
  await expect(page.getByText("No accounts match.")).toBeVisible();
});

test("an unknown account and an unknown place are missing", async ({ page, staff, complaints }) => {
  complaints.expect(status(404));
  const app = await open(page, staff.auditor);
  for (const id of ["018f2f3a-0000-7000-8000-000000000000", "%3Cscript%3E"]) {
    await app.open(`${LIST}/${id}`);
    await expect(app.heading).toHaveText("There is no such account");
  }
  await page.getByRole("link", { name: "All accounts" }).click();
  await expect(app.heading).toHaveText("Accounts");
  await app.open("/operators/nowhere");
  await expect(app.heading).toHaveText("Page not found");
});

test("an admin disables and enables an account, and its tab is logged out_r141", async (
  { page, browser, baseURL, request, staff, complaints },
) => {
  test.slow();
  complaints.expect(status(401), status(400));
  const person = await register(request);
  const victim = await elsewhere(browser, baseURL, person);
  const app = await open(page, staff.support);
  await openAccount(app, person);
  await expect(row(page, "State")).toContainText("Enabled");
  await page.getByRole("button", { name: "Disable", exact: true }).click();
  await expect(page.getByText("Disable this account?")).toBeVisible();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Disable", exact: true }).click();
  await page.getByRole("button", { name: "Disable", exact: true }).click();
  await expect(page.getByText("The account is disabled.")).toBeVisible();
  await expect(row(page, "State")).toContainText("Disabled since");
  await expect(section(page, "History")).toContainText(`${staff.support.username} disabled the account.`);
  await victim.switcher.selectOption("Account");
  await expect(victim.page.getByText(/session has ended|You were logged out/)).toBeVisible();
  await page.getByRole("link", { name: "All accounts" }).click();
  await expect(lines(page)).toContainText("Disabled");
  await page.getByRole("link", { name: person.username }).click();
  await page.getByRole("button", { name: "Enable", exact: true }).click();
  await expect(page.getByText("The account is enabled.")).toBeVisible();
  await expect(row(page, "State")).toContainText("Enabled");
  await victim.logIn(person);
});

test("an admin ends sessions, revokes tokens and mails a link to a new password", async (
  { page, request, staff },
) => {
  test.slow();
  const person = await register(request);
  const session = await token(request, person);
  const made = await request.post("/api/accounts/tokens/", {
    data: { name: "<img src=x onerror=alert(1)>", scope: "read", days: 7 },
    headers: { Authorization: `Bearer ${session}` },
  });
  expect(made.status(), await made.text()).toBeLessThan(300);
  const app = await open(page, staff.admin);
  await openAccount(app, person);
  await expect(section(page, "Access tokens")).toContainText("<img src=x onerror=alert(1)>");
  await page.getByRole("button", { name: "Revoke all tokens" }).press("Enter");
  await page.getByRole("button", { name: "Revoke all tokens" }).press("Enter");
  await expect(page.getByText("All access tokens are revoked.")).toBeVisible();
  await expect(section(page, "Access tokens")).toContainText("No access tokens.");
  await expect(page.getByRole("heading", { name: "Access tokens" })).toBeFocused();
  await page.getByRole("button", { name: "Log out everywhere" }).click();
  await page.getByRole("button", { name: "Log out everywhere" }).click();
  await expect(page.getByText("The account is logged out everywhere.")).toBeVisible();
  await expect(section(page, "Sessions")).toContainText("Logged in nowhere.");
  await page.getByRole("button", { name: "Mail a link" }).click();
  await expect(page.getByText("The email will be sent.")).toBeVisible();
  await expect(section(page, "History")).toContainText("had a link to a new password sent");
});

test("an admin changes groups, the role and the username", async ({ page, server, request, staff, complaints }) => {
  test.slow();
  complaints.expect(status(400));
  const [person, other] = [await confirmed(server, request), await register(request)];
  const app = await open(page, staff.admin);
  await openAccount(app, person);
  await expect(section(page, "Groups")).toContainText("In no group.");
  await page.getByLabel("Group to add").selectOption("night shift");
  await page.getByRole("button", { name: "Add to group" }).click();
  await expect(page.getByText("Added to night shift.")).toBeVisible();
  await expect(section(page, "History")).toContainText("added the account to the group night shift.");
  await page.getByRole("button", { name: "Remove from night shift" }).click();
  await expect(page.getByText("Removed from night shift.")).toBeVisible();
  await expect(section(page, "Groups")).toContainText("In no group.");

  await page.getByRole("button", { name: "Change the role" }).click();
  await page.getByLabel("New role").selectOption("Support: helps users");
  await page.getByRole("button", { name: "Change role" }).click();
  await expect(page.getByText("The account has the role support.")).toBeVisible();
  await expect(row(page, "Role")).toContainText("Support");

  await page.getByRole("button", { name: "Change the username" }).click();
  const username = page.getByLabel("New username");
  await username.fill(other.username);
  await page.keyboard.press("Enter");
  await expect(username).toHaveAccessibleDescription(/This name is taken/);
  const next = `n${person.username}`.slice(0, 32);
  await username.fill(next);
  await page.keyboard.press("Enter");
  await expect(page.getByText(`The username is now ${next}.`)).toBeVisible();
  await expect(app.heading).toHaveText(next);
  await expect(page.getByRole("button", { name: "Change the username" })).toBeFocused();
});

test("an admin deletes an account by typing its username_r110", async ({ page, request, staff, complaints }) => {
  complaints.expect(status(400));
  const person = await register(request);
  const app = await open(page, staff.admin);
  await openAccount(app, person);
  await page.getByRole("button", { name: "Delete account" }).click();
  const dialog = page.getByRole("dialog", { name: "Delete this account?" });
  const typed = dialog.getByLabel(`Type "${person.username}" to confirm`);
  await expect(typed).toBeFocused();
  await typed.fill("somebody else");
  await page.keyboard.press("Enter");
  await expect(typed).toHaveAccessibleDescription(/This is not the username/);
  await typed.fill(person.username);
  await page.keyboard.press("Enter");
  await expect(page.getByText("The account was deleted.")).toBeVisible();
  await expect(app.heading).toHaveText("Accounts");
  await expect(page.getByText("No accounts match.")).toBeVisible();
});

test("each role sees only the acts that it may do_r141", async ({ page, request, staff }) => {
  test.slow();
  const person = await register(request);
  const acts = ["Change the username", "Change the role", "Disable", "Mail a link", "Delete account", "Add to group"];
  const visible = async () => {
    const shown = [];
    for (const name of acts) {
      if (await page.getByRole("button", { name, exact: true }).count()) shown.push(name);
    }
    return shown;
  };
  const app = await open(page, staff.auditor);
  await openAccount(app, person);
  await expect(page.getByText("You can look at accounts, but not change them.")).toBeVisible();
  expect(await visible()).toEqual([]);
  await app.open("/logout");
  await app.logOutButton.click();

  await open(page, staff.support);
  await openAccount(app, person);
  await expect(page.getByRole("button", { name: "Add to group" })).toBeVisible();
  expect(await visible()).toEqual(["Disable", "Mail a link", "Add to group"]);
  await page.goBack();
  await openAccount(app, staff.auditor);
  await expect(page.getByText("Only an admin can change an operator's account.")).toBeVisible();
  expect(await visible()).toEqual([]);
  await page.goBack();
  await openAccount(app, staff.support);
  await expect(page.getByText("This is your own account.")).toBeVisible();
  expect(await visible()).toEqual([]);
});

test("a change asks for the password once it is long ago, and then goes on_r47", async (
  { page, request, staff, complaints },
) => {
  complaints.expect(status(403));
  const person = await register(request);
  const app = await open(page, staff.admin);
  await openAccount(app, person);
  // The server requires the password again. This stands for the minutes that have passed.
  const refuse = { status: 403, contentType: "application/json", headers: { serverfnerror: "/fn" } };
  await page.route("**/fn/act_on_account", (route) => route.fulfill({ ...refuse, body: '"reauth_required"' }), { times: 1 });
  await page.getByRole("button", { name: "Disable", exact: true }).click();
  await page.getByRole("button", { name: "Disable", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Confirm your password" });
  await expect(dialog).toContainText("Enter your password to disable the account.");
  await dialog.getByLabel("Password", { exact: true }).fill(staff.admin.password);
  await page.keyboard.press("Enter");
  await expect(page.getByText("The account is disabled.")).toBeVisible();
});

test("an operator who loses the role is logged out_r141", async ({ page, server, request, staff, complaints }) => {
  complaints.expect(status(401));
  const person = await confirmed(server, request);
  server.run(["operator", "role", person.username, "support"]);
  const app = await open(page, person);
  await openAccount(app, staff.auditor);
  server.run(["operator", "role", person.username, "none"]);
  await page.getByRole("link", { name: "All accounts" }).click();
  await expect(page.getByText("Log in to manage accounts.")).toBeVisible();
  await app.logIn(person);
  await expect(app.switcher.getByRole("option", { name: "Administration" })).toHaveCount(0);
});

test("the page works with the keyboard alone", async ({ page, request, staff }) => {
  const person = await register(request);
  const app = await open(page, staff.admin);
  await search(page).focus();
  await page.keyboard.type(person.username);
  await page.keyboard.press("Enter");
  await expect(page.getByText("1 account matches.")).toBeVisible();
  for (let press = 0; press < 20; press++) {
    if (await page.getByRole("link", { name: person.username }).evaluate((link) => link === document.activeElement)) break;
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await expect(app.heading).toHaveText(person.username);
  await expect(app.heading).toBeFocused();
  for (let press = 0; press < 20; press++) {
    if (await page.evaluate(() => document.activeElement?.textContent === "Disable")) break;
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("button", { name: "Disable", exact: true })).toBeFocused();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expect(page.getByText("The account is disabled.")).toBeVisible();
});

test("no part of the page has an accessibility violation", async ({ page, server, request, staff }) => {
  test.slow();
  const person = await confirmed(server, request);
  await token(request, person);
  server.run(["group", "join", "editors", person.username]);
  const app = await open(page, staff.admin);
  await expectAccessible(page);
  await search(page).fill("nobody has this name");
  await page.keyboard.press("Enter");
  await expect(page.getByText("No accounts match.")).toBeVisible();
  await expectAccessible(page);
  await openAccount(app, person);
  await expect(section(page, "History")).toContainText("This is everything.");
  await expectAccessible(page);
  await page.getByRole("button", { name: "Disable", exact: true }).click();
  await page.getByRole("button", { name: "Change the role" }).click();
  await expectAccessible(page);
  await page.getByRole("button", { name: "Delete account" }).click();
  await expectAccessible(page);
});
