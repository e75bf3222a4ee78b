//! The images of the process driver: [`Images`].

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use apportion::amount::StorageMib;
use uuid::Uuid;

use super::busy::lock;
use super::record;
use crate::driver::{Error, ImageFound, Result};

/// The images, in one file.
///
/// A process needs no image, and nothing is fetched: `file://` names a file or folder of the machine, which must be there, and
/// anything else is a mark that is remembered. An instance of an image gets its reference as `IMAGE`. What was saved of an instance is
/// a folder in `images.saved`, with which an instance of it begins; see [`saved`](super::saved).
#[derive(Debug)]
pub(super) struct Images {
    file: Mutex<PathBuf>,
}

impl Images {
    /// Those that are written in a file.
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file: Mutex::new(file) }
    }

    /// The file.
    pub(super) fn file(&self) -> PathBuf {
        lock(&self.file).clone()
    }

    /// All, in the order of their keys.
    pub(super) fn all(&self) -> Result<Vec<ImageFound>> {
        read(&lock(&self.file))
    }

    /// The one of a key or a reference.
    pub(super) fn find(&self, image: &str) -> Result<ImageFound> {
        let found = self.all()?.into_iter().find(|one| one.key == image || one.url.as_deref() == Some(image));
        found.ok_or_else(|| Error::NoSuchImage { image: image.to_owned() })
    }

    /// Remembers one. The same reference has the same key on every machine.
    pub(super) fn load(&self, url: &str) -> Result<ImageFound> {
        self.remember(Uuid::new_v5(&Uuid::NAMESPACE_URL, url.as_bytes()).to_string(), url)
    }

    /// Remembers one under a key.
    pub(super) fn remember(&self, key: String, url: &str) -> Result<ImageFound> {
        let bytes = match url.strip_prefix("file://") {
            Some(path) => size(Path::new(path)).map_err(|_| Error::NoSuchImage { image: url.to_owned() })?,
            None => 0,
        };
        let size_mib = i64::try_from(bytes.div_ceil(1 << 20)).ok().and_then(|mib| StorageMib::new(mib).ok());
        let image = ImageFound { key, url: Some(url.to_owned()), size_mib: size_mib.unwrap_or_default() };
        self.change(|all| {
            all.retain(|one| one.key != image.key);
            all.push(image.clone());
        })?;
        Ok(image)
    }

    /// Forgets one. What a reference names is left where it is; what was saved is removed.
    pub(super) fn delete(&self, key: &str) -> Result<()> {
        self.change(|all| all.retain(|one| one.key != key))?;
        self.discard(key)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<ImageFound>)) -> Result<()> {
        let file = lock(&self.file);
        let mut all = read(&file)?;
        change(&mut all);
        all.sort_by(|one, other| one.key.cmp(&other.key));
        record::write(&file, &all)
    }
}

fn read(file: &Path) -> Result<Vec<ImageFound>> {
    Ok(record::read(file)?.unwrap_or_default())
}

/// The bytes of a file, or of all files in a folder. Links are not followed, so that none leads round in a circle.
fn size(path: &Path) -> std::io::Result<u64> {
    let about = fs::symlink_metadata(path)?;
    if !about.is_dir() {
        return Ok(about.len());
    }
    fs::read_dir(path)?.try_fold(0, |sum, entry| Ok(sum + size(&entry?.path())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_remembered_until_it_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let images = || Images::new(folder.path().join("images.json"));
        let marker = images().load("example.org/training:1").unwrap();
        assert_eq!(images().load("example.org/training:1").unwrap(), marker);
        assert_eq!(images().all().unwrap(), std::slice::from_ref(&marker));
        assert_eq!(images().find("example.org/training:1").unwrap(), marker);
        assert_eq!(images().find(&marker.key).unwrap(), marker);
        images().delete(&marker.key).unwrap();
        images().delete(&marker.key).unwrap();
        assert!(matches!(images().find(&marker.key), Err(Error::NoSuchImage { .. })));
    }

    #[test]
    fn a_folder_is_measured_and_one_that_is_not_there_is_no_image() {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::new(folder.path().join("images.json"));
        let image = folder.path().join("image");
        fs::create_dir_all(image.join("inner")).unwrap();
        fs::write(image.join("inner/weights"), vec![0; (1 << 20) + 1]).unwrap();
        let url = format!("file://{}", image.display());
        assert_eq!(images.load(&url).unwrap().size_mib.get(), 2);
        assert!(matches!(images.load("file:///not/there"), Err(Error::NoSuchImage { .. })));
    }
}
