//! What the host decides about trainings: [`TrainingPolicy`].

use std::time::Duration;

/// The most images that a training may ever have.
pub const MAX_IMAGES: u32 = 1000;

/// What the host decides about trainings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrainingPolicy {
    /// The most images of a new training, up to [`MAX_IMAGES`]; 200 by default.
    pub images: u32,
    /// The most bytes of the images of a new training together; 4 GiB by default.
    pub image_bytes: u64,
    /// How long an announced image may be uploaded; an hour by default. The host lets what it signs for the upload end no later.
    pub upload: Duration,
}

impl Default for TrainingPolicy {
    fn default() -> Self {
        Self { images: 200, image_bytes: 4 << 30, upload: Duration::from_hours(1) }
    }
}

impl TrainingPolicy {
    /// Limits the images of a new training.
    pub fn images(mut self, images: u32) -> Self {
        self.images = images;
        self
    }

    /// Limits their bytes.
    pub fn image_bytes(mut self, bytes: u64) -> Self {
        self.image_bytes = bytes;
        self
    }

    /// Limits the time for an upload.
    pub fn upload(mut self, time: Duration) -> Self {
        self.upload = time;
        self
    }
}
