//! A folder that stands for the host's storage: [`Storage`].

use std::io::{Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

use apportion::plane::Artifact;
use sha2::{Digest as _, Sha256};

use super::Error;

/// Keeps what was trained under keys. Put your object storage in its place.
#[derive(Clone, Debug)]
pub struct Storage {
    folder: PathBuf,
}

impl Storage {
    /// The storage in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where what is kept under a key is.
    pub fn path(&self, key: &str) -> Result<PathBuf, Error> {
        let path = Path::new(key);
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if key.is_empty() || !plain {
            return Err(Error::BadKey { key: key.to_owned() });
        }
        Ok(self.folder.join(path))
    }

    /// Copies a file under a key. It is there whole or not at all, also after a power cut.
    pub fn put(&self, key: &str, from: &Path) -> Result<Artifact, Error> {
        let to = self.path(key)?;
        let folder = to.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        let mut source = std::fs::File::open(from).map_err(Error::file(from))?;
        let mut copy = tempfile::NamedTempFile::new_in(folder).map_err(Error::file(folder))?;
        let (mut hash, mut bytes, mut part) = (Sha256::new(), 0_u64, vec![0; 1 << 16]);
        loop {
            let read = source.read(&mut part).map_err(Error::file(from))?;
            let Some(read @ [_, ..]) = part.get(..read) else { break };
            hash.update(read);
            bytes += read.len() as u64;
            copy.write_all(read).map_err(Error::file(copy.path()))?;
        }
        copy.as_file().sync_all().map_err(Error::file(&to))?;
        copy.persist(&to).map_err(|error| Error::file(&to)(error.error))?;
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file(folder))?;
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Ok(Artifact::new(key, bytes, sha256))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_in_the_folder() {
        let storage = Storage::new("/storage");
        assert_eq!(storage.path("runs/1/artifact").unwrap(), Path::new("/storage/runs/1/artifact"));
        for key in ["", "/etc/passwd", "../passwd", "runs/../../passwd"] {
            assert!(matches!(storage.path(key), Err(Error::BadKey { .. })), "{key}");
        }
    }

    #[test]
    fn what_is_put_is_told_by_its_size_and_hash() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        std::fs::write(&from, "abc").unwrap();
        let storage = Storage::new(folder.path().join("storage"));
        let told = storage.put("a/b", &from).unwrap();
        assert_eq!((told.key.as_str(), told.bytes), ("a/b", 3));
        assert_eq!(told.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(std::fs::read(storage.path("a/b").unwrap()).unwrap(), b"abc");
    }
}
