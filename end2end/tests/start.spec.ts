// The page's start, also after translators, password managers and other extensions have changed the document.
import type { Page } from "@playwright/test";
import { expect, status, test, Vestibule } from "../support/fixtures.js";

/** Changes that other programs make to a page, as scripts that run in it. */
const CHANGES: Record<string, () => void> = {
  "a translator wraps each text": () => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found: Text[] = [];
    while (texts.nextNode()) found.push(texts.currentNode as Text);
    for (const text of found) {
      if (!text.data.trim() || text.parentElement?.closest("script, style, noscript, font")) continue;
      const [outer, inner] = [document.createElement("font"), document.createElement("font")];
      inner.textContent = `«${text.data}»`;
      outer.append(inner);
      text.replaceWith(outer);
    }
  },
  "an extension puts elements into the body": () => {
    const foreign = () => Object.assign(document.createElement("div"), { className: "foreign" });
    document.body.prepend(foreign());
    document.body.append(foreign());
  },
  "an extension puts elements into the form": () => {
    for (const form of document.querySelectorAll("form")) {
      form.prepend(document.createElement("grammarly-extension"));
      form.append(document.createElement("div"));
    }
  },
  "a password manager puts elements beside the fields": () => {
    for (const input of document.querySelectorAll("input")) {
      input.before(document.createElement("span"));
      input.after(document.createElement("button"));
      input.setAttribute("data-manager", "yes");
      input.style.paddingRight = "30px";
    }
  },
  "an extension wraps the fields": () => {
    for (const input of document.querySelectorAll("input")) {
      const wrapper = document.createElement("div");
      input.replaceWith(wrapper);
      wrapper.append(input);
    }
  },
  "an extension takes elements and comments out": () => {
    for (const element of document.querySelectorAll(".eyebrow, .hint, header .brand svg")) element.remove();
    const comments = document.createTreeWalker(document.body, NodeFilter.SHOW_COMMENT);
    const found: Comment[] = [];
    while (comments.nextNode()) found.push(comments.currentNode as Comment);
    for (const comment of found) comment.remove();
  },
};

/** Opens a page and delays its WebAssembly, or one part of it, until the returned function is called. */
async function openHeld(page: Page, path: string, file = "vestibule.wasm"): Promise<() => void> {
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await page.route(`**/${file}`, async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(path, { waitUntil: "commit" });
  await page.locator("form").waitFor();
  return release;
}

for (const [what, change] of Object.entries(CHANGES)) {
  test(`before hydration, ${what}: the page starts and works`, async ({ page, user }) => {
    const app = new Vestibule(page);
    const release = await openHeld(page, "/login");
    await app.email.fill(user.email);
    await page.evaluate(change);
    await page.locator("#login-email").focus();
    release();
    await app.live();
    await expect(app.email).toHaveValue(user.email);
    await expect(app.email).toBeFocused();
    await expect(page.locator("#trouble")).toBeHidden();
    await page.getByRole("button", { name: "Show password" }).click();
    await expect(app.password).toHaveAttribute("type", "text");
    await app.switcher.selectOption("Register");
    await expect(app.heading).toHaveText("Register");
    await app.registerButton.click();
    await expect(app.username).toHaveAttribute("aria-invalid", "true");
    await page.goBack();
    // The other view has a field of the same name.
    await expect(app.heading).toHaveText("Log in");
    await app.fillLogin(user);
    await app.loginButton.click();
    await expect(app.welcome).toBeVisible();
  });

  test(`after hydration, ${what}: the page works and shows no outdated text`, async (
    { page, user, complaints },
  ) => {
    complaints.expect(status(400));
    const app = new Vestibule(page);
    await app.open("/login");
    const alter = () => page.evaluate(change);
    const form = page.locator("form");
    const fill = async (password: string) => {
      await page.locator("#login-email").fill(user.email);
      await page.locator("#login-password").fill(password);
    };
    await alter();
    await fill("a wrong password");
    await form.locator("button[type=submit]").click();
    const alert = form.locator("[role=alert]");
    await expect(alert).toHaveText("Wrong email or password.");
    await alter();
    await fill(user.password);
    await form.locator("button[type=submit]").click();
    await expect(page.locator("main h1")).toContainText("Hello, ");
    await expect(page.locator("main")).toContainText(user.username);
    await alter();
    await page.goto("/logout");
    await expect(app.heading).toHaveText("Do you want to log out?");
    await expect(page.locator(".who")).toContainText(user.username);
    await alter();
    await page.locator("main button").first().click();
    await expect(page.locator("main h1")).toContainText("You are logged out");
    await expect(page.locator(".who")).toBeHidden();
    await expect(page.locator("body")).not.toContainText(user.username);
  });
}

test("hydration keeps the text that a user is typing, and the caret", async ({ page }) => {
  const app = new Vestibule(page);
  const release = await openHeld(page, "/login");
  await app.email.pressSequentially("ann@example.org");
  for (let step = 0; step < 4; step += 1) await page.keyboard.press("ArrowLeft");
  release();
  await app.live();
  await page.keyboard.type("X");
  await expect(app.email).toHaveValue("ann@exampleX.org");
});

test("loading the code of another view keeps the text that a user is typing", async ({ page }) => {
  const app = new Vestibule(page);
  const release = await openHeld(page, "/register", "split_secondary.wasm");
  await app.email.pressSequentially("ann@example.org");
  release();
  await app.live();
  await page.keyboard.type("X");
  await expect(app.email).toHaveValue("ann@example.orgX");
});

test("the code of another view is loaded on demand, and again after a failure", async ({ page, complaints }) => {
  complaints.expect(/split_secondary\.wasm net::ERR_FAILED/, /Failed to load resource/, /Failed to fetch|TypeError/);
  const app = new Vestibule(page);
  const parts: string[] = [];
  page.on("request", (request) => {
    if (request.url().includes("split_")) parts.push(request.url());
  });
  await page.route("**/split_secondary.wasm", (route) => route.abort());
  await app.open("/login");
  expect(parts).toEqual([]);
  await page.getByRole("link", { name: "Forgot your password?" }).click();
  await expect(app.heading).toHaveText("This part could not be loaded");
  await page.unroute("**/split_secondary.wasm");
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(app.heading).toHaveText("Reset your password");
  await expect(app.heading).toBeFocused();
  await app.switcher.selectOption("Register");
  await expect(app.heading).toHaveText("Register");
  expect(parts).toHaveLength(2);
});

for (const way of ["a click", "Enter"]) {
  test(`a form that ${way} submits before hydration is sent after it`, async ({ page, user }) => {
    const app = new Vestibule(page);
    const release = await openHeld(page, "/login");
    let requests = 0;
    page.on("request", (request) => (requests += Number(request.method() === "POST")));
    await app.fillLogin(user);
    await (way === "Enter" ? app.password.press("Enter") : app.loginButton.click());
    await expect(page.locator("main form button[type=submit]")).toHaveText("Logging in…");
    await app.password.press("Enter");
    expect(requests, "nothing is sent before hydration").toBe(0);
    release();
    await expect(app.welcome).toBeVisible();
    expect(requests).toBe(1);
    expect(page.url()).not.toContain("?");
  });
}

test("an empty form that is submitted before hydration marks its required fields", async ({ page }) => {
  const app = new Vestibule(page);
  const release = await openHeld(page, "/register");
  await app.registerButton.click();
  release();
  await expect(app.email).toHaveAttribute("aria-invalid", "true");
  await expect(app.email).toBeFocused();
});

test("a form that a password manager has changed can be submitted before hydration", async ({ page, user }) => {
  const app = new Vestibule(page);
  const release = await openHeld(page, "/login");
  await page.evaluate(CHANGES["a password manager puts elements beside the fields"]!);
  await app.fillLogin(user);
  await app.password.press("Enter");
  release();
  await expect(app.welcome).toBeVisible();
});

test("a page that can't start reports it, and names WebAssembly only if it is missing", async (
  { page, complaints },
) => {
  complaints.expect(/ERR_FAILED|Failed to fetch|TypeError|ReferenceError|WebAssembly is not defined/);
  await page.route("**/*.wasm", (route) => route.abort());
  await page.goto("/login");
  const message = page.getByRole("alert").filter({ hasText: "This page could not start." });
  await expect(message).toContainText("Reload it.");
  await expect(message).not.toContainText("WebAssembly");
  await expect(page.locator("form button[type=submit]")).toHaveText("Log in");
  await expect(page.locator("form button[type=submit]")).toBeDisabled();
  await page.addInitScript(() => Reflect.deleteProperty(globalThis, "WebAssembly"));
  await page.reload();
  await expect(message).toContainText("WebAssembly is switched off in this browser.");
});

test("a page that stops working reports it", async ({ page, complaints }) => {
  complaints.expect(/broken for a test/);
  await new Vestibule(page).open("/login");
  await page.evaluate(() => {
    setTimeout(() => {
      throw new WebAssembly.RuntimeError("broken for a test");
    });
  });
  await expect(page.getByRole("alert").filter({ hasText: "This page has stopped working. Reload it." })).toBeVisible();
});
