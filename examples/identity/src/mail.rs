//! What has to be mailed. Here it is printed, and kept for whoever reads it in the story.

use apportion::entity::SecretText;
use apportion::plane::Message;

/// Sends messages. Yours hands them to a mail server.
pub fn send(messages: &[Message]) {
    for message in messages {
        println!("  mail to {}: {}", message.to(), subject(message));
    }
}

/// What the link in a message carries, for the story: somebody clicks on it.
pub fn link(messages: &[Message]) -> Option<SecretText> {
    messages.iter().find_map(|message| match message {
        Message::ConfirmEmail { link_token, .. } => Some(link_token.clone()),
        _ => None,
    })
}

fn subject(message: &Message) -> &'static str {
    match message {
        Message::ConfirmEmail { .. } => "confirm your address, by this link or this code",
        Message::AlreadyRegistered { .. } => "somebody signed up with your address; you have an account",
        Message::Invitation { .. } => "you are invited",
        Message::ResetPassword { .. } => "this code sets a new password",
        Message::ConfirmNewEmail { .. } => "this code makes this your address",
        Message::EmailChanged { .. } => "your account has another address now",
        Message::PasswordChanged { .. } => "your account has another password now",
        Message::PasswordRemoved { .. } => "your account has no password any more",
        Message::AccountLinked { .. } => "an account at a provider lets you in now",
        _ => "something about your account",
    }
}
