//! Accounts: administrators, sign-up, passwords, addresses, and how an account ends.

mod administrators;
mod codes;
mod deletion;
mod email;
mod invitations;
mod message;
mod passwords;
#[cfg(test)]
mod properties;
mod purges;
mod sign_up;
mod suspension;
mod trainings;

pub use administrators::NewAdministrator;
pub use deletion::{Deletion as UserDeletion, Standing};
pub use message::Message;
pub use sign_up::{Confirmation, SignUp};

pub(super) use administrators::administrators;

use crate::entity::Entity as _;
use crate::entity::{Email, LOGIN_WAYS, LoginWays, PASSWORDS, Password, SecretText, USERS, UserId};
use crate::store::{Query, Row, Scan, Write};
use crate::time::Timestamp;

/// The user of an address; nobody's where it is none.
pub(super) fn by_email(email: &Email) -> Query {
    Query::Scan(Scan::of(&USERS).by("users_email").with(email.clone()).limit(1))
}

/// The writes that give a user this password, in place of the one in `kept`. The first one is a way in.
fn password_writes(user_id: UserId, hash: &SecretText, kept: Option<&Row>, now: Timestamp) -> Vec<Write> {
    if let Some(row) = kept {
        let set = vec![("hash", hash.expose().into()), ("updated_at", now.into())];
        return vec![Write::update(&PASSWORDS, user_id, row.revision(), set)];
    }
    let password = Password { user_id, hash: hash.clone(), updated_at: now };
    let [ways, more] = one_way_more(user_id);
    vec![Write::Insert(password.to_row()), ways, more]
}

/// The writes that count one way in more.
pub(super) fn one_way_more(user_id: UserId) -> [Write; 2] {
    let none = LoginWays { user_id, ways: 0 };
    [Write::Ensure(none.to_row()), Write::record(&LOGIN_WAYS, user_id, "ways", 1)]
}
