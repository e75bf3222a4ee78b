//! Where the server's programs are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// Folders of distributions, by version: the part with a star is the one that differs.
const DISTRIBUTIONS: [(&str, &str, &str); 3] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
];

/// The folder that holds `initdb` and `postgres`.
pub(crate) fn find() -> Result<PathBuf, Error> {
    in_path().or_else(from_pg_config).or_else(from_distributions).ok_or(Error::NotInstalled)
}

/// `psql` of the server's own version, or any in the search path.
pub(crate) fn psql(server: &Path) -> Result<PathBuf, Error> {
    let own = server.join("psql");
    if own.is_file() {
        return Ok(own);
    }
    search_path()
        .into_iter()
        .map(|folder| folder.join("psql"))
        .find(|file| file.is_file())
        .ok_or(Error::NoClient)
}

fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// Links are followed, because a server finds its own files beside its real program, and because programs of two
/// versions, linked into one folder, would not understand each other.
fn in_path() -> Option<PathBuf> {
    search_path().into_iter().find_map(|folder| {
        let postgres = folder.join("postgres").canonicalize().ok()?;
        let initdb = folder.join("initdb").canonicalize().ok()?;
        let home = postgres.parent()?;
        (initdb.parent()? == home && complete(home)).then(|| home.to_path_buf())
    })
}

fn from_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    complete(&folder).then_some(folder)
}

fn from_distributions() -> Option<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = Vec::new();
    for (parent, prefix, end) in DISTRIBUTIONS {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let folder = entry.path().join(end);
            if let Some(version) = version_after(&name, prefix)
                && complete(&folder)
            {
                found.push((version, folder));
            }
        }
    }
    let newest = found.into_iter().max().map(|(_, folder)| folder);
    newest.or_else(|| Some(PathBuf::from("/usr/local/pgsql/bin")).filter(|folder| complete(folder)))
}

/// The numbers in a folder's name, so that 16 comes after 9.6.
fn version_after(name: &OsStr, prefix: &str) -> Option<Vec<u32>> {
    let rest = name.to_str()?.strip_prefix(prefix)?;
    Some(rest.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect())
}

fn complete(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_version_comes_after_a_lower_one_by_number() {
        let version = |name: &str| version_after(OsStr::new(name), "pgsql-").unwrap();
        assert!(version("pgsql-16") > version("pgsql-9.6"));
        assert!(version("pgsql-9.6") > version("pgsql-9.5"));
        assert_eq!(version_after(OsStr::new("share"), "pgsql-"), None);
    }

    #[test]
    fn a_folder_with_only_one_of_the_programs_is_not_a_servers() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("postgres"), "").unwrap();
        assert!(!complete(folder.path()));
        std::fs::write(folder.path().join("initdb"), "").unwrap();
        assert!(complete(folder.path()));
    }

    #[test]
    fn a_missing_server_is_told_with_the_lines_that_install_it() {
        let text = Error::NotInstalled.to_string();
        for line in ["apt-get install postgresql", "dnf install postgresql-server", "brew install postgresql"]
        {
            assert!(text.contains(line), "{text}");
        }
    }
}
