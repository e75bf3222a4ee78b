//! A disk that is full, and one that can only be read: what is said, and what is there afterwards.
//!
//! The program starts itself again where it may mount filesystems that nobody else sees. It fails where it may not.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use apportion::store::{OpenProblem, Store as _, StoreError, StoreExt as _};
use apportion_sqlite::{IntegrityCheck, Migrate, SqliteOptions, SqliteStore};
use common::{TABLES, Taken, Told, UNITS, check, clock, filled, ids, open, other_program, rows, take};
use sqlx_core::connection::Connection as _;
use sqlx_core::executor::Executor as _;
use sqlx_core::row::Row as _;

const INSIDE: &str = "APPORTION_SMALL_DISK";
const ROOMY: &str = "size=16m";

fn main() {
    if !cfg!(target_os = "linux") {
        println!("small filesystems are mounted on Linux only: nothing was tested");
        return;
    }
    if std::env::var_os(INSIDE).is_none() {
        return start_again();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        a_new_file_is_not_half_made().await;
        the_file_of_an_application_stays_as_it_is().await;
        a_store_on_a_full_disk_says_why_it_does_not_open().await;
        a_commit_on_a_full_disk_did_not_happen().await;
        a_file_that_can_only_be_read_is_forbidden().await;
    });
}

/// Starts this program where what it mounts goes with it: as the superuser, or as one of a namespace of its own.
fn start_again() {
    let mount = "mount -t tmpfs none /mnt";
    let ways = [["unshare", "-m"], ["unshare", "-rm"]];
    let may_mount = |way: &&[&str; 2]| {
        let tried = Command::new(way[0]).arg(way[1]).args(["sh", "-c", mount]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let Some(way) = ways.iter().find(may_mount) else {
        panic!(
            "this test mounts small filesystems. It needs the `unshare` of util-linux, and either the rights of the \
             superuser (CAP_SYS_ADMIN) or user namespaces for everybody: \
             sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        );
    };
    let myself = std::env::current_exe().unwrap();
    let ended = Command::new(way[0]).arg(way[1]).arg(myself).env(INSIDE, "yes").status().unwrap();
    assert!(ended.success(), "{ended}");
}

/// A small filesystem of its own.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(options: &str) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        disk.run("mount", &["-t", "tmpfs", "-o", options, "none"]);
        disk
    }

    fn remount(&self, options: &str) {
        self.run("mount", &["-o", &format!("remount,{options}")]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).arg(self.0.path()).output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("store.sqlite")
    }

    /// Takes all the room there is, but for so many bytes.
    fn fill_but(&self, left: u64) {
        let ballast = self.0.path().join("ballast");
        // It ends with an error, as there is no room for more.
        drop(fs::write(&ballast, vec![0; 16 << 20]));
        let file = fs::File::options().write(true).open(ballast).unwrap();
        file.set_len(file.metadata().unwrap().len() - left).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.0.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
    }
}

async fn opening(path: &Path, options: SqliteOptions) -> Result<(), OpenProblem> {
    match SqliteStore::open_with(path, &TABLES, clock(), options).await {
        Ok(store) => {
            store.close().await.unwrap();
            Ok(())
        }
        Err(StoreError::CannotOpen { reason, .. }) => Err(reason),
        Err(error) => panic!("{error}"),
    }
}

fn full() -> OpenProblem {
    OpenProblem::Other("the disk is full".into())
}

async fn tables(path: &Path) -> i64 {
    let mut connection = other_program(path).await;
    let count = connection.fetch_one("SELECT count(*) FROM sqlite_schema").await.unwrap().get(0);
    connection.close().await.unwrap();
    count
}

async fn a_new_file_is_not_half_made() {
    let (_folder, whole) = common::file();
    filled(&whole, 0).await;
    let whole = tables(&whole).await;
    let (mut unmade, mut made) = (0, 0);
    for kib in (4..).step_by(12) {
        let disk = Disk::new(&format!("size={kib}k"));
        let path = disk.file();
        let opened = opening(&path, SqliteOptions::default()).await;
        if opened.is_ok() {
            break;
        }
        assert_eq!(opened, Err(full()), "{kib} KiB");
        disk.remount(ROOMY);
        let found = tables(&path).await;
        assert!(found == 0 || found == whole, "{found} of {whole} with {kib} KiB");
        if found == 0 {
            unmade += 1;
        } else {
            made += 1;
        }
        filled(&path, 3).await;
    }
    println!("on a full disk no table was made {unmade} times, and all of them {made} times");
    assert!(unmade > 3 && made > 0, "{unmade} {made}");
}

async fn the_file_of_an_application_stays_as_it_is() {
    let disk = Disk::new(ROOMY);
    let path = disk.file();
    let mut other = other_program(&path).await;
    other.execute("CREATE TABLE songs (name TEXT); INSERT INTO songs VALUES ('a')").await.unwrap();
    other.close().await.unwrap();
    let before = fs::read(&path).unwrap();
    // Too little for the tables, but enough for a log.
    for left in [0, 16 << 10, 40 << 10] {
        disk.fill_but(left);
        assert_eq!(opening(&path, SqliteOptions::default()).await, Err(full()), "{left} bytes left");
        // Above all it was not switched to a log, which its header would tell.
        assert!(fs::read(&path).unwrap() == before, "{left} bytes left");
        disk.empty();
    }
    filled(&path, 3).await;
}

async fn a_store_on_a_full_disk_says_why_it_does_not_open() {
    let disk = Disk::new(ROOMY);
    let path = disk.file();
    filled(&path, 3).await;
    let before = fs::read(&path).unwrap();
    // There is no room for the index of its log.
    disk.fill_but(0);
    for migrate in [Migrate::Apply, Migrate::Verify] {
        let options = SqliteOptions::default().migrate(migrate);
        assert_eq!(opening(&path, options).await, Err(full()), "{migrate:?}");
    }
    assert!(fs::read(&path).unwrap() == before);
    disk.empty();
    assert_eq!(rows(&*open(&path).await, &UNITS).await.len(), 3);
}

async fn a_commit_on_a_full_disk_did_not_happen() {
    let disk = Disk::new(ROOMY);
    let path = disk.file();
    let owner = filled(&path, 10).await;
    let (store, ids) = (open(&path).await, ids());
    let mut taken = Vec::new();
    let mut failed = 0;
    disk.fill_but(512 << 10);
    while failed < 10 {
        let (batch, unit) = (ids.next_id(), ids.next_id());
        let told = match store.commit(take(batch, unit, owner)).await {
            Ok(_) => Told::Yes,
            Err(error @ StoreError::Unavailable { .. }) => {
                assert_eq!(error.to_string(), "the store is unavailable: the disk is full");
                failed += 1;
                Told::No
            }
            Err(error) => panic!("{error:?}"),
        };
        taken.push(Taken { batch, unit, told });
    }
    assert!(taken.len() > 30, "{}", taken.len());
    assert_eq!(rows(&*store, &UNITS).await.len(), taken.len(), "ten were there and ten failed");
    disk.empty();
    // The same store goes on.
    let (batch, unit) = (ids.next_id(), ids.next_id());
    store.commit(take(batch, unit, owner)).await.unwrap();
    taken.push(Taken { batch, unit, told: Told::Yes });
    check(&*store, &taken).await;
    store.close().await.unwrap();
    check(&*open(&path).await, &taken).await;
}

async fn a_file_that_can_only_be_read_is_forbidden() {
    for log in [false, true] {
        let disk = Disk::new(ROOMY);
        let (path, theirs) = (disk.file(), disk.0.path().join("theirs.sqlite"));
        filled(&path, 3).await;
        let mode = if log { "WAL" } else { "DELETE" };
        for (path, then) in [(&path, ""), (&theirs, "CREATE TABLE songs (name TEXT)")] {
            let mut other = other_program(path).await;
            let sql = format!("PRAGMA journal_mode = {mode}; {then}");
            other.execute(sqlx_core::sql_str::AssertSqlSafe(sql)).await.unwrap();
            other.close().await.unwrap();
        }
        disk.remount("ro");
        for check in [IntegrityCheck::Nothing, IntegrityCheck::Quick] {
            let options = SqliteOptions::default().check_integrity_on_open(check);
            for path in [&path, &theirs] {
                let told = opening(path, options.clone()).await;
                assert_eq!(told, Err(OpenProblem::Forbidden), "{mode}, {}", path.display());
            }
            let told = opening(&path, options.migrate(Migrate::Verify)).await;
            assert_eq!(told, Err(OpenProblem::Forbidden), "{mode}, to be verified");
        }
        let none = opening(&disk.0.path().join("none.sqlite"), SqliteOptions::default()).await;
        assert_eq!(none, Err(OpenProblem::Forbidden));
        disk.remount("rw");
        assert_eq!(rows(&*open(&path).await, &UNITS).await.len(), 3);
    }
}
