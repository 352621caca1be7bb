//! What the JSON API and the page share: reading the bearer token, and the page's access to the service.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header::AUTHORIZATION, request::Parts},
    response::Response,
};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;

use crate::{
    domain::{
        account::{AccessTokenLine, Account, CurrentSession, Export, Registered, SessionLine, SignIn, Strength},
        email::Email,
        token::{Token, TokenKind},
        username::Username,
    },
    error::{AppError, Field, FieldProblem},
    http::{
        client_ip::caller,
        response::{CLEAR_SITE_DATA, ErrorFormat},
        state::AppState,
    },
    service::{Caller, NewPassword, NewTokenRequest, PasswordChange, Proven, Service},
};

/// The bearer token of a request (RFC 6750, section 2.1), with the scheme `Bearer` or, as Django REST framework's
/// clients send it, `Token`.
///
/// # Errors
/// [`AppError::SessionEnded`] unless there is exactly one `Authorization` header with a well-formed token.
pub fn bearer(headers: &HeaderMap) -> Result<Token, AppError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(AppError::SessionEnded) };
    let credentials = value.to_str().ok().and_then(|text| text.split_once(' '));
    let known = |scheme: &str| scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    credentials
        .filter(|(scheme, _)| known(scheme))
        // Any number of spaces may separate the two (RFC 9110, section 11.4).
        .and_then(|(_, token)| {
            let token = token.trim_start_matches(' ');
            [TokenKind::Session, TokenKind::Personal].iter().find_map(|kind| Token::parse(*kind, token))
        })
        .ok_or(AppError::SessionEnded)
}

/// The bearer token of a request to the JSON API. Without one, the request handler isn't called.
#[derive(Debug)]
pub struct Bearer(pub Token);

impl<S: Sync> FromRequestParts<S> for Bearer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        bearer(&parts.headers).map(Self).map_err(|refused| ErrorFormat::Api.error_response(&refused))
    }
}

/// Access to the service for a server function: the state, the caller and the request's headers.
#[derive(Debug)]
pub struct PageContext {
    state: AppState,
    caller: Caller,
    parts: Parts,
}

impl PageContext {
    /// Reads what the router has put into the context. Fails outside of a request.
    pub fn from_request() -> Result<Self, AppError> {
        let state = use_context::<AppState>().ok_or(AppError::Internal)?;
        let parts = use_context::<Parts>().ok_or(AppError::Internal)?;
        let caller = caller(&parts, &state.trust.proxies);
        Ok(Self { state, caller, parts })
    }

    /// Logs in; see [`Service::log_in`](crate::service::Service::log_in).
    pub async fn log_in(&self, identifier: &str, password: &str) -> Result<SignIn, AppError> {
        Ok(self.state.service.log_in(&self.caller, identifier, password).await?)
    }

    /// Registers, and logs in if that is allowed; see [`Service::register_and_log_in`].
    pub async fn register(&self, email: &str, username: &str, password: &str) -> Result<Registered, AppError> {
        let registration = self.state.service.read_registration(Some(email), Some(username), Some(password))?;
        Ok(self.state.service.register_and_log_in(&self.caller, registration).await?)
    }

    /// Returns the account that is logged in; see [`Service::authenticate`](crate::service::Service::authenticate).
    pub async fn current_session(&self) -> Result<CurrentSession, AppError> {
        Ok(self.state.service.authenticate(&self.token()?).await?.current().clone())
    }

    /// Confirms the password; see [`Service::confirm_password`](crate::service::Service::confirm_password).
    pub async fn confirm_password(&self, password: &str) -> Result<String, AppError> {
        let renewed = self.state.service.confirm_password(&self.caller, &self.token()?, password).await?;
        Ok(renewed.token.expose().to_owned())
    }

    /// Changes the password; see [`Service::change_password`](crate::service::Service::change_password).
    pub async fn change_password(
        &self,
        current: &str,
        new: &str,
        revoke_access_tokens: bool,
    ) -> Result<String, AppError> {
        let change = PasswordChange::read(Some(current), Some(new)).revoking_access_tokens(revoke_access_tokens);
        let changed = self.state.service.change_password(&self.caller, &self.token()?, change).await?;
        Ok(changed.token.expose().to_owned())
    }

    /// Rates how hard a password is to guess; see [`Service::judge_password`].
    pub async fn judge_password(&self, password: &str, email: &str, username: &str) -> Result<Strength, AppError> {
        let token = self.token().ok();
        Ok(self.state.service.judge_password(&self.caller, token.as_ref(), password, [email, username]).await?)
    }

    /// Lists the account's sessions; see [`Service::list_sessions`](crate::service::Service::list_sessions).
    pub async fn sessions(&self) -> Result<Vec<SessionLine>, AppError> {
        Ok(self.state.service.list_sessions(&self.token()?).await?)
    }

    /// Ends a session; see [`Service::end_session`](crate::service::Service::end_session).
    pub async fn end_session(&self, id: &str) -> Result<(), AppError> {
        Ok(self.state.service.end_session(&self.require_reauth().await?, id).await?)
    }

    /// Ends all other sessions; see [`Service::end_other_sessions`](crate::service::Service::end_other_sessions).
    pub async fn end_other_sessions(&self) -> Result<(), AppError> {
        self.state.service.end_other_sessions(&self.require_reauth().await?).await?;
        Ok(())
    }

    /// Whether a link is still valid; see [`Service::check_link`].
    pub async fn check_link(&self, link: &str) -> Result<bool, AppError> {
        let Ok(link) = Service::read_link(Some(link)) else { return Ok(false) };
        Ok(self.state.service.check_link(&self.caller, &link).await?)
    }

    /// Confirms an email; see [`Service::verify_email`].
    pub async fn verify_email(&self, link: &str, password: &str) -> Result<String, AppError> {
        let link = Service::read_link(Some(link))?;
        Ok(self.state.service.verify_email(&self.caller, &link, password).await?)
    }

    /// Resends the mail with the link to confirm the email; see [`Service::resend_verification`].
    pub async fn resend_verification(&self) -> Result<(), AppError> {
        Ok(self.state.service.resend_verification(&self.caller, &self.token()?).await?)
    }

    /// Sends a link to set a new password; see [`Service::forgot_password`].
    pub async fn forgot_password(&self, email: &str) -> Result<(), AppError> {
        let email = parse_email(Field::Email, email)?;
        Ok(self.state.service.forgot_password(&self.caller, &email).await?)
    }

    /// Sets a new password; see [`Service::reset_password`].
    pub async fn reset_password(&self, link: &str, new: &str) -> Result<String, AppError> {
        let new = NewPassword::parse(Some(link), Some(new))?;
        Ok(self.state.service.reset_password(&self.caller, new).await?)
    }

    /// Sends a link to change the email; see [`Service::change_email`].
    pub async fn change_email(&self, email: &str) -> Result<(), AppError> {
        let email = parse_email(Field::NewEmail, email)?;
        Ok(self.state.service.change_email(&self.caller, &self.require_reauth().await?, &email).await?)
    }

    /// Confirms the new email; see [`Service::confirm_email`].
    pub async fn confirm_email(&self, link: &str, password: &str) -> Result<String, AppError> {
        let link = Service::read_link(Some(link))?;
        Ok(self.state.service.confirm_email(&self.caller, &link, password).await?)
    }

    /// Restores the previous email and sets a new password; see [`Service::undo_email`].
    pub async fn undo_email(&self, link: &str, new: &str) -> Result<String, AppError> {
        let new = NewPassword::parse(Some(link), Some(new))?;
        Ok(self.state.service.undo_email(&self.caller, new).await?)
    }

    /// Changes the username; see [`Service::change_username`].
    pub async fn change_username(&self, username: &str) -> Result<Account, AppError> {
        let invalid = |problem| AppError::Invalid(vec![FieldProblem { field: Field::Username, problem }]);
        let username = Username::choose(username).map_err(invalid)?;
        Ok(self.state.service.change_username(&self.caller, &self.require_reauth().await?, &username).await?)
    }

    /// Exports everything that is stored about the account; see [`Service::export`].
    pub async fn export(&self) -> Result<Export, AppError> {
        Ok(self.state.service.export(&self.require_reauth().await?).await?)
    }

    /// Deletes the account; see [`Service::delete_account`].
    pub async fn delete_account(&self, typed: &str) -> Result<(), AppError> {
        self.state.service.delete_account(&self.require_reauth().await?, typed).await?;
        clear_storage();
        Ok(())
    }

    /// Lists the account's personal access tokens; see [`Service::list_access_tokens`].
    pub async fn access_tokens(&self) -> Result<Vec<AccessTokenLine>, AppError> {
        Ok(self.state.service.list_access_tokens(&self.token()?).await?)
    }

    /// Creates a personal access token; see [`Service::issue_access_token`].
    pub async fn issue_access_token(&self, name: &str, scope: &str, days: i64) -> Result<String, AppError> {
        let request = NewTokenRequest::parse(Some(name), Some(scope), Some(days))?;
        let created = self.state.service.issue_access_token(&self.require_reauth().await?, request).await?;
        Ok(created.token.expose().to_owned())
    }

    /// Revokes a personal access token; see [`Service::revoke_access_token`].
    pub async fn revoke_access_token(&self, id: &str) -> Result<(), AppError> {
        Ok(self.state.service.revoke_access_token(&self.token()?, id).await?)
    }

    async fn require_reauth(&self) -> Result<Proven, AppError> {
        Ok(self.state.service.require_reauth(&self.token()?).await?)
    }

    fn token(&self) -> Result<Token, AppError> {
        bearer(&self.parts.headers)
    }

    /// Logs out; see [`Service::log_out`](crate::service::Service::log_out). The browser clears what the page stored.
    pub async fn log_out(&self) -> Result<(), AppError> {
        self.state.service.log_out(&self.token()?).await?;
        clear_storage();
        Ok(())
    }
}

/// Makes the browser clear what the page stored.
fn clear_storage() {
    if let Some(options) = use_context::<ResponseOptions>() {
        options.insert_header(CLEAR_SITE_DATA, HeaderValue::from_static("\"storage\""));
    }
}

fn parse_email(field: Field, text: &str) -> Result<Email, AppError> {
    Email::parse(text).map_err(|problem| AppError::Invalid(vec![FieldProblem { field, problem }]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&[u8]]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).expect("a header"));
        }
        bearer(&headers).is_ok()
    }

    #[test]
    fn a_token_is_taken_from_one_well_formed_header_only_r34_r35() {
        let token = Token::generate(TokenKind::Session, || 7);
        let token = token.expose();
        let with = |scheme: &str| format!("{scheme}{token}").into_bytes();
        for good in ["Bearer ", "bearer ", "BEARER ", "Token ", "Bearer  ", "token    "] {
            assert!(read(&[&with(good)]), "{good}");
        }
        for bad in
            ["", "Basic ", "Bearer", "Bearer\t", "Bearer \t", " Bearer ", "Bearer Bearer ", "Bearer \"", "Token token="]
        {
            assert!(!read(&[&with(bad)]), "{bad}");
        }
        assert!(!read(&[]));
        assert!(!read(&[&with("Bearer "), &with("Bearer ")]), "two headers");
        assert!(!read(&[b"Bearer \xff\xfe"]));
        assert!(!read(&[&[b'a'; 8192]]));
        assert!(!read(&[format!("Bearer {token}, Bearer {token}").as_bytes()]));
    }
}
