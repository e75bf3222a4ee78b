//! Names of files, and the keys under which the host keeps them: [`check_key`].

use crate::entity::{MediaType, TrainingId, TrainingImageId};
use crate::error::{Error, Result};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;

/// Refuses what is no key of a file: 1 to 512 bytes of letters, digits, `-`, `_`, `.` and `/`, no part of which is empty or
/// begins with a dot. So joined to a folder it never leaves it, and no two keys are one file.
///
/// # Errors
/// `Invalid` on `key`.
pub fn check_key(key: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
    if key.len() > MAX_KEY_BYTES || !key.split('/').all(part) {
        let rule = "1 to 512 bytes are expected: parts of letters, digits, -, _ and ., separated by /";
        return Err(Error::invalid("key", rule));
    }
    Ok(())
}

/// The key of an image: of ids only, so that no name of a user's is ever a part of a path, and no two images share one.
pub(crate) fn image_key(training: TrainingId, image: TrainingImageId, media_type: MediaType) -> String {
    let extension = match media_type {
        MediaType::Png => "png",
        MediaType::Jpeg => "jpg",
        MediaType::Webp => "webp",
    };
    format!("trainings/{training}/images/{image}.{extension}")
}

/// Refuses what is no name of a file: a path, or something with control characters.
pub(crate) fn check_file_name(name: &str) -> Result<()> {
    let odd = |c: char| c.is_control() || matches!(c, '/' | '\\');
    if name.trim().is_empty() || name.len() > 255 || name.chars().any(odd) || matches!(name, "." | "..") {
        let rule = "1 to 255 bytes without /, \\ and control characters are expected";
        return Err(Error::invalid("name", rule));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_key_stays_in_its_folder() {
        let long = "x".repeat(512);
        for good in ["a", "a/b", "trainings/1-2/images/x.png", "a.b/c_d", "a..b", &long] {
            check_key(good).unwrap();
        }
        let longer = "x".repeat(513);
        for bad in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", ".a", "a\\b", "a b", "a\0", "ä",
            "a:b", "a%2f", &longer,
        ] {
            assert!(matches!(check_key(bad), Err(Error::Invalid { field, .. }) if field == "key"), "{bad:?}");
        }
    }

    #[test]
    fn the_key_of_an_image_is_a_key_and_another_one_for_each() {
        let id = |n| Uuid::from_u128(n);
        let mut keys = std::collections::BTreeSet::new();
        for training in [1, 2] {
            for image in [3, 4] {
                for media_type in MediaType::ALL {
                    let key = image_key(id(training).into(), id(image).into(), *media_type);
                    check_key(&key).unwrap();
                    assert!(keys.insert(key));
                }
            }
        }
    }

    #[test]
    fn the_name_of_a_file_is_no_path() {
        for good in ["a.png", "a b.png", "日本.png", ".hidden.png", "...", &"x".repeat(255)] {
            check_file_name(good).unwrap();
        }
        for bad in ["", " ", ".", "..", "a/b", "../a", "a\\b", "a\0", "a\nb", &"x".repeat(256)] {
            assert!(
                matches!(check_file_name(bad), Err(Error::Invalid { field, .. }) if field == "name"),
                "{bad:?}"
            );
        }
    }
}
