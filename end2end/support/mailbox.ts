// A real SMTP server, which stores the mail that it receives.
import { once } from "node:events";
import { type AddressInfo } from "node:net";
import { type ParsedMail, simpleParser } from "mailparser";
import { SMTPServer } from "smtp-server";

const TIMEOUT_MS = 20_000;

export interface Mail {
  from: string;
  to: string;
  subject: string;
  text: string;
  html: string;
  /** The first link in the text. */
  link: string;
}

function read(mail: ParsedMail, recipients: string[]): Mail {
  const text = mail.text ?? "";
  return {
    from: mail.from?.text ?? "",
    to: recipients.join(", "),
    subject: mail.subject ?? "",
    text,
    html: typeof mail.html === "string" ? mail.html : "",
    link: text.match(/https?:\/\/\S+/)?.[0] ?? "",
  };
}

export class Mailbox {
  readonly #server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS", "AUTH"],
    onData: (stream, session, done) => {
      const recipients = session.envelope.rcptTo.map((recipient) => recipient.address);
      simpleParser(stream).then(
        (mail) => {
          this.#mails.push(read(mail, recipients));
          done();
          for (const listener of this.#listeners) listener();
        },
        (cause) => done(cause),
      );
    },
  });
  readonly #mails: Mail[] = [];
  readonly #listeners = new Set<() => void>();

  /** On the given port, or on any free one. */
  constructor(public port = 0) {}

  async start(): Promise<this> {
    const listener = this.#server.listen(this.port, "127.0.0.1");
    await once(listener, "listening");
    this.port = (listener.address() as AddressInfo).port;
    return this;
  }

  get url(): string {
    return `smtp://127.0.0.1:${this.port}`;
  }

  /** Waits for the next mail to an address. */
  async next(to: string, timeout = TIMEOUT_MS): Promise<Mail> {
    const take = () => {
      const at = this.#mails.findIndex((mail) => mail.to === to);
      return at < 0 ? undefined : this.#mails.splice(at, 1)[0];
    };
    return new Promise((resolve, reject) => {
      const look = () => {
        const mail = take();
        if (!mail) return;
        clearTimeout(late);
        this.#listeners.delete(look);
        resolve(mail);
      };
      const late = setTimeout(() => {
        this.#listeners.delete(look);
        reject(new Error(`no mail to ${to} has arrived; there are ${JSON.stringify(this.#mails)}`));
      }, timeout);
      this.#listeners.add(look);
      look();
    });
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.close(resolve));
  }
}
