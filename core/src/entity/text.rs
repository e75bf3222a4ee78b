//! Texts with rules: names, e-mail addresses, secrets, and enums that are kept as texts.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::field::{self, Field};
use crate::error::Error;
use crate::store::Value;
use zeroize::Zeroize as _;

/// Declares an enum that is kept, printed and serialized as fixed texts.
///
/// The texts are stored: none may ever change.
macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident, $kind:literal { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every one, in declared order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The text of each, in the same order: what the column's rule allows.
            pub const TEXTS: &'static [&'static str] = &[$($text),+];

            /// The text that stands for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The one that the text stands for.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::error::Error;
            fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
                Self::parse(text).ok_or_else(|| {
                    $crate::error::Error::invalid($kind, format!("expected one of {}", Self::TEXTS.join(", ")))
                })
            }
        }

        impl $crate::entity::field::Field for $name {
            fn from_value(value: &$crate::store::Value) -> Option<Self> {
                $crate::entity::field::text(value).and_then(Self::parse)
            }
            fn to_value(&self) -> $crate::store::Value {
                self.as_str().into()
            }
        }
    };
}
pub(crate) use text_enum;

/// Gives a state its `on`, over the pure table of its `after`.
macro_rules! transitions {
    ($(#[$doc:meta])* $state:ident, $event:ident, $kind:literal) => {
        impl $state {
            $(#[$doc])*
            pub fn on(self, event: $event) -> crate::error::Result<Self> {
                self.after(event).ok_or_else(|| crate::error::Error::WrongState {
                    kind: $kind,
                    state: self.as_str(),
                    event: event.as_str(),
                    allowed: $event::ALL
                        .iter()
                        .filter(|event| self.after(**event).is_some())
                        .map(|event| event.as_str())
                        .collect(),
                })
            }
        }
    };
}
pub(super) use transitions;

/// Declares a text that is checked, and possibly brought into its one form, when it is made.
macro_rules! checked_text {
    ($(#[$meta:meta])* $name:ident, $field:literal, $clean:path) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks a text; `Invalid` says what is wrong with it.
            pub fn new(text: impl Into<String>) -> Result<Self, Error> {
                $clean(&text.into()).map(Self).map_err(|reason| Error::invalid($field, reason))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Field for $name {
            // A stored text that is not in its one form would never be found by it: that is corrupt too.
            fn from_value(value: &Value) -> Option<Self> {
                let text = field::text(value)?;
                Self::new(text).ok().filter(|made| made.0 == text)
            }
            fn to_value(&self) -> Value {
                self.as_str().into()
            }
        }

        impl From<$name> for Value {
            fn from(text: $name) -> Self {
                Self::from(text.0)
            }
        }
    };
}

checked_text!(
    /// An e-mail address: 3 to 100 bytes, lower case, one `@`, and a domain with a dot.
    ///
    /// Space around it is cut off and capitals are lowered, so that one mailbox is one user.
    Email,
    "email",
    clean_email
);
checked_text!(
    /// The name of an instance: 2 to 32 letters, digits, `-` and `_`.
    InstanceName,
    "name",
    clean_instance_name
);
checked_text!(
    /// The name of a node: 1 to 256 bytes without control characters.
    NodeName,
    "name",
    clean_name
);
checked_text!(
    /// A name for people to read: 1 to 256 bytes without control characters.
    DisplayName,
    "name",
    clean_name
);

type Cleaned = Result<String, String>;

fn clean_email(text: &str) -> Cleaned {
    let email = text.trim().to_lowercase();
    within(&email, 3, 100)?;
    if email.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("it contains a space or a control character".into());
    }
    let parts: Vec<&str> = email.split('@').collect();
    match parts.as_slice() {
        [local, domain] if !local.is_empty() && is_dotted(domain) => Ok(email),
        [_, _] => Err("it needs a name before the @ and a domain with a dot behind it".into()),
        _ => Err("it needs exactly one @".into()),
    }
}

fn is_dotted(domain: &str) -> bool {
    domain.contains('.') && domain.split('.').all(|label| !label.is_empty())
}

fn clean_instance_name(text: &str) -> Cleaned {
    within(text, 2, 32)?;
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        Ok(text.to_owned())
    } else {
        Err("only letters, digits, - and _ are allowed".into())
    }
}

fn clean_name(text: &str) -> Cleaned {
    within(text, 1, 256)?;
    if text.chars().any(char::is_control) {
        return Err("it contains a control character".into());
    }
    Ok(text.to_owned())
}

fn within(text: &str, min: usize, max: usize) -> Result<(), String> {
    if (min..=max).contains(&text.len()) {
        Ok(())
    } else {
        Err(format!("{} bytes long, from {min} to {max} are allowed", text.len()))
    }
}

/// A text that is never printed, serialized or put in the feed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Field for SecretText {
    fn from_value(value: &Value) -> Option<Self> {
        field::text(value).map(Self::new)
    }
    fn to_value(&self) -> Value {
        self.expose().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form_however_it_is_typed() {
        let email = Email::new("  Ada.Lovelace@Example.ORG ").unwrap();
        assert_eq!(email.as_str(), "ada.lovelace@example.org");
        assert_eq!(serde_json::from_str::<Email>("\"ADA.lovelace@example.org\"").unwrap(), email);
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        let long = format!("{}@example.org", "a".repeat(100));
        for (text, says) in [
            ("", "0 bytes long, from 3 to 100 are allowed"),
            (long.as_str(), "112 bytes long, from 3 to 100 are allowed"),
            ("ada.example.org", "it needs exactly one @"),
            ("a@b@example.org", "it needs exactly one @"),
            ("@example.org", "it needs a name before the @ and a domain with a dot behind it"),
            ("ada@localhost", "it needs a name before the @ and a domain with a dot behind it"),
            ("ada@example.", "it needs a name before the @ and a domain with a dot behind it"),
            ("ada@.org", "it needs a name before the @ and a domain with a dot behind it"),
            ("ada l@example.org", "it contains a space or a control character"),
            ("ada\u{0}@example.org", "it contains a space or a control character"),
        ] {
            assert_eq!(
                Email::new(text).unwrap_err().to_string(),
                format!("email is invalid: {says}"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn names_are_held_to_their_rules() {
        for (text, instance, node) in [
            ("a", false, true),
            ("ab", true, true),
            ("web-1_A", true, true),
            ("web 1", false, true),
            ("wéb", false, true),
            ("a\nb", false, false),
            ("a\0b", false, false),
            ("", false, false),
        ] {
            assert_eq!(InstanceName::new(text).is_ok(), instance, "{text:?}");
            assert_eq!(NodeName::new(text).is_ok(), node, "{text:?}");
            assert_eq!(DisplayName::new(text).is_ok(), node, "{text:?}");
        }
        assert!(InstanceName::new("a".repeat(32)).is_ok() && InstanceName::new("a".repeat(33)).is_err());
        assert!(NodeName::new("é".repeat(128)).is_ok() && NodeName::new("é".repeat(129)).is_err());
    }

    #[test]
    fn a_stored_text_that_breaks_its_rule_is_not_read() {
        assert_eq!(Email::from_value(&"Ada@example.org".into()), None);
        assert_eq!(InstanceName::from_value(&"a".into()), None);
        assert_eq!(NodeName::from_value(&Value::Null), None);
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", SecretText::new("hunter2")), "(secret)");
    }
}
