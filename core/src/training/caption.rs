//! What is to be seen on an image: [`caption`].

use std::collections::BTreeSet;

use crate::error::{Error, Result};

/// The longest caption, in bytes.
pub const MAX_CAPTION_BYTES: usize = 4096;

/// A caption in its one form: tags, each trimmed and once whatever its case, in the order given, separated by `, `.
///
/// The trigger word is put out: the trainer puts it before every caption, and what is in a caption by another name would be
/// learned apart from it.
///
/// # Errors
/// `Invalid` for one that is longer than [`MAX_CAPTION_BYTES`] in this form, or that has a control character in a tag.
pub fn caption(text: &str, trigger_word: &str) -> Result<String> {
    // Before anything is done with it: the form is never longer than the text by more than a space a tag.
    if text.len() > 4 * MAX_CAPTION_BYTES {
        return Err(too_long());
    }
    let mut seen = BTreeSet::from([trigger_word.to_lowercase()]);
    let mut tags = Vec::new();
    for tag in text.split([',', '\n', '\r']).map(str::trim).filter(|tag| !tag.is_empty()) {
        if tag.chars().any(char::is_control) {
            return Err(Error::invalid("text", "it contains a control character"));
        }
        if seen.insert(tag.to_lowercase()) {
            tags.push(tag);
        }
    }
    let caption = tags.join(", ");
    if caption.len() > MAX_CAPTION_BYTES { Err(too_long()) } else { Ok(caption) }
}

fn too_long() -> Error {
    Error::invalid("text", format!("at most {MAX_CAPTION_BYTES} bytes are allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_are_trimmed_and_kept_once_without_the_trigger_word() {
        for (text, expected) in [
            ("", ""),
            (" , ,,", ""),
            ("a cat", "a cat"),
            ("  a cat ,on a mat,", "a cat, on a mat"),
            ("cat, Cat, CAT, dog", "cat, dog"),
            ("ohwx, cat, OHWX", "cat"),
            ("ohwx cat", "ohwx cat"),
            ("one\ntwo\r\nthree", "one, two, three"),
            ("Ä, ä, ö", "Ä, ö"),
        ] {
            assert_eq!(caption(text, "ohwx").unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_too_long_or_has_control_characters_is_refused() {
        let long = |tags: usize| (0..tags).map(|at| format!("{at:06}")).collect::<Vec<_>>().join(",");
        assert_eq!(caption(&long(512), "x").unwrap().len(), 512 * 8 - 2);
        for text in
            [long(513), "a".repeat(4097), ",".repeat(5 * MAX_CAPTION_BYTES), "a\0b".into(), "a\tb".into()]
        {
            assert!(matches!(caption(&text, "x"), Err(Error::Invalid { field, .. }) if field == "text"));
        }
    }

    proptest! {
        #[test]
        fn the_form_of_a_form_is_itself(text in "[ a-dA-D,\u{e4}\u{c4}\n]{0,60}", word in "[a-c]{1,2}") {
            let once = caption(&text, &word).unwrap();
            prop_assert_eq!(&caption(&once, &word).unwrap(), &once);
            let tags: Vec<_> = once.split(", ").filter(|tag| !tag.is_empty()).map(str::to_lowercase).collect();
            let distinct: BTreeSet<_> = tags.iter().collect();
            prop_assert_eq!(distinct.len(), tags.len());
            prop_assert!(!tags.contains(&word));
        }
    }
}
