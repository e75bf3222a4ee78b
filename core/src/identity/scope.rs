//! What an API key may be used for: [`Scope`].

use std::fmt;

use crate::entity::{Action, EntityKind};

/// One thing that an API key may be used for: an action on a kind of thing, written `action:entity`, where `*` stands for any.
///
/// A scope permits nothing that the owner of the key may not do; it only takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// The action; none stands for any.
    pub action: Option<Action>,
    /// The kind of thing; none stands for any.
    pub entity: Option<EntityKind>,
}

impl Scope {
    /// Reads a scope; nothing where the text is none, or names an action or a kind that there is not.
    pub fn parse(text: &str) -> Option<Self> {
        let (action, entity) = text.split_once(':')?;
        let action = if action == "*" { None } else { Some(Action::parse(action)?) };
        let entity = if entity == "*" { None } else { Some(EntityKind::parse(entity)?) };
        Some(Self { action, entity })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = self.action.map_or("*", Action::as_str);
        let entity = self.entity.map_or("*", EntityKind::as_str);
        write!(f, "{action}:{entity}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_read_as_it_is_written() {
        let any = |known: Vec<&'static str>| known.into_iter().chain(["*"]).collect::<Vec<_>>();
        for action in any(Action::TEXTS.to_vec()) {
            for entity in any(EntityKind::TEXTS.to_vec()) {
                let text = format!("{action}:{entity}");
                assert_eq!(Scope::parse(&text).unwrap().to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_scope_is_not_read() {
        for text in [
            "", ":", "*", "read", "read:", ":instance", "read:instances", "READ:instance", "read: instance",
            "read:instance:x", "read:*x", "**:*", "read,instance", "read:instance\n",
        ] {
            assert_eq!(Scope::parse(text), None, "{text:?}");
        }
    }
}
