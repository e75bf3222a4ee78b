//! What may be said of a training: texts, names and keys, each with its rule. All of it is pure.

mod caption;
mod definition;
mod key;
mod policy;

pub use caption::{MAX_CAPTION_BYTES, caption};
pub use key::{MAX_KEY_BYTES, check_key};
pub use policy::{MAX_IMAGES, TrainingPolicy};

pub(crate) use definition::{check_base_model, check_config, check_trigger_word};
pub(crate) use key::{check_file_name, image_key};
