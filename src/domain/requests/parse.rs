//! Parses requests into domain types.

use std::{fmt, time::Duration};

use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{
    BecomeAdmin, ChangeEmail, ChangeGroup, ChangePassword, ChangeRole, ChangeUsername, ConfirmPassword, DeclineAccount,
    DeleteAccount, DeleteGroup, FollowLink, ForgotPassword, Invite, LogIn, NameGroup, NewAccessToken, Register,
    RenameAccount, SendInvitation, SetPassword, SetUp, Text,
};
use crate::{
    domain::{
        email::Email,
        group_name::GroupName,
        invitation::{Days, InvitationRequest},
        password::Password,
        role::Role,
        token::{Token, TokenKind},
        token_name::TokenName,
        token_scope::TokenScope,
        username::Username,
    },
    error::{AppError, Field, Problem},
};

/// The longest lifetime of a personal access token, in days.
const MAX_DAYS: i64 = 366;

/// A request whose fields are parsed into domain types, so that the service receives nothing else.
pub trait Parse: DeserializeOwned {
    /// The fields as domain types.
    type Parsed;

    /// Parses the fields.
    fn parse(self) -> Result<Self::Parsed, AppError>;

    /// The errors that a request of this type can cause by its fields alone, for the documentation.
    #[must_use]
    fn errors() -> Vec<AppError> {
        vec![AppError::Invalid(Vec::new())]
    }
}

/// A registration. Each field is a valid value or its problem. The service reports the problems of all fields at once,
/// with its judgement of the password.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Registration {
    pub email: Result<Email, Problem>,
    pub username: Result<Username, Problem>,
    pub password: Result<Password, Problem>,
    /// The email and the username as entered. A password made of them is rejected even if they are invalid.
    pub typed: [String; 2],
    /// The token of an invitation, if there is one.
    pub invitation: Option<Token>,
}

impl Registration {
    /// Parses the fields of an account that the operator creates. The operator may use a reserved username.
    pub fn by_operator(email: &str, username: &str, password: &str) -> Self {
        let typed = [email, username].map(str::to_owned);
        let (email, username, password) = (Email::parse(email), Username::parse(username), Password::parse(password));
        Self { email, username, password, typed, invitation: None }
    }
}

impl Parse for Register {
    type Parsed = Registration;

    fn parse(self) -> Result<Registration, AppError> {
        let Self { email, username, password, invitation } = self;
        let [email, username, password, invitation] = [email, username, password, invitation].map(Text::into_inner);
        let invitation = invitation
            .map(|text| Token::parse(TokenKind::Invitation, &text).ok_or(AppError::InvitationInvalid))
            .transpose()?;
        Ok(Registration {
            email: required(email.as_deref(), Email::parse),
            username: required(username.as_deref(), Username::choose),
            password: required(password.as_deref(), Password::parse),
            typed: [email, username].map(Option::unwrap_or_default),
            invitation,
        })
    }

    fn errors() -> Vec<AppError> {
        vec![AppError::InvitationInvalid, AppError::Invalid(Vec::new())]
    }
}

impl Parse for LogIn {
    /// The email or username, and the password. Both are only compared, so any text is accepted.
    type Parsed = (String, String);

    fn parse(self) -> Result<(String, String), AppError> {
        let identifier = [self.email, self.username].into_iter().flatten().find(|text| !text.is_empty());
        let identifier = identifier.ok_or(AppError::BadRequest)?;
        Ok((identifier, self.password.filled().ok_or(AppError::BadRequest)?))
    }

    fn errors() -> Vec<AppError> {
        Vec::new()
    }
}

impl Parse for ConfirmPassword {
    /// The password. It is only compared, so any text is accepted.
    type Parsed = String;

    fn parse(self) -> Result<String, AppError> {
        compared(Field::Password, self.password)
    }
}

/// A change of the password. Each field is a valid value or its problem.
#[expect(missing_docs, reason = "the names say it")]
pub struct PasswordChange {
    /// It is only compared, so any text is accepted.
    pub current: Result<Zeroizing<String>, Problem>,
    pub new: Result<Password, Problem>,
    pub revoke_access_tokens: bool,
}

impl fmt::Debug for PasswordChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordChange")
    }
}

impl Parse for ChangePassword {
    type Parsed = PasswordChange;

    fn parse(self) -> Result<PasswordChange, AppError> {
        Ok(PasswordChange {
            current: self.current_password.filled().map(Zeroizing::new).ok_or(Problem::Missing),
            new: required(self.new_password.filled().as_deref(), Password::parse),
            revoke_access_tokens: self.revoke_access_tokens,
        })
    }
}

impl Parse for ChangeUsername {
    type Parsed = Username;

    fn parse(self) -> Result<Username, AppError> {
        field(Field::Username, self.username.as_deref(), Username::choose)
    }
}

impl Parse for RenameAccount {
    type Parsed = Username;

    /// An operator may choose a reserved username.
    fn parse(self) -> Result<Username, AppError> {
        field(Field::Username, self.username.as_deref(), Username::parse)
    }
}

impl Parse for ChangeGroup {
    type Parsed = GroupName;

    fn parse(self) -> Result<GroupName, AppError> {
        field(Field::Name, self.name.as_deref(), GroupName::parse)
    }
}

impl Parse for NameGroup {
    type Parsed = GroupName;

    fn parse(self) -> Result<GroupName, AppError> {
        field(Field::Name, self.name.as_deref(), GroupName::parse)
    }
}

impl Parse for DeleteGroup {
    type Parsed = bool;

    fn parse(self) -> Result<bool, AppError> {
        Ok(self.force)
    }

    fn errors() -> Vec<AppError> {
        Vec::new()
    }
}

impl Parse for Invite {
    type Parsed = InvitationRequest;

    fn parse(self) -> Result<InvitationRequest, AppError> {
        let Self { email, uses, days, groups, note, send } = self;
        Ok(InvitationRequest { email, uses, days, groups, note, send })
    }
}

impl Parse for SendInvitation {
    type Parsed = Days;

    fn parse(self) -> Result<Days, AppError> {
        Ok(self.days)
    }

    fn errors() -> Vec<AppError> {
        Vec::new()
    }
}

impl Parse for ChangeRole {
    type Parsed = Option<Role>;

    fn parse(self) -> Result<Option<Role>, AppError> {
        Ok(self.role)
    }

    fn errors() -> Vec<AppError> {
        Vec::new()
    }
}

impl Parse for DeclineAccount {
    type Parsed = bool;

    fn parse(self) -> Result<bool, AppError> {
        Ok(self.notify)
    }

    fn errors() -> Vec<AppError> {
        Vec::new()
    }
}

impl Parse for DeleteAccount {
    /// The username. It is only compared, so any text is accepted.
    type Parsed = String;

    fn parse(self) -> Result<String, AppError> {
        compared(Field::Username, self.username)
    }
}

impl Parse for FollowLink {
    /// The link's token, and the password, which is only compared.
    type Parsed = (Token, String);

    fn parse(self) -> Result<(Token, String), AppError> {
        Ok((link(&self.token)?, compared(Field::Password, self.password)?))
    }

    fn errors() -> Vec<AppError> {
        vec![AppError::LinkInvalid, AppError::Invalid(Vec::new())]
    }
}

/// A link's token and the new password.
#[expect(missing_docs, reason = "the names say it")]
pub struct NewPassword {
    pub link: Token,
    pub password: Password,
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword")
    }
}

impl Parse for SetPassword {
    type Parsed = NewPassword;

    /// An invalid link is reported before an invalid password.
    fn parse(self) -> Result<NewPassword, AppError> {
        let link = link(&self.token)?;
        Ok(NewPassword {
            link,
            password: field(Field::NewPassword, self.new_password.filled().as_deref(), Password::parse)?,
        })
    }

    fn errors() -> Vec<AppError> {
        FollowLink::errors()
    }
}

/// The link's token and the first admin's account.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct SetUpByLink {
    pub link: Token,
    pub registration: Registration,
}

impl Parse for SetUp {
    type Parsed = SetUpByLink;

    /// An invalid link is reported before an invalid field.
    fn parse(self) -> Result<SetUpByLink, AppError> {
        let Self { token, email, username, password } = self;
        let link = setup_link(&token)?;
        let [email, username, password] = [email, username, password].map(|text| text.into_inner().unwrap_or_default());
        Ok(SetUpByLink { link, registration: Registration::by_operator(&email, &username, &password) })
    }

    fn errors() -> Vec<AppError> {
        vec![AppError::SetupLinkInvalid, AppError::Invalid(Vec::new())]
    }
}

/// The link's token, and the password, which is only compared.
#[expect(missing_docs, reason = "the names say it")]
pub struct BecomeAdminByLink {
    pub link: Token,
    pub password: String,
}

impl fmt::Debug for BecomeAdminByLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BecomeAdminByLink")
    }
}

impl Parse for BecomeAdmin {
    type Parsed = BecomeAdminByLink;

    fn parse(self) -> Result<BecomeAdminByLink, AppError> {
        Ok(BecomeAdminByLink { link: setup_link(&self.token)?, password: compared(Field::Password, self.password)? })
    }

    fn errors() -> Vec<AppError> {
        SetUp::errors()
    }
}

impl Parse for ForgotPassword {
    type Parsed = Email;

    fn parse(self) -> Result<Email, AppError> {
        field(Field::Email, self.email.as_deref(), Email::parse)
    }
}

impl Parse for ChangeEmail {
    type Parsed = Email;

    fn parse(self) -> Result<Email, AppError> {
        field(Field::NewEmail, self.new_email.as_deref(), Email::parse)
    }
}

/// A valid request for a personal access token.
#[derive(Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct TokenRequest {
    pub name: TokenName,
    pub scope: TokenScope,
    pub lifetime: Duration,
}

impl Parse for NewAccessToken {
    type Parsed = TokenRequest;

    /// The error lists the problems of all fields.
    fn parse(self) -> Result<TokenRequest, AppError> {
        let Self { name, scope, days } = self;
        let name = required(name.as_deref(), TokenName::parse);
        let named = |text: &str| TokenScope::named(text).ok_or(Problem::UnknownScope);
        let scope = required(scope.as_deref(), named);
        let days = days.into_inner().ok_or(Problem::Missing).and_then(|days| match days {
            1..=MAX_DAYS => Ok(days.unsigned_abs()),
            _ => Err(Problem::TokenDays),
        });
        match (name, scope, days) {
            (Ok(name), Ok(scope), Ok(days)) => {
                Ok(TokenRequest { name, scope, lifetime: Duration::from_hours(24 * days) })
            }
            (name, scope, days) => Err(AppError::invalid_fields([
                (Field::Name, name.err()),
                (Field::TokenScope, scope.err()),
                (Field::Days, days.err()),
            ])),
        }
    }
}

fn required<T>(text: Option<&str>, parse: impl FnOnce(&str) -> Result<T, Problem>) -> Result<T, Problem> {
    text.ok_or(Problem::Missing).and_then(parse)
}

/// Parses a field that is reported alone.
fn field<T>(field: Field, text: Option<&str>, parse: fn(&str) -> Result<T, Problem>) -> Result<T, AppError> {
    required(text, parse).map_err(|problem| AppError::invalid(field, problem))
}

/// A field that is only compared, so that any text but an empty one is accepted.
fn compared(field: Field, text: Text) -> Result<String, AppError> {
    text.filled().ok_or_else(|| AppError::invalid(field, Problem::Missing))
}

/// Parses a link's token. Any other text is an invalid link too, because mail programs may truncate links.
fn link(text: &Text) -> Result<Token, AppError> {
    text.as_deref().and_then(|text| Token::parse(TokenKind::Link, text)).ok_or(AppError::LinkInvalid)
}

/// Parses the token of the link that makes the first admin.
fn setup_link(text: &Text) -> Result<Token, AppError> {
    link(text).map_err(|_| AppError::SetupLinkInvalid)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<T: Parse>(body: Value) -> Result<T::Parsed, AppError> {
        serde_json::from_value::<T>(body).map_err(|_| AppError::BadRequest)?.parse()
    }

    #[test]
    fn a_field_of_another_type_is_reported_like_a_missing_one() {
        for body in [json!({}), json!({ "username": null }), json!({ "username": 7 }), json!({ "username": ["ann"] })] {
            let missing = AppError::invalid(Field::Username, Problem::Missing);
            assert_eq!(read::<ChangeUsername>(body.clone()).err(), Some(missing.clone()));
            assert_eq!(read::<DeleteAccount>(body).err(), Some(missing));
        }
    }

    #[test]
    fn days_of_another_type_are_reported_as_a_wrong_number() {
        let token = |days: Value| read::<NewAccessToken>(json!({ "name": "a", "scope": "read", "days": days })).err();
        assert_eq!(token(json!(90)), None);
        for days in [json!("90"), json!(""), json!(9.5), json!(-1), json!(0), json!(u64::MAX), json!(true), json!([90])]
        {
            assert_eq!(token(days.clone()), Some(AppError::invalid(Field::Days, Problem::TokenDays)), "{days}");
        }
        let missing = Some(AppError::invalid(Field::Days, Problem::Missing));
        assert_eq!(token(Value::Null), missing);
        assert_eq!(read::<NewAccessToken>(json!({ "name": "a", "scope": "read" })).err(), missing);
    }

    #[test]
    fn a_login_accepts_an_email_or_a_username() {
        for body in [
            json!({ "email": "ann", "password": "x" }),
            json!({ "username": "ann", "password": "x" }),
            json!({ "email": "", "username": "ann", "password": "x" }),
            json!({ "email": "ann", "username": null, "password": "x" }),
            json!({ "email": "ann", "username": "bob", "password": "x" }),
        ] {
            assert_eq!(read::<LogIn>(body.clone()), Ok(("ann".to_owned(), "x".to_owned())), "{body}");
        }
    }

    #[test]
    fn a_login_with_a_field_of_another_type_is_a_bad_request() {
        for body in [
            json!({ "email": "ann", "username": {}, "password": "x" }),
            json!({ "email": 7, "username": "ann", "password": "x" }),
            json!({ "email": "ann", "password": 7 }),
        ] {
            assert_eq!(read::<LogIn>(body.clone()), Err(AppError::BadRequest), "{body}");
        }
    }

    #[test]
    fn the_server_reads_what_the_page_sends() {
        let sent = LogIn { email: Some("ann".to_owned()), username: None, password: "secret".into() };
        let sent = serde_json::to_value(&sent).expect("JSON");
        assert_eq!(read::<LogIn>(sent), Ok(("ann".to_owned(), "secret".to_owned())));
    }

    #[test]
    fn a_change_of_a_password_never_prints_it_r29() {
        let change = ChangePassword {
            current_password: "first secret".into(),
            new_password: "second secret".into(),
            revoke_access_tokens: false,
        };
        assert!(!format!("{change:?}").contains("secret"));
        assert_eq!(format!("{:?}", change.parse().expect("a change")), "PasswordChange");
    }

    #[test]
    fn a_new_password_is_never_printed_r29() {
        let token = Token::generate(TokenKind::Link, || 7);
        let new = SetPassword { token: token.expose().into(), new_password: "a secret of some length".into() };
        assert!(!format!("{new:?}").contains("secret"));
        assert_eq!(format!("{:?}", new.parse().expect("a new password")), "NewPassword");
    }
}
