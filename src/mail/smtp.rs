//! Handing a mail to a mail server (RFC 5321).

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

/// How long one address of the mail server may take to answer a connection. Another may be quicker.
const CONNECT: Duration = Duration::from_secs(20);
/// How long the QUIT may take, which the mail no longer needs.
const FAREWELL: Duration = Duration::from_secs(5);

/// What hands mails to one server.
pub(super) struct Client {
    pub server: Server,
    pub security: Security,
    /// The name by which it greets the server.
    pub hello: String,
    /// Where TLS may be needed.
    pub tls: Option<TlsConnector>,
}

/// A mail, as it travels.
#[derive(Clone, Copy)]
pub(super) struct Parcel<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub bytes: &'a [u8],
}

/// Why a mail could not be handed over.
enum Failure {
    /// No connection that a mail may take.
    Connection(&'static str),
    /// A step before the mail had an addressee. It says nothing about the mailbox.
    Client(Error),
    /// The addressee, or the mail itself.
    Mail(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self::Client(cause.into())
    }
}

impl From<Failure> for SendError {
    /// Without the texts of the server's answers: they may name the addressee, who has no place in the log.
    fn from(failure: Failure) -> Self {
        let (error, is_about_the_mail) = match failure {
            Failure::Connection(cause) => return Self { cause: cause.to_owned(), permanent: false },
            Failure::Client(error) => (error, false),
            Failure::Mail(error) => (error, true),
        };
        let permanent =
            matches!(&error, Error::UnexpectedReply(answer) if is_about_the_mail && no_mailbox(answer.code()));
        let cause = match error {
            Error::UnexpectedReply(answer) => format!("the mail server answered {}", answer.code()),
            Error::AuthenticationFailed(answer) => format!("the mail server refused the login with {}", answer.code()),
            Error::UnsupportedAuthMechanism => "the mail server offers no login by PLAIN or LOGIN".to_owned(),
            // The reader of replies refuses long lines by the same error.
            Error::UnparseableReply => {
                "the mail server closed the connection, says too much, or doesn't speak SMTP there".to_owned()
            }
            Error::Timeout => TOO_LONG.to_owned(),
            Error::Io(cause) => in_full(&cause),
            other => in_full(&other),
        };
        Self { cause, permanent }
    }
}

/// Whether a server's answer to an addressee or a mail says that there is no such mailbox, or that it takes no mail (RFC 5321,
/// section 4.2.2). Other refusals, such as that of a sender or of a login, are for the operator to mend.
const fn no_mailbox(code: u16) -> bool {
    matches!(code, 550..=553)
}

impl Client {
    /// Hands a mail over. When this returns, the server has it.
    pub async fn send(&self, parcel: Parcel<'_>) -> Result<(), SendError> {
        self.try_to_send(parcel).await.map_err(SendError::from)
    }

    async fn try_to_send(&self, parcel: Parcel<'_>) -> Result<(), Failure> {
        let mut client = SmtpClient { stream: Limited::new(self.connect().await?), timeout: SEND_TIMEOUT };
        if self.security == Security::Tls {
            let mut client = self.begin_tls(client).await?;
            client.read().await?.assert_positive_completion()?;
            return self.hand_over(client, parcel).await;
        }
        client.read().await?.assert_positive_completion()?;
        if self.security == Security::Clear {
            return self.hand_over(client, parcel).await;
        }
        if client.ehlo(&self.hello).await?.has_capability(EXT_START_TLS) {
            client.cmd("STARTTLS\r\n").await?.assert_positive_completion()?;
            return self.hand_over(self.begin_tls(client).await?, parcel).await;
        }
        if self.security == Security::StartTls {
            return Err(Failure::Connection("the mail server offers no STARTTLS, and mail.tls is \"required\""));
        }
        if self.server.login.is_some() {
            return Err(Failure::Connection("the mail server offers no STARTTLS, so the password was not sent"));
        }
        self.hand_over(client, parcel).await
    }

    /// Each address of the server in turn, for one of them may lead nowhere.
    async fn connect(&self) -> Result<TcpStream, Failure> {
        let Server { host, port, .. } = &self.server;
        let mut failure = Failure::Connection("the mail server's name has no address");
        for address in lookup_host((host.as_str(), *port)).await? {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(cause)) => failure = cause.into(),
                Err(_) => failure = Failure::Connection("the mail server doesn't answer"),
            }
        }
        Err(failure)
    }

    /// Begins TLS. mail-send does so on bare TCP connections only.
    async fn begin_tls<S>(&self, client: SmtpClient<S>) -> Result<SmtpClient<TlsStream<S>>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = self.tls.as_ref().ok_or(Failure::Connection("no TLS was set up"))?;
        let name = ServerName::try_from(self.server.host.clone()).map_err(|_| Error::InvalidTLSName)?;
        let stream = connector.connect(name, client.stream).await;
        let stream = stream.map_err(|cause| io::Error::other(format!("TLS error: {cause}")))?;
        Ok(SmtpClient { stream, timeout: client.timeout })
    }

    async fn hand_over<S>(&self, mut client: SmtpClient<S>, parcel: Parcel<'_>) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let offers = client.ehlo(&self.hello).await?;
        if let Some(Login { user, password }) = &self.server.login {
            let login = Credentials::Plain { username: user.as_str(), secret: password.as_str() };
            client.authenticate(&login, &offers).await?;
        }
        let plain = Parameters::new();
        client.mail_from(parcel.from, &plain).await?;
        client.rcpt_to(parcel.to, &plain).await.map_err(Failure::Mail)?;
        client.data(parcel.bytes).await.map_err(Failure::Mail)?;
        // The mail is handed over, whatever comes of this.
        drop(timeout(FAREWELL, client.quit()).await);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_a_mailbox_is_lasting() {
        let permanent: Vec<u16> = (200..600).filter(|code| no_mailbox(*code)).collect();
        assert_eq!(permanent, [550, 551, 552, 553]);
    }
}
