//! What an API key may be used for: [`Scope`].

use std::fmt;
use std::str::FromStr;

use crate::entity::{Action, EntityKind};
use crate::error::{Error, Result};

/// One thing that an API key may be used for: `action:entity`, with `*` for any, such as `read:*` or `create:instance`.
///
/// A scope only narrows: a key never allows what its owner may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The action; any where there is none.
    pub action: Option<Action>,
    /// The kind of thing; any where there is none.
    pub entity: Option<EntityKind>,
}

impl Scope {
    /// Everything that the owner may do.
    pub const ALL: Self = Self { action: None, entity: None };

    /// Whether it covers this action on this kind of thing.
    pub fn covers(self, action: Action, entity: EntityKind) -> bool {
        self.action.is_none_or(|of| of == action) && self.entity.is_none_or(|of| of == entity)
    }
}

impl Scope {
    /// Whether it covers everything that another one covers.
    pub fn includes(self, other: Self) -> bool {
        (self.action.is_none() || self.action == other.action)
            && (self.entity.is_none() || self.entity == other.entity)
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (action, entity) = text
            .split_once(':')
            .ok_or_else(|| Error::invalid("scope", "expected action:entity, such as read:*"))?;
        let action = if action == "*" { None } else { Some(action.parse()?) };
        let entity = if entity == "*" { None } else { Some(entity.parse()?) };
        Ok(Self { action, entity })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = self.action.map_or("*", Action::as_str);
        write!(f, "{action}:{}", self.entity.map_or("*", EntityKind::as_str))
    }
}

/// Whether one of the texts is a scope that covers this. A text that is none covers nothing.
pub(super) fn covered(scopes: &[String], action: Action, entity: EntityKind) -> bool {
    scopes.iter().filter_map(|text| text.parse::<Scope>().ok()).any(|scope| scope.covers(action, entity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_includes_what_it_covers_whole() {
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        for (wide, narrow) in
            [("*:*", "*:*"), ("*:*", "read:*"), ("read:*", "read:image"), ("*:image", "use:image")]
        {
            assert!(scope(wide).includes(scope(narrow)), "{wide} and {narrow}");
        }
        for (one, other) in
            [("read:*", "*:*"), ("read:image", "read:*"), ("read:*", "use:image"), ("*:image", "*:gpu")]
        {
            assert!(!scope(one).includes(scope(other)), "{one} and {other}");
        }
    }

    #[test]
    fn a_scope_is_printed_as_it_is_read_and_covers_what_it_says() {
        for text in ["*:*", "read:*", "*:instance", "create:instance"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for text in ["", "read", "read:", ":instance", "read:instances", "fly:instance", "read:instance:own"]
        {
            assert!(text.parse::<Scope>().is_err(), "{text:?}");
        }
        let scopes = ["read:*".to_owned(), "operate:instance".to_owned(), "nonsense".to_owned()];
        assert!(covered(&scopes, Action::Read, EntityKind::Quota));
        assert!(covered(&scopes, Action::Operate, EntityKind::Instance));
        assert!(!covered(&scopes, Action::Operate, EntityKind::ComputeNode));
        assert!(!covered(&[], Action::Read, EntityKind::Quota));
    }
}
