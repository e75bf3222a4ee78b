//! What a training is made of: its configuration, its trigger word, and what it starts from.

use crate::entity::BaseModel;
use crate::error::{Error, Result};
use crate::store::Json;

/// The longest configuration, in bytes of its canonical form.
const MAX_CONFIG_BYTES: usize = 65_536;
/// How deep a configuration may be nested. Readers of JSON give up somewhere behind a hundred.
const MAX_CONFIG_DEPTH: usize = 32;

/// Refuses a configuration that is no object, or is too large or too deep for whoever reads it.
pub(crate) fn check_config(config: &Json) -> Result<()> {
    let text = config.as_str();
    if !text.starts_with('{') {
        return Err(Error::invalid("config", "a JSON object is expected"));
    }
    if text.len() > MAX_CONFIG_BYTES {
        return Err(Error::invalid("config", format!("at most {MAX_CONFIG_BYTES} bytes are allowed")));
    }
    if depth(text) > MAX_CONFIG_DEPTH {
        return Err(Error::invalid("config", format!("it is nested deeper than {MAX_CONFIG_DEPTH}")));
    }
    Ok(())
}

/// How deep a JSON text is nested.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Refuses a trigger word that is not one word. A comma would make two tags of it.
pub(crate) fn check_trigger_word(word: &str) -> Result<()> {
    let apart = |c: char| c.is_whitespace() || c.is_control() || c == ',';
    if word.is_empty() || word.len() > 64 || word.chars().any(apart) {
        let rule = "one word of 1 to 64 bytes without commas and control characters is expected";
        return Err(Error::invalid("trigger_word", rule));
    }
    Ok(())
}

/// Refuses a base model with a text that is too long, missing, or has control characters.
pub(crate) fn check_base_model(model: &BaseModel) -> Result<()> {
    let texts = [
        ("base_model.id", Some(&model.id), 128),
        ("base_model.name", Some(&model.name), 256),
        ("base_model.url", model.url.as_ref(), 1024),
        ("base_model.filename", model.filename.as_ref(), 256),
        ("base_model.type", Some(&model.family), 64),
    ];
    for (field, text, most) in texts {
        let Some(text) = text else { continue };
        if text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
            let rule = format!("1 to {most} bytes without control characters are expected");
            return Err(Error::invalid(field, rule));
        }
    }
    if model.filename.as_deref().is_some_and(|name| name.contains(['/', '\\']) || name.starts_with('.')) {
        return Err(Error::invalid("base_model.filename", "a name without a path is expected"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(answer: Result<()>) -> Option<String> {
        match answer {
            Ok(()) => None,
            Err(Error::Invalid { field, .. }) => Some(field),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_configuration_is_an_object_of_bounded_size_and_depth() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let long = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        let brackets = format!("{{\"a\":\"{}\\\"{}\"}}", "[".repeat(100), "{".repeat(100));
        for good in ["{}", "{\"a\":1}", &nested(32), &long(MAX_CONFIG_BYTES), &brackets] {
            assert_eq!(field(check_config(&Json::parse(good).unwrap())), None, "{good:.40}");
        }
        for bad in
            ["[]", "null", "1", "\"{}\"", "[{}]", &nested(33), &nested(100), &long(MAX_CONFIG_BYTES + 1)]
        {
            assert_eq!(
                field(check_config(&Json::parse(bad).unwrap())).as_deref(),
                Some("config"),
                "{bad:.40}"
            );
        }
    }

    #[test]
    fn a_trigger_word_is_one_word() {
        for good in ["x", "ohwx", "ohwx-2", "пёс", &"x".repeat(64)] {
            assert_eq!(field(check_trigger_word(good)), None, "{good}");
        }
        for bad in ["", " ", "two words", "a\u{a0}b", "a,b", "a\nb", "a\0", "a\u{7f}", &"x".repeat(65)] {
            assert_eq!(field(check_trigger_word(bad)).as_deref(), Some("trigger_word"), "{bad:?}");
        }
    }

    #[test]
    fn every_text_of_a_base_model_is_bounded() {
        let model = BaseModel {
            id: "1".into(),
            name: "n".into(),
            url: Some("https://example.org/m".into()),
            filename: Some("m.safetensors".into()),
            family: "SDXL".into(),
        };
        assert_eq!(field(check_base_model(&model)), None);
        assert_eq!(field(check_base_model(&BaseModel { url: None, filename: None, ..model.clone() })), None);
        let long = |bytes: usize| "x".repeat(bytes);
        for (of, most) in [("id", 128), ("name", 256), ("url", 1024), ("filename", 256), ("type", 64)] {
            for (text, fits) in
                [(long(most), true), (long(most + 1), false), (String::new(), false), ("a\0".into(), false)]
            {
                let mut changed = model.clone();
                match of {
                    "id" => changed.id = text,
                    "name" => changed.name = text,
                    "url" => changed.url = Some(text),
                    "filename" => changed.filename = Some(text),
                    _ => changed.family = text,
                }
                let refused = (!fits).then(|| format!("base_model.{of}"));
                assert_eq!(field(check_base_model(&changed)), refused);
            }
        }
        for name in ["../m", "a/b", "a\\b", ".m"] {
            let changed = BaseModel { filename: Some(name.into()), ..model.clone() };
            assert_eq!(field(check_base_model(&changed)).as_deref(), Some("base_model.filename"));
        }
    }
}
