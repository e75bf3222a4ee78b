//! Images that are saved of instances: copies of their folders.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::images::Images;
use super::keeper::{Keeper, Step};
use super::operate::remove;
use super::record::sync_folder;
use crate::driver::{Error, ImageFound, Result};

impl Keeper {
    /// Copies the folder of an instance, and remembers the copy as an image of this id. The instance goes on: what it writes
    /// meanwhile may be in the copy or not.
    pub(super) fn save_image(&self, key: &str, image: Uuid) -> Result<ImageFound> {
        // What was saved before needs its instance no more.
        if let Some(there) = self.images.saved(image)? {
            return Ok(there);
        }
        let id = self.id(key)?;
        let _turn = self.busy.wait(id);
        self.made(id)?;
        let copy = self.images.folder_of(image);
        if !copy.is_dir() {
            let half = copy.with_extension("half");
            remove(&half)?;
            copy_folder(&self.instance(id).join("work"), &half).map_err(Error::file(&half))?;
            (self.on_step)(Step::Copied)?;
            // Whole or not at all, so that no half of it is taken for an image.
            fs::rename(&half, &copy).map_err(Error::file(&copy))?;
            copy.parent().map_or(Ok(()), sync_folder)?;
        }
        (self.on_step)(Step::Kept)?;
        self.images.keep(image)
    }

    /// Lets an instance of an image that was saved begin with what is in it. One that has a folder has begun.
    pub(super) fn unpack(&self, instance: Uuid, image: &str) -> Result<()> {
        let work = self.instance(instance).join("work");
        let Some(copy) = self.images.copy_of(image).filter(|_| !work.exists()) else { return Ok(()) };
        let half = work.with_extension("half");
        remove(&half)?;
        copy_folder(&copy, &half).map_err(Error::file(&half))?;
        fs::rename(&half, &work).map_err(Error::file(&work))
    }
}

impl Images {
    /// The folder of images that were saved, beside the file.
    fn folder(&self) -> PathBuf {
        self.file().with_extension("saved")
    }

    fn folder_of(&self, image: Uuid) -> PathBuf {
        self.folder().join(image.to_string())
    }

    /// The one that was saved under this id.
    fn saved(&self, image: Uuid) -> Result<Option<ImageFound>> {
        Ok(self.all()?.into_iter().find(|one| one.key == image.to_string()))
    }

    /// What was saved as this image; none where it was not saved, but loaded.
    fn copy_of(&self, image: &str) -> Option<PathBuf> {
        let key = self.find(image).ok()?.key;
        Some(self.folder_of(Uuid::parse_str(&key).ok()?)).filter(|folder| folder.is_dir())
    }

    /// Remembers a copy.
    fn keep(&self, image: Uuid) -> Result<ImageFound> {
        self.remember(image.to_string(), &format!("file://{}", self.folder_of(image).display()))
    }

    /// Makes the folder, and removes what an agent that was killed has left half done in it.
    pub(super) fn sweep(&self) -> Result<()> {
        let folder = self.folder();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(Error::file(&folder))?;
        for entry in fs::read_dir(&folder).map_err(Error::file(&folder))?.flatten() {
            if entry.path().extension().is_some() {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes what was saved as the image of this key, which is forgotten already: cut off in the middle, it is done again.
    pub(super) fn discard(&self, key: &str) -> Result<()> {
        Uuid::parse_str(key).map_or(Ok(()), |image| remove(&self.folder_of(image)))
    }
}

/// Copies a folder with what is in it. Links are copied as links; what is neither file, folder nor link is left out, and so is
/// what goes while it is copied.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let copied = entry.file_type().and_then(|kind| {
            if kind.is_dir() {
                copy_folder(&from, &to)
            } else if kind.is_symlink() {
                symlink(fs::read_link(&from)?, &to)
            } else if kind.is_file() {
                fs::copy(&from, &to).map(drop)
            } else {
                Ok(())
            }
        });
        match copied {
            Err(error) if error.kind() == ErrorKind::NotFound && !from.exists() => {}
            copied => copied?,
        }
    }
    Ok(())
}
