// The fixtures of every test: a running server, a fresh address, and a page that must report no errors.
import { test as base, expect, type APIRequestContext, type BrowserContext, type Page } from "@playwright/test";
import { Server } from "./server.mjs";

export { expect, Server };

/** A registered account. */
export interface User {
  email: string;
  username: string;
  password: string;
}

/** Errors and warnings of the browser. A test must list the expected ones, and fails on any other. */
export class Complaints {
  readonly #seen: string[] = [];
  readonly #expected: RegExp[] = [];

  /** Expects the complaints that match. */
  expect(...patterns: RegExp[]): void {
    this.#expected.push(...patterns);
  }

  listen(context: BrowserContext): void {
    context.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.#add(`console: ${message.text()}`);
    });
    context.on("weberror", (error) => this.#add(`page: ${error.error().message}`));
    context.on("requestfailed", (request) => {
      // A page that the browser navigates away from aborts its pending requests.
      if (request.failure()?.errorText !== "net::ERR_ABORTED") {
        this.#add(`request: ${request.url()} ${request.failure()?.errorText}`);
      }
    });
    context.on("response", (response) => {
      if (response.status() >= 400) this.#add(`response: ${response.status()} ${response.url()}`);
    });
  }

  unexpected(): string[] {
    return this.#seen.filter((text) => !this.#expected.some((pattern) => pattern.test(text)));
  }

  #add(text: string): void {
    this.#seen.push(text);
  }
}

interface TestFixtures {
  /** The client's address, as a proxy would send it. No two tests share one, so they share no rate limits. */
  address: string;
  complaints: Complaints;
  /** An account that only this test uses. */
  user: User;
}

interface WorkerFixtures {
  server: Server;
}

let tests = 0;

export const test = base.extend<TestFixtures, WorkerFixtures>({
  server: [
    async ({}, use) => {
      const server = await new Server().start();
      await use(server);
      await server.remove();
    },
    { scope: "worker" },
  ],
  address: async ({}, use, info) => {
    tests += 1;
    await use(`10.${info.workerIndex % 256}.${tests >> 8}.${tests & 255}`);
  },
  baseURL: async ({ server }, use) => use(server.url),
  extraHTTPHeaders: async ({ address }, use) => use({ "X-Forwarded-For": address }),
  complaints: async ({}, use) => use(new Complaints()),
  context: async ({ context, complaints }, use) => {
    complaints.listen(context);
    await use(context);
    expect(complaints.unexpected(), "the browser must report no errors").toEqual([]);
  },
  user: async ({ request }, use) => use(await register(request)),
});

/** A new person, not yet registered. */
export function somebody(): User {
  const name = `p${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`;
  return { email: `${name}@example.org`, username: name, password: `walrus-${name}-lantern-quilt` };
}

/** Registers a new person through the JSON API. */
export async function register(request: APIRequestContext): Promise<User> {
  const user = somebody();
  const response = await request.post("/api/accounts/api_register/", { data: user });
  expect(response.status(), await response.text()).toBe(200);
  return user;
}

/** Logs in through the JSON API. */
export async function token(request: APIRequestContext, user: User): Promise<string> {
  const response = await request.post("/api/accounts/api_auth/", { data: user });
  expect(response.status(), await response.text()).toBe(200);
  return (await response.json()).token;
}

/** A browser's console message for a response with this status. */
export function status(code: number): RegExp {
  return new RegExp(`responded with a status of ${code}|^response: ${code} `);
}

/** A browser's messages when the server can't be reached. */
export const UNREACHABLE = /ERR_CONNECTION_(REFUSED|RESET)|ERR_INTERNET_DISCONNECTED|ERR_EMPTY_RESPONSE|ERR_FAILED/;

/** The parts of the page, by their visible labels. */
export class Vestibule {
  constructor(readonly page: Page) {}

  get switcher() {
    return this.page.getByLabel("Account", { exact: true });
  }
  get email() {
    return this.page.getByLabel(/^Email( or username)?$/);
  }
  get username() {
    return this.page.getByLabel("Username", { exact: true });
  }
  get password() {
    return this.page.getByLabel("Password", { exact: true });
  }
  get loginButton() {
    return this.page.getByRole("button", { name: "Log in", exact: true });
  }
  get registerButton() {
    return this.page.getByRole("button", { name: "Register", exact: true });
  }
  get logOutButton() {
    return this.page.getByRole("button", { name: /^Log out( here)?$/ });
  }
  get welcome() {
    return this.page.getByRole("heading", { name: /^Hello, / });
  }
  get heading() {
    return this.page.getByRole("heading", { level: 1 });
  }

  /** Opens a view and waits until it is interactive. */
  async open(path: string): Promise<void> {
    await this.page.goto(path);
    await this.live();
  }

  /** Waits until the page is hydrated: nothing is hidden, and every button works. */
  async live(): Promise<void> {
    await expect(this.page.locator("html[data-session]")).toHaveCount(0);
    await expect(this.page.locator("main [data-busy]")).toHaveCount(0);
  }

  async fillLogin(user: User): Promise<void> {
    await this.email.fill(user.email);
    await this.password.fill(user.password);
  }

  async logIn(user: User): Promise<void> {
    await this.open("/login");
    await this.fillLogin(user);
    await this.loginButton.click();
    await expect(this.welcome).toBeVisible();
  }

  /** The data that the tab stores. */
  async storage(): Promise<{ session: string; local: string; cookies: string }> {
    return this.page.evaluate(() => ({
      session: JSON.stringify({ ...sessionStorage }),
      local: JSON.stringify({ ...localStorage }),
      cookies: document.cookie,
    }));
  }
}
