// Restrictions of registration: closed, or limited to some domains.
import { AxeBuilder } from "@axe-core/playwright";
import { expect, Server, test, Vestibule } from "../support/fixtures.js";

test("no link leads to a closed registration, and its URL shows a message", async ({ page }) => {
  const server = await new Server({ VESTIBULE_REGISTRATION_MODE: "closed" }).start();
  try {
    const app = new Vestibule(page);
    await app.open(`${server.url}/login`);
    await expect(page.locator("a[href='/register'], option[value='/register']")).toHaveCount(0);
    await app.open(`${server.url}/register`);
    await expect(app.heading).toHaveText("Registration is closed");
    await expect(page.getByRole("main").locator("form")).toHaveCount(0);
    await expect(app.switcher).toHaveValue("");
    expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
    await page.getByRole("main").getByRole("link", { name: "Log in" }).click();
    await expect(page).toHaveURL(/\/login$/);
    await expect(page.locator("a[href='/register'], option[value='/register']")).toHaveCount(0);
    await expect(app.switcher).toHaveValue("/login");
  } finally {
    await server.remove();
  }
});

test("an email of a domain that isn't allowed is rejected at its field", async ({ page, complaints }) => {
  complaints.expect(/status of 400|^response: 400 /);
  const server = await new Server({ VESTIBULE_REGISTRATION_ALLOWED_DOMAINS: "example.org" }).start();
  try {
    const app = new Vestibule(page);
    await app.open(`${server.url}/register`);
    await app.email.fill("ann@example.com");
    await app.username.fill("ann");
    await app.password.fill("violet-anchor-37-meadow");
    await app.registerButton.click();
    await expect(app.email).toHaveAccessibleDescription(/Use an email address of example\.org\./);
  } finally {
    await server.remove();
  }
});
