// Mail that a real SMTP server receives, and the views of its links (R2, R6, R53 to R59).
import { AxeBuilder } from "@axe-core/playwright";
import { type Page } from "@playwright/test";
import { expect, Server, somebody, status, test as base, type User, Vestibule } from "../support/fixtures.js";
import { Mailbox } from "../support/mailbox.js";

const NEW = "orchard-walrus-lantern-quilt";
const SENDING = {
  VESTIBULE_MAIL_FROM: "Vestibule <no-reply@example.org>",
  VESTIBULE_SERVER_PUBLIC_URL: "http://accounts.localhost",
};

/** A server that sends mail, and the mailbox that receives it. */
interface Fixtures {
  mailbox: Mailbox;
  sending: Server;
}

const test = base.extend<{}, Fixtures>({
  mailbox: [
    async ({}, use) => {
      const mailbox = await new Mailbox().start();
      await use(mailbox);
      await mailbox.stop();
    },
    { scope: "worker" },
  ],
  sending: [
    async ({ mailbox }, use) => {
      const server = await new Server({
        ...SENDING,
        VESTIBULE_MAIL_URL: mailbox.url,
      }).start();
      await use(server);
      await server.remove();
    },
    { scope: "worker" },
  ],
});

/** A link from a mail, with the real address of the test's server. */
function here(link: string, server: Server): string {
  expect(link).toMatch(/^http:\/\/accounts\.localhost\//);
  return link.replace("http://accounts.localhost", server.url);
}

/** Registers. Where mail is sent, this doesn't log in. */
async function registerInPage(page: Page, server: Server, user: User, sends = true): Promise<void> {
  const app = new Vestibule(page);
  await app.open(`${server.url}/register`);
  await app.email.fill(user.email);
  await app.username.fill(user.username);
  await app.password.fill(user.password);
  await app.registerButton.click();
  await expect(page).toHaveURL(/\/login$/);
  await expect(sends ? app.loginButton : app.welcome).toBeVisible();
}

async function logInAt(page: Page, server: Server, user: User): Promise<Vestibule> {
  const app = new Vestibule(page);
  await app.open(`${server.url}/login`);
  await app.fillLogin(user);
  await app.loginButton.click();
  await expect(app.welcome).toBeVisible();
  return app;
}

test("a link confirms an email, and opening it doesn't use it up_r6_r58", async (
  { page, sending, mailbox, complaints, request },
) => {
  complaints.expect(status(403));
  const user = somebody();
  await registerInPage(page, sending, user);
  await expect(page.getByText("We sent you an email to confirm your address.")).toBeVisible();
  const mail = await mailbox.next(user.email);
  expect(mail).toMatchObject({ from: "\"Vestibule\" <no-reply@example.org>", subject: "Confirm your email for Vestibule" });
  expect(mail.html).toMatch(/<a class="button" href="[^"]+\/verify#vsl_\w+" [^>]*>Confirm your email<\/a>/);
  const link = here(mail.link, sending);
  for (let time = 0; time < 10; time++) expect((await request.get(link)).status()).toBe(200);

  const app = new Vestibule(page);
  const sent: string[] = [];
  page.on("request", (asked) => sent.push(`${asked.url()} ${JSON.stringify(asked.headers())}`));
  await app.open(link);
  await expect(app.heading).toHaveText("Confirm your email");
  await expect(page).toHaveURL(`${sending.url}/verify`);
  const token = new URL(link).hash.slice(1);
  expect(token).toMatch(/^vsl_/);
  await page.reload();
  await app.live();
  await expect(app.heading, "a reload doesn't lose the link").toHaveText("Confirm your email");
  expect(await app.storage(), "only the history has the token").toMatchObject({ session: "{}", local: "{}", cookies: "" });
  await app.password.fill("not my password");
  await page.getByRole("button", { name: "Confirm email" }).click();
  await expect(app.password).toHaveAccessibleDescription(/That is not your password/);
  await app.password.fill(user.password);
  await page.getByRole("button", { name: "Confirm email" }).click();
  await expect(page.getByText("Your email is confirmed.")).toBeVisible();
  expect(sent.filter((text) => text.includes(token)), "the token is in no URL and no header").toEqual([]);
  await page.goBack();
  expect(page.url()).not.toContain("vsl_");
  expect(await page.evaluate(() => JSON.stringify(history.state)), "a used link is forgotten").not.toContain("vsl_");

  await page.goto("about:blank");
  await app.open(link);
  await expect(app.heading).toHaveText("This link no longer works");
  await expect(app.heading).toBeFocused();
  await expect(page.getByRole("main").getByRole("link")).toHaveText(["Send a new link"]);
  await expect(app.password, "an invalid link requests no password").toHaveCount(0);
});

for (const [path, label, leadsTo] of [
  ["/reset", "Send a new link", "Reset your password"],
  ["/verify", "Send a new link", "Log in"],
  ["/confirm-email", "Send a new link", "Log in"],
  ["/undo-email", "Log in", "Log in"],
] as const) {
  test(`an invalid or missing link at ${path} shows a message and one button`, async ({ page, sending }) => {
    const app = new Vestibule(page);
    for (const [fragment, heading] of [
      ["", "This link is incomplete"],
      [`#vsl_${"A".repeat(49)}`, "This link no longer works"],
    ] as const) {
      await page.goto("about:blank");
      await app.open(sending.url + path + fragment);
      await expect(app.heading).toHaveText(heading);
      await expect(page.getByRole("main").locator("form")).toHaveCount(0);
      await expect(page.getByRole("main").getByRole("link")).toHaveText([label]);
      expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
    }
    await page.getByRole("main").getByRole("link", { name: label }).click();
    await expect(app.heading).toHaveText(leadsTo);
  });
}

test("a link that is used elsewhere while its form is open shows that it is invalid", async (
  { page, sending, mailbox, request, complaints },
) => {
  complaints.expect(status(410));
  const user = somebody();
  await registerInPage(page, sending, user);
  const link = here((await mailbox.next(user.email)).link, sending);
  const app = new Vestibule(page);
  await app.open(link);
  const data = { token: new URL(link).hash.slice(1), password: user.password };
  expect((await request.post(`${sending.url}/api/accounts/verify_email/`, { data })).status()).toBe(200);
  await app.password.fill(user.password);
  await page.getByRole("button", { name: "Confirm email" }).click();
  await expect(app.heading).toHaveText("This link no longer works");
  await expect(app.heading).toBeFocused();
});

test("the owner of an email claims the account that a stranger created with it_r6", async (
  { page, sending, mailbox, complaints },
) => {
  complaints.expect(status(400));
  const user = somebody();
  await registerInPage(page, sending, user);
  const app = new Vestibule(page);
  await app.open(here((await mailbox.next(user.email)).link, sending));
  await page.getByRole("button", { name: "Claim this account" }).click();
  await expect(app.heading).toHaveText("Claim this account");
  await expect(app.heading).toBeFocused();
  await page.getByLabel("New password").fill(NEW);
  await page.getByRole("button", { name: "Set password" }).click();
  await expect(page.getByText("Your password was changed. Log in with the new one.")).toBeVisible();
  await expect(app.email, "the server returns the email of the link").toHaveValue(user.email);
  await app.password.fill(user.password);
  await app.loginButton.click();
  await expect(page.getByRole("alert").filter({ hasText: "Wrong email or password." })).toBeVisible();
  await logInAt(page, sending, { ...user, password: NEW });
});

test("a user resets a forgotten password_r57", async ({ page, sending, mailbox, complaints }) => {
  complaints.expect(status(400));
  const user = somebody();
  await registerInPage(page, sending, user);
  const app = new Vestibule(page);
  await app.open(here((await mailbox.next(user.email)).link, sending));
  await app.password.fill(user.password);
  await page.getByRole("button", { name: "Confirm email" }).click();
  await expect(app.email, "the server returns the email of the link").toHaveValue(user.email);
  await page.getByRole("link", { name: "Forgot your password?" }).click();
  await expect(app.heading).toHaveText("Reset your password");
  await expect(page).toHaveTitle("Reset password · Vestibule");
  await expect(app.email, "the email is already filled in").toHaveValue(user.email);
  await app.email.clear();
  await page.getByRole("button", { name: "Send reset link" }).click();
  await expect(app.email).toHaveAccessibleDescription(/Please fill in this field/);
  await app.email.fill(user.email);
  await page.keyboard.press("Enter");
  await expect(app.heading).toHaveText("Check your email");
  await expect(app.heading).toBeFocused();
  const mail = await mailbox.next(user.email);
  expect(mail.subject).toBe("Choose a new password for Vestibule");
  await app.open(here(mail.link, sending));
  // A password manager reads the field before the view is removed.
  const filled = await page.locator("input[autocomplete=username]").evaluateHandle((input: HTMLInputElement) => {
    const seen = { email: input.value };
    new MutationObserver(() => (seen.email = input.value)).observe(input, { attributes: true });
    return seen;
  });
  await page.getByLabel("New password").fill("password");
  await page.getByRole("button", { name: "Set password" }).click();
  await expect(page.getByLabel("New password")).toHaveAccessibleDescription(/too easy to guess/);
  await page.getByLabel("New password").fill(NEW);
  await page.getByRole("button", { name: "Set password" }).click();
  await expect(page.getByText("Your password was changed. Log in with the new one.")).toBeVisible();
  expect(await filled.evaluate((seen) => seen.email), "the server's response fills the field").toBe(user.email);
  await logInAt(page, sending, { ...user, password: NEW });
  expect((await mailbox.next(user.email)).subject).toBe("Your password at Vestibule was changed");
});

test("if mail goes to a folder, the page refers to the folder", async ({ page, user }) => {
  const app = new Vestibule(page);
  await app.open("/forgot");
  await app.email.fill(user.email);
  await page.getByRole("button", { name: "Send reset link" }).click();
  await expect(app.heading).toHaveText("Check the mail folder");
  await expect(page.getByText(`If ${user.email} has an account, its reset link is in the server's mail folder.`)).toBeVisible();
});

test("an email is changed in the account view, and the change is undone by the old email_r59", async (
  { page, sending, mailbox, complaints },
) => {
  complaints.expect(status(401));
  const user = somebody();
  await registerInPage(page, sending, user);
  await mailbox.next(user.email);
  const app = await logInAt(page, sending, user);
  await app.switcher.selectOption("Account");
  await expect(page.getByText("Not confirmed", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Resend confirmation email" }).click();
  await expect(page.getByText("Email sent. Open its link to confirm your address.")).toBeVisible();
  expect((await mailbox.next(user.email)).subject).toBe("Confirm your email for Vestibule");
  const next = somebody().email;
  await page.getByRole("button", { name: "Change email" }).click();
  await page.getByLabel("New email").fill(next);
  await page.getByRole("button", { name: "Change email" }).click();
  await expect(page.getByText(`We sent a link to ${next}.`)).toBeVisible();
  await app.open(here((await mailbox.next(next)).link, sending));
  await expect(app.heading).toHaveText("Confirm your new email");
  await app.password.fill(user.password);
  await page.getByRole("button", { name: "Use this email" }).click();
  await expect(page.getByText("Your email was changed.")).toBeVisible();
  await expect(page).toHaveURL(/\/account$/);
  await expect(page.locator(".row").filter({ hasText: next })).toContainText("Confirmed");

  // The first email was not confirmed, so it got no notice. The second one gets a notice.
  const last = somebody().email;
  await page.getByRole("button", { name: "Change email" }).click();
  await page.getByLabel("New email").fill(last);
  await page.getByRole("button", { name: "Change email" }).click();
  await app.open(here((await mailbox.next(last)).link, sending));
  await app.password.fill(user.password);
  await page.getByRole("button", { name: "Use this email" }).click();
  await expect(page.locator(".row").filter({ hasText: last })).toContainText("Confirmed");
  const notice = await mailbox.next(next);
  expect(notice.text).toContain(`now uses another email: ${last}.`);
  await app.open(here(notice.link, sending));
  await expect(app.heading).toHaveText("Undo the email change");
  await page.getByLabel("New password").fill(NEW);
  await page.getByRole("button", { name: "Undo the change" }).click();
  await expect(page.getByText("You have your email back. Log in with your new password.")).toBeVisible();
  await logInAt(page, sending, { ...user, email: next, password: NEW });
});

test("a pending change of email is shown in the account view, and can be cancelled there", async (
  { page, sending, mailbox },
) => {
  const user = somebody();
  await registerInPage(page, sending, user);
  await mailbox.next(user.email);
  const app = await logInAt(page, sending, user);
  await app.switcher.selectOption("Account");
  const next = somebody().email;
  await page.getByRole("button", { name: "Change email" }).click();
  await page.getByLabel("New email").fill(next);
  await page.getByRole("button", { name: "Change email" }).click();
  const pending = page.getByText(`Waiting for confirmation of ${next}.`);
  await expect(pending).toBeVisible();
  const resend = page.getByRole("button", { name: "Resend confirmation email" });
  await expect(resend).toHaveCount(0);
  const link = here((await mailbox.next(next)).link, sending);

  await page.reload();
  await expect(pending).toBeVisible();
  expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  await page.getByRole("button", { name: "Cancel the change" }).press("Enter");
  await expect(page.getByText("The change is cancelled. Your email stays the same.")).toBeVisible();
  await expect(pending).toHaveCount(0);
  await expect(resend).toBeVisible();
  await expect(page.getByRole("button", { name: "Change email" })).toBeFocused();

  await app.open(link);
  await expect(app.heading).toHaveText("This link no longer works");
});

test("following a link within the page keeps the token of the opened link", async ({ page, sending, mailbox }) => {
  const user = somebody();
  await registerInPage(page, sending, user);
  const app = new Vestibule(page);
  await app.open(here((await mailbox.next(user.email)).link, sending));
  await page.evaluate(() => document.body.focus());
  await page.getByRole("link", { name: "Skip to content" }).press("Enter");
  await app.password.fill(user.password);
  await page.getByRole("button", { name: "Confirm email" }).click();
  await expect(page.getByText("Your email is confirmed.")).toBeVisible();
});

test("registering a used email looks the same, and its owner gets a mail_r2", async ({ page, sending, mailbox }) => {
  const user = somebody();
  await registerInPage(page, sending, user);
  await mailbox.next(user.email);
  await registerInPage(page, sending, { ...somebody(), email: user.email });
  await expect(page.getByText("Account created.")).toBeVisible();
  expect((await mailbox.next(user.email)).subject).toBe("Confirm your email for Vestibule");
});

test("mail is delivered after an outage of the mail server and a restart", async ({ page }) => {
  test.setTimeout(120_000);
  const away = await new Mailbox().start();
  await away.stop();
  const server = await new Server({
    ...SENDING,
    VESTIBULE_MAIL_URL: away.url,
  }).start();
  const back = new Mailbox(away.port);
  try {
    const user = somebody();
    await registerInPage(page, server, user);
    await expect.poll(() => server.log).toContain("mail could not be sent, will retry");
    await back.start();
    await server.restart();
    // The program waits half a minute before it tries again.
    expect((await back.next(user.email, 90_000)).subject).toBe("Confirm your email for Vestibule");
    expect(server.log).not.toContain("vsl_");
  } finally {
    await server.remove();
    await back.stop();
  }
});

test("without SMTP, each mail is a file whose path is logged", async ({ page }) => {
  const server = await new Server().start();
  try {
    await registerInPage(page, server, somebody(), false);
    await expect.poll(() => server.log).toMatch(/mail\/[0-9a-f.-]+\.eml/);
    expect(server.log).not.toContain("vsl_");
  } finally {
    await server.remove();
  }
});

test("if a confirmed email is required, the login reports it", async ({ page, mailbox, complaints }) => {
  complaints.expect(status(403));
  const server = await new Server({
    ...SENDING,
    VESTIBULE_MAIL_URL: mailbox.url,
    VESTIBULE_REGISTRATION_REQUIRE_VERIFIED_EMAIL: "true",
  }).start();
  try {
    const user = somebody();
    const app = new Vestibule(page);
    await registerInPage(page, server, user);
    await expect(page.getByText("Open the link in the email that we sent you, then log in.")).toBeVisible();
    await app.fillLogin(user);
    await app.loginButton.click();
    await expect(page.getByRole("alert").filter({ hasText: "Confirm your email first" })).toBeVisible();
    await app.open(here((await mailbox.next(user.email)).link, server));
    await app.password.fill(user.password);
    await page.getByRole("button", { name: "Confirm email" }).click();
    await expect(page.getByText("Your email is confirmed.")).toBeVisible();
    await logInAt(page, server, user);
  } finally {
    await server.remove();
  }
});

for (const colorScheme of ["light", "dark"] as const) {
  for (const width of [390, 1440]) {
    test(`the views of links are accessible and fit the screen, ${colorScheme} at ${width}`, async (
      { page, sending },
    ) => {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      const app = new Vestibule(page);
      for (const path of ["/forgot", "/reset", "/verify", "/confirm-email", "/undo-email"]) {
        await app.open(sending.url + path);
        expect((await new AxeBuilder({ page }).analyze()).violations, path).toEqual([]);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        expect(wide, path).toBeLessThanOrEqual(0);
      }
    });
  }
}
