//! One function for each request of a web server: what it takes out of the request, and what it asks of the control plane.

use apportion::ControlPlane;
use apportion::entity::{SecretText, SessionState};
use apportion::error::Result;
use apportion::identity::Origin;
use apportion::plane::{Acting, Confirmation, LogIn, LoggedIn, Message, SecondFactor, SignUp};

use crate::mail;

/// `POST /sign-up`. The answer is the same whether or not the address has an account.
pub async fn sign_up(
    cloud: &ControlPlane,
    email: &str,
    name: &str,
    password: SecretText,
    origin: &Origin,
) -> Result<Vec<Message>> {
    let messages = cloud.from_origin(origin.clone()).sign_up(SignUp::new(email, name, password)).await?;
    mail::send(&messages);
    // Only the story needs them back.
    Ok(messages)
}

/// `POST /confirm`: what the link carries, and the password of the sign-up.
pub async fn confirm(
    cloud: &ControlPlane,
    link: SecretText,
    password: SecretText,
    origin: &Origin,
) -> Result<()> {
    cloud.from_origin(origin.clone()).confirm_email(&Confirmation::Link(link), password).await.map(drop)
}

/// `POST /log-in`. Where a second factor is set up, the token that comes back is only good for giving it.
pub async fn log_in(
    cloud: &ControlPlane,
    email: &str,
    password: SecretText,
    code: Option<SecretText>,
    origin: &Origin,
) -> Result<LoggedIn> {
    let login = cloud.log_in(LogIn::new(email, password, origin.clone())).await?;
    match (login.session.state, code) {
        (SessionState::AwaitingSecondFactor, Some(code)) => {
            cloud.finish_log_in(&login.token, &SecondFactor::Totp(code), origin).await
        }
        _ => Ok(login),
    }
}

/// Every other request: `Authorization: Bearer`, with the token of a session or an API key.
pub async fn acting(cloud: &ControlPlane, bearer: &SecretText, origin: &Origin) -> Result<Acting> {
    Ok(cloud.acting(cloud.authenticate(bearer, origin.clone()).await?))
}
