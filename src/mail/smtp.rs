//! Sends mail to an SMTP server (RFC 5321).

use std::{io, time::Duration};

use mail_send::{
    Credentials, Error, SmtpClient,
    smtp::{AssertReply as _, message::Parameters},
};
use smtp_proto::EXT_START_TLS;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};

use super::{
    SEND_TIMEOUT, TOO_LONG, in_full,
    limited::Limited,
    url::{Login, Security, Server},
};
use crate::service::SendError;

/// How long to wait for a connection to one address of the mail server before the next address is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long QUIT may take. The mail is already accepted by then.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends mails to one server.
pub(super) struct Client {
    pub server: Server,
    pub security: Security,
    /// The client name in EHLO.
    pub hello: String,
    /// `None` if the connection is never encrypted.
    pub tls: Option<TlsConnector>,
}

/// A mail with its SMTP envelope.
#[derive(Clone, Copy)]
pub(super) struct Envelope<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub bytes: &'a [u8],
}

/// Why a mail was not accepted.
enum Failure {
    /// There is no acceptable connection.
    Connection(&'static str),
    /// A step before the recipient was sent. It is unrelated to the mailbox.
    Client(Error),
    /// The recipient or the mail itself was rejected.
    Mail(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self::Client(cause.into())
    }
}

impl From<Failure> for SendError {
    /// Omits the texts of the server's replies: they may contain the recipient's address, which must not be logged.
    fn from(failure: Failure) -> Self {
        let (error, is_about_the_mail) = match failure {
            Failure::Connection(cause) => return Self { cause: cause.to_owned(), permanent: false },
            Failure::Client(error) => (error, false),
            Failure::Mail(error) => (error, true),
        };
        let permanent =
            matches!(&error, Error::UnexpectedReply(reply) if is_about_the_mail && no_mailbox(reply.code()));
        let cause = match error {
            Error::UnexpectedReply(reply) => format!("the mail server replied {}", reply.code()),
            Error::AuthenticationFailed(reply) => format!("the mail server rejected the login with {}", reply.code()),
            Error::UnsupportedAuthMechanism => "the mail server offers no login by PLAIN or LOGIN".to_owned(),
            // The reply parser returns the same error for lines that are too long.
            Error::UnparseableReply => {
                "the mail server closed the connection, sent too much data, or doesn't speak SMTP on this port"
                    .to_owned()
            }
            Error::Timeout => TOO_LONG.to_owned(),
            Error::Io(cause) => in_full(&cause),
            other => in_full(&other),
        };
        Self { cause, permanent }
    }
}

/// Whether a server's reply to a recipient or a mail means that the mailbox doesn't exist or accepts no mail (RFC 5321,
/// section 4.2.2). The operator can fix other rejections, such as that of a sender or of a login.
const fn no_mailbox(code: u16) -> bool {
    matches!(code, 550..=553)
}

impl Client {
    /// Sends a mail. When this returns `Ok`, the server has accepted it.
    pub async fn send(&self, envelope: Envelope<'_>) -> Result<(), SendError> {
        self.converse(Some(envelope)).await.map_err(SendError::from)
    }

    /// Connects and logs in, and sends no mail.
    pub async fn check(&self) -> Result<(), SendError> {
        self.converse(None).await.map_err(SendError::from)
    }

    /// Connects and sends a mail, if there is one.
    async fn converse(&self, envelope: Option<Envelope<'_>>) -> Result<(), Failure> {
        let mut client = SmtpClient { stream: Limited::new(self.connect().await?), timeout: SEND_TIMEOUT };
        if self.security == Security::Tls {
            let mut client = self.start_tls(client).await?;
            client.read().await?.assert_positive_completion()?;
            return self.transfer(client, envelope).await;
        }
        client.read().await?.assert_positive_completion()?;
        if self.security == Security::Clear {
            return self.transfer(client, envelope).await;
        }
        if client.ehlo(&self.hello).await?.has_capability(EXT_START_TLS) {
            client.cmd("STARTTLS\r\n").await?.assert_positive_completion()?;
            return self.transfer(self.start_tls(client).await?, envelope).await;
        }
        if self.security == Security::StartTls {
            return Err(Failure::Connection("the mail server offers no STARTTLS, and mail.tls is \"required\""));
        }
        if self.server.login.is_some() {
            return Err(Failure::Connection("the mail server offers no STARTTLS, so the password was not sent"));
        }
        self.transfer(client, envelope).await
    }

    /// Tries each of the server's addresses in turn, because some may be unreachable.
    async fn connect(&self) -> Result<TcpStream, Failure> {
        let Server { host, port, .. } = &self.server;
        let mut failure = Failure::Connection("the mail server's name resolves to no address");
        for address in lookup_host((host.as_str(), *port)).await? {
            match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(cause)) => failure = cause.into(),
                Err(_) => failure = Failure::Connection("the mail server doesn't respond"),
            }
        }
        Err(failure)
    }

    /// Starts TLS. mail-send supports that only on plain TCP connections.
    async fn start_tls<S>(&self, client: SmtpClient<S>) -> Result<SmtpClient<TlsStream<S>>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = self.tls.as_ref().ok_or(Failure::Connection("TLS is not set up"))?;
        let name = ServerName::try_from(self.server.host.clone()).map_err(|_| Error::InvalidTLSName)?;
        let stream = connector.connect(name, client.stream).await;
        let stream = stream.map_err(|cause| io::Error::other(format!("TLS error: {cause}")))?;
        Ok(SmtpClient { stream, timeout: client.timeout })
    }

    async fn transfer<S>(&self, mut client: SmtpClient<S>, envelope: Option<Envelope<'_>>) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let offers = client.ehlo(&self.hello).await?;
        if let Some(Login { user, password }) = &self.server.login {
            let login = Credentials::Plain { username: user.as_str(), secret: password.as_str() };
            client.authenticate(&login, &offers).await?;
        }
        if let Some(envelope) = envelope {
            let plain = Parameters::new();
            client.mail_from(envelope.from, &plain).await?;
            client.rcpt_to(envelope.to, &plain).await.map_err(Failure::Mail)?;
            client.data(envelope.bytes).await.map_err(Failure::Mail)?;
        }
        // A mail is accepted, so a failure here is ignored.
        drop(timeout(QUIT_TIMEOUT, client.quit()).await);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_of_the_mailbox_is_permanent() {
        let permanent: Vec<u16> = (200..600).filter(|code| no_mailbox(*code)).collect();
        assert_eq!(permanent, [550, 551, 552, 553]);
    }
}
