//! Delivers mail by SMTP, or into a folder that the operator reads.

mod folder;
mod limited;
mod smtp;
mod tls;
mod url;

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use lettre::{
    Address, Message,
    message::{
        Attachment, Body, Mailbox, MultiPart, SinglePart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};

pub use self::{
    tls::{TlsMode, connector as tls_connector, read_certificates},
    url::{MailUrl, Server},
};
use crate::service::{BoxFuture, LOGO_ID, MailMessage, MailTransport, SendError};

/// How long the delivery of one mail to the SMTP server may take in total. It is shorter than the mail worker's lease.
const SEND_TIMEOUT: Duration = Duration::from_mins(5);
/// The error once [`SEND_TIMEOUT`] has passed.
const TOO_LONG: &str = "the mail server took too long";

/// The configured mail transport.
pub struct Mailer {
    from: Mailbox,
    transport: Transport,
}

enum Transport {
    Folder(PathBuf),
    Smtp(Box<smtp::Client>),
}

/// Settings for SMTP besides the server.
#[derive(Clone, Debug)]
pub struct SmtpOptions<'a> {
    /// Whether a server on another machine must use TLS.
    pub tls: TlsMode,
    /// Certificates to trust in addition to the system's.
    pub ca_file: Option<&'a Path>,
    /// The client name in EHLO.
    pub hello: String,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailer")
    }
}

impl Mailer {
    /// Creates the transport, or `None` if mail is off. Fails if, for example, the certificates can't be read.
    pub fn new(url: &MailUrl, from: &Mailbox, options: SmtpOptions<'_>) -> Result<Option<Self>, String> {
        let transport = match url {
            MailUrl::Off => return Ok(None),
            MailUrl::Folder(path) => Transport::Folder(path.clone()),
            MailUrl::Smtp(server) => {
                let given = options.ca_file.map(read_certificates).transpose()?.unwrap_or_default();
                let security = server.security(options.tls);
                let tls = (security != url::Security::Clear).then(|| tls::connector(given)).transpose()?;
                Transport::Smtp(Box::new(smtp::Client { server: server.clone(), security, hello: options.hello, tls }))
            }
        };
        Ok(Some(Self { from: from.clone(), transport }))
    }

    /// Connects to the mail server and logs in, as for a mail, and sends none. A folder needs no check.
    ///
    /// # Errors
    /// Why no mail can be sent.
    pub async fn check(&self) -> Result<(), SendError> {
        match &self.transport {
            Transport::Folder(_) => Ok(()),
            Transport::Smtp(client) => client.check().await,
        }
    }

    fn message(&self, id: &str, mail: &MailMessage) -> Result<Message, String> {
        // An address without a display name, as in the envelope.
        let to: Address = mail.to.parse().map_err(|_| "the recipient's address is not valid in a mail".to_owned())?;
        let domain = self.from.email.domain();
        // Asks automatic responders not to reply (RFC 3834, section 5).
        let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(&mail.subject)
            .message_id(Some(format!("<{id}@{domain}>")))
            .raw_header(automatic)
            .multipart(body(mail)?)
            .map_err(|cause| in_full(&cause))
    }
}

impl MailTransport for Mailer {
    fn send<'a>(&'a self, id: &'a str, mail: &'a MailMessage) -> BoxFuture<'a> {
        Box::pin(async move {
            let temporary = |cause| SendError { cause, permanent: false };
            let message = self.message(id, mail).map_err(temporary)?;
            match &self.transport {
                Transport::Folder(path) => {
                    let file = path.join(format!("{id}.eml"));
                    let written = folder::write(path.clone(), file.clone(), message.formatted()).await;
                    let place = file.display().to_string();
                    written.map(|()| place).map_err(|cause| temporary(format!("{}: {cause}", file.display())))
                }
                Transport::Smtp(client) => {
                    let (from, bytes) = (self.from.email.to_string(), message.formatted());
                    let envelope = smtp::Envelope { from: &from, to: &mail.to, bytes: &bytes };
                    match tokio::time::timeout(SEND_TIMEOUT, client.send(envelope)).await {
                        Ok(sent) => sent.map(|()| "the mail server".to_owned()),
                        Err(_) => Err(temporary(TOO_LONG.to_owned())),
                    }
                }
            }
        })
    }
}

/// Builds the body: plain text and HTML as alternatives. The logo is attached to the HTML (RFC 2387).
fn body(mail: &MailMessage) -> Result<MultiPart, String> {
    let both = MultiPart::alternative().singlepart(plain(mail.to_text()));
    let html = SinglePart::html(mail.to_html());
    let Some(logo) = mail.logo() else { return Ok(both.singlepart(html)) };
    let png = ContentType::parse("image/png").map_err(|cause| in_full(&cause))?;
    let picture = Attachment::new_inline(LOGO_ID.to_owned()).body(logo.bytes().to_vec(), png);
    Ok(both.multipart(MultiPart::related().singlepart(html).singlepart(picture)))
}

/// Builds the plain text, unencoded if it is ASCII with short lines (RFC 5322, section 2.1.1). An editor then shows
/// the link unbroken.
fn plain(text: String) -> SinglePart {
    let unencoded = text.is_ascii() && text.lines().all(|line| line.len() <= 998);
    let body = if unencoded {
        Body::dangerous_pre_encoded(text.replace('\n', "\r\n").into_bytes(), ContentTransferEncoding::SevenBit)
    } else {
        Body::new(text)
    };
    SinglePart::builder().header(ContentType::TEXT_PLAIN).body(body)
}

/// Formats an error with its causes in one line. A cause that the text already contains is not repeated.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let message = cause.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        next = cause.source();
    }
    text.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::{
        domain::token::{Token, TokenKind},
        service::{MailTemplates, Png},
    };

    fn head() -> MailTemplates {
        MailTemplates {
            service_name: "Möbel & Söhne".into(),
            url: "https://example.org".into(),
            accent: None,
            logo: None,
        }
    }

    fn mail() -> MailMessage {
        head().reset("ann@example.org", "ann", &Token::generate(TokenKind::Link, || 7), true)
    }

    fn mailer(folder: &std::path::Path) -> Mailer {
        let from = "Möbel <no-reply@example.org>".parse().expect("a mailbox");
        let options = SmtpOptions { tls: TlsMode::Required, ca_file: None, hello: "example.org".to_owned() };
        Mailer::new(&MailUrl::Folder(folder.join("mail")), &from, options).expect("a transport").expect("some mail")
    }

    #[tokio::test]
    async fn a_mail_file_is_complete_and_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = mailer(folder.path()).send("the-id", &mail()).await.expect("written");
        let text = std::fs::read_to_string(&path).expect("a mail");
        for line in ["To: ann@example.org", "Message-ID: <the-id@example.org>", "Auto-Submitted: auto-generated"] {
            assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line}\n{text}");
        }
        assert!(text.contains("Content-Type: text/plain") && text.contains("Content-Type: text/html"), "{text}");
        assert!(text.is_ascii(), "every mail server accepts ASCII");
        let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(path.as_ref()), mode(&folder.path().join("mail"))), (0o600, 0o700));
        let files = std::fs::read_dir(folder.path().join("mail")).expect("a folder").count();
        assert_eq!(files, 1, "no temporary file remains");
    }

    #[test]
    fn the_logo_is_a_part_of_the_mail_that_the_html_shows() {
        let folder = tempfile::tempdir().expect("a folder");
        let head = MailTemplates { logo: Some(Png::new(b"\x89PNG\r\n\x1a\npicture")), ..head() };
        let mail = head.reset("ann@example.org", "ann", &Token::generate(TokenKind::Link, || 7), true);
        assert!(mail.to_html().contains("<img src=\"cid:logo\""), "{}", mail.to_html());
        let text = mailer(folder.path()).message("the-id", &mail).expect("a mail").formatted();
        let text = String::from_utf8(text).expect("a mail is ASCII");
        let (_, part) = text.split_once("Content-ID: <logo>\r\n").expect("a part called logo");
        assert!(part.contains("Content-Type: image/png\r\n") && part.contains("iVBORw0KGgpwaWN0dXJl"), "{part}");
        assert!(text.contains("Content-Type: multipart/related"), "{text}");
        let bare = self::mail();
        assert!(bare.logo().is_none() && !bare.to_html().contains("<img"), "{}", bare.to_html());
    }

    #[tokio::test]
    async fn a_link_in_a_mail_file_is_not_wrapped() {
        let folder = tempfile::tempdir().expect("a folder");
        let (head, link) =
            (MailTemplates { service_name: "Ann".into(), ..head() }, Token::generate(TokenKind::Link, || 7));
        let mail = head.reset("ann@example.org", "ann", &link, true);
        let path = mailer(folder.path()).send("the-id", &mail).await.expect("written");
        let text = std::fs::read_to_string(&path).expect("a mail");
        let url = format!("https://example.org/reset#{}", link.expose());
        assert!(text.lines().any(|line| line == url), "{text}");
    }

    #[tokio::test]
    async fn a_folder_that_is_not_writable_is_reported() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("mail"), "not a folder").expect("a file");
        let error = mailer(folder.path()).send("the-id", &mail()).await.expect_err("no folder");
        assert!(error.cause.contains("the-id.eml: ") && !error.permanent, "{error:?}");
    }

    #[test]
    fn each_cause_of_an_error_is_printed_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Same(#[source] std::io::Error);
        #[derive(Debug, thiserror::Error)]
        #[error("the name can't be found")]
        struct Other(#[source] Same);
        let lowest = || Same(std::io::Error::other("no such host"));
        assert_eq!(in_full(&lowest()), "no such host");
        assert_eq!(in_full(&Other(lowest())), "the name can't be found: no such host");
        assert_eq!(in_full(&std::io::Error::other(Other(lowest()))), "the name can't be found: no such host");
    }

    #[test]
    fn no_email_adds_a_second_recipient_r54() {
        let folder = tempfile::tempdir().expect("a folder");
        for hostile in [
            "ann@example.org, bob@example.org",
            "ann@example.org\r\nBcc: bob@example.org",
            "Ann <ann@example.org>",
            "ann@example.org>\r\nRCPT TO:<bob@example.org",
            "a@b@c.org",
            "",
        ] {
            let mut mail = mail();
            hostile.clone_into(&mut mail.to);
            assert!(mailer(folder.path()).message("the-id", &mail).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn no_name_adds_a_header_r54() {
        let folder = tempfile::tempdir().expect("a folder");
        let hostile = "Ann\r\nBcc: bob@example.org\r\n\r\nHello";
        let head = MailTemplates { service_name: hostile.into(), ..head() };
        let mail = head.reset("ann@example.org", "ann", &Token::generate(TokenKind::Link, || 7), true);
        let text = mailer(folder.path()).message("the-id", &mail).expect("a mail").formatted();
        let text = String::from_utf8(text).expect("a mail is ASCII");
        let (headers, _) = text.split_once("\r\n\r\n").expect("headers end");
        let names = headers.split("\r\n").filter(|line| !line.starts_with(' '));
        let mut names: Vec<&str> = names.filter_map(|line| Some(line.split_once(':')?.0)).collect();
        names.sort_unstable();
        let ours = ["Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject", "To"];
        assert_eq!(names, ours, "{headers}");
    }
}
