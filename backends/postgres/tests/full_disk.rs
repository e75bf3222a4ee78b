//! A disk of the server's that is full: what was acknowledged stays, what failed did not happen, nothing is half made, and
//! it works again when there is room.
//!
//! The parent starts this program again where a small file system is mounted that nobody else sees; the tables are on it,
//! and the server's own log is not. That takes root, or user namespaces for everybody.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use apportion::store::{OpenProblem, Store as _, StoreError, StoreExt as _};
use apportion_postgres::{PostgresOptions, PostgresStore};
use common::{
    TABLES, Taken, Told, UNITS, check, clock, database, ids, name_of, open, rows, server, take, with_account,
};

const FOLDER: &str = "APPORTION_FULL_DISK_FOLDER";
const MOUNT: &str = "mount -t tmpfs -o size=8m,mode=0777 tmpfs \"$APPORTION_FULL_DISK_FOLDER\"";

fn main() {
    if !cfg!(target_os = "linux") {
        return;
    }
    if let Some(folder) = std::env::var_os(FOLDER) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(on(&Disk::new(Path::new(&folder))));
    }
    let folder = std::env::temp_dir().join(format!("apportion-full-disk-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let possible = mounted(&folder, Path::new("true")).output().unwrap();
    let status = mounted(&folder, &std::env::current_exe().unwrap()).status();
    std::fs::remove_dir(&folder).unwrap();
    let told = String::from_utf8_lossy(&possible.stderr);
    assert!(
        possible.status.success(),
        "no file system can be mounted here: run this as root, or let everybody make user namespaces (on Ubuntu \
         sysctl kernel.apparmor_restrict_unprivileged_userns=0): {told}"
    );
    assert!(status.unwrap().success());
}

/// A program with a small file system of its own.
fn mounted(folder: &Path, program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = Command::new("unshare");
    if is_root {
        command.args(["--mount", "sh", "-c", &format!("{MOUNT} && exec \"$0\"")]);
    } else {
        // Who mounts has to be root in a namespace of its own, and the server must not be.
        let again = "exec unshare --user --map-user=1000 --map-group=1000 \"$0\"";
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &format!("{MOUNT} && {again}")]);
    }
    command.arg(program).env(FOLDER, folder);
    command
}

/// A small disk, and a file that fills it.
struct Disk {
    ballast: PathBuf,
    space: PathBuf,
}

impl Disk {
    fn new(folder: &Path) -> Self {
        Self { ballast: folder.join("ballast"), space: folder.join("space") }
    }

    /// Leaves so much room.
    fn fill(&self, kib: u64) {
        let mut file = File::create(&self.ballast).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let all = file.metadata().unwrap().len();
        file.set_len(all - kib * 1024).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(&self.ballast).unwrap();
    }
}

async fn on(disk: &Disk) {
    let url = database();
    let space = disk.space.display();
    // By the server's own user, to whom it has to belong.
    server().psql(&format!("COPY (SELECT 1) TO PROGRAM 'mkdir {space}'")).unwrap();
    server().psql(&format!("CREATE TABLESPACE small LOCATION '{space}'")).unwrap();
    server().psql(&format!("ALTER DATABASE {} SET default_tablespace = 'small'", name_of(&url))).unwrap();
    for kib in [0, 16, 48, 96] {
        a_new_store_is_not_half_made(disk, &url, kib).await;
    }
    what_was_acknowledged_stays(disk, &url).await;
}

async fn a_new_store_is_not_half_made(disk: &Disk, url: &str, kib: u64) {
    let options = PostgresOptions::default().schema(format!("room_{kib}"));
    disk.fill(kib);
    let opening = PostgresStore::connect_with(url, &TABLES, clock(), options.clone()).await;
    match opening.map(drop).unwrap_err() {
        StoreError::CannotOpen { reason: OpenProblem::Other(reason), .. } => {
            assert!(reason.contains("53100"), "{kib} KiB: {reason}");
        }
        error => panic!("{kib} KiB: {error:?}"),
    }
    disk.free();
    let store = open(url, options).await;
    with_account(&*store).await;
    assert_eq!(check(&*store, &[]).await, 0);
}

async fn what_was_acknowledged_stays(disk: &Disk, url: &str) {
    let store = open(url, PostgresOptions::default()).await;
    let owner = with_account(&*store).await;
    disk.fill(64);
    let mut taken = Vec::new();
    let count = |taken: &[Taken], told| taken.iter().filter(|one: &&Taken| one.told == told).count();
    while count(&taken, Told::No) < 10 {
        let (batch, unit) = (ids().next_id(), ids().next_id());
        let told = match store.commit(take(batch, unit, owner)).await {
            Ok(_) => Told::Yes,
            Err(StoreError::Unavailable { reason, .. }) => {
                assert!(reason.contains("53100"), "{reason}");
                Told::No
            }
            Err(error) => panic!("{error:?}"),
        };
        taken.push(Taken { batch, unit, told });
    }
    let acknowledged = count(&taken, Told::Yes);
    assert!(acknowledged > 10, "{acknowledged} were acknowledged");
    assert_eq!(rows(&*store, &UNITS).await.len(), acknowledged, "it can still be read");
    disk.free();
    let (batch, unit) = (ids().next_id(), ids().next_id());
    store.commit(take(batch, unit, owner)).await.unwrap();
    taken.push(Taken { batch, unit, told: Told::Yes });
    assert_eq!(check(&*store, &taken).await, acknowledged + 1);
    store.close().await.unwrap();
    println!("{acknowledged} were acknowledged before the disk was full");
}
