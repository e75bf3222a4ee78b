//! One server, from its first start to the removal of its folder.

use std::fmt;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::supervisor::Supervisor;
use crate::{Error, Options, binaries, processes};

/// How often and how many times a state is asked for: together a minute.
const PAUSE: Duration = Duration::from_millis(10);
const ROUNDS: u32 = 6_000;
/// Another process can take the port between the moment it was found free and the moment the server asks for it.
const PORTS_TRIED: u32 = 8;
const LOG_LINES: usize = 30;

/// A private PostgreSQL server on a port of the loopback interface, gone with its folder when it is dropped.
///
/// It is also gone when this process ends in any other way: when a test panics, when the process exits with the
/// server in a static, when it is killed. Starting one takes about a second; [`ThrowawayPostgres::shared`] starts
/// one for the whole process, on which each test makes a database of its own.
///
/// The calls block. They need no runtime, and in an async test they hold up only that test.
pub struct ThrowawayPostgres {
    supervisor: Mutex<Supervisor>,
    pub(crate) binaries: PathBuf,
    folder: PathBuf,
    port: u16,
    pub(crate) password: Option<String>,
    pub(crate) names: AtomicU32,
}

impl ThrowawayPostgres {
    /// Starts a server with the default [`Options`].
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&Options::new())
    }

    /// Starts a server. When this returns, it takes connections.
    pub fn start_with(options: &Options) -> Result<Self, Error> {
        options.check()?;
        let binaries = binaries::find()?;
        let (mut supervisor, folder) = Supervisor::start(&binaries)?;
        let password = options.password.clone().unwrap_or_default();
        if !supervisor.ask(&format!("init\n{password}"))? {
            return Err(Error::Start { program: "initdb", log: log_end(&folder, 0) });
        }
        configure(&folder, options)?;
        let mut tried = 0;
        let port = loop {
            let port = free_port()?;
            tried += 1;
            match launch(&mut supervisor, &folder, port) {
                Ok(()) => break port,
                Err(Error::Start { log, .. }) if tried < PORTS_TRIED && log.contains("could not bind") => {}
                Err(error) => return Err(error),
            }
        };
        let password = options.password.clone();
        Ok(Self {
            supervisor: Mutex::new(supervisor),
            binaries,
            folder,
            port,
            password,
            names: AtomicU32::new(0),
        })
    }

    /// The server of this process: started by the first call, stopped when the process ends.
    pub fn shared() -> Result<&'static Self, &'static Error> {
        static SHARED: OnceLock<Result<ThrowawayPostgres, Error>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// The URL of the database `postgres`, as its superuser.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The folder with the data (`data`), the server's log (`log`) and its socket (`socket`).
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process id of the server's first process, or none while it is down.
    pub fn pid(&self) -> Option<u32> {
        if self.folder.join("exit").exists() { None } else { lock_file_line(&self.folder, 0)?.parse().ok() }
    }

    /// The last lines of the server's log.
    pub fn log(&self) -> String {
        log_end(&self.folder, 0)
    }

    /// Stops the server in order (no new connections, open transactions rolled back, a checkpoint) and starts it on
    /// the same port.
    pub fn restart(&self) -> Result<(), Error> {
        let mut supervisor = self.supervisor();
        supervisor.ask("halt INT")?;
        launch(&mut supervisor, &self.folder, self.port)
    }

    /// Kills the server's processes, all at one moment: none of them writes anything more.
    ///
    /// What was acknowledged must be there after [`start_again`](Self::start_again).
    pub fn kill_hard(&self) -> Result<(), Error> {
        let mut supervisor = self.supervisor();
        let Some(pid) = self.pid() else { return Ok(()) };
        // Stopped first, so that it starts no process after they were listed and notices no end of one.
        supervisor.ask(&format!("signal STOP {pid}"))?;
        let children = processes::children_of(pid)?;
        let all = children.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        supervisor.ask(&format!("signal KILL {pid} {all}"))?;
        supervisor.ask("halt KILL")?;
        for _ in 0..ROUNDS {
            if processes::all_ended(&children)? {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Err(Error::Start { program: "the end of the server's processes", log: log_end(&self.folder, 0) })
    }

    /// Starts the server again, on the same folder and port, after [`kill_hard`](Self::kill_hard). One that runs
    /// stays as it is.
    pub fn start_again(&self) -> Result<(), Error> {
        let mut supervisor = self.supervisor();
        if self.pid().is_some() {
            return Ok(());
        }
        launch(&mut supervisor, &self.folder, self.port)
    }

    /// Stops the server at once and removes its folder, as dropping it does, and says whether that went well.
    pub fn stop(self) -> Result<(), Error> {
        self.supervisor().end()
    }

    /// A name that this server has not given before, for a schema or a database.
    pub fn fresh_schema_name(&self) -> String {
        format!("fresh_{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    fn supervisor(&self) -> MutexGuard<'_, Supervisor> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ThrowawayPostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ThrowawayPostgres");
        shown.field("port", &self.port).field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Starts the program and waits until it takes connections.
fn launch(supervisor: &mut Supervisor, folder: &Path, port: u16) -> Result<(), Error> {
    let log_before = std::fs::metadata(folder.join("log")).map_or(0, |log| log.len());
    supervisor.ask(&format!("start {port}"))?;
    for _ in 0..ROUNDS {
        if folder.join("exit").exists() {
            break;
        }
        // The eighth line says what the server is doing; it is the one that pg_ctl waits for.
        if lock_file_line(folder, 7).is_some_and(|status| status == "ready") {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    supervisor.ask("halt QUIT")?;
    Err(Error::Start { program: "postgres", log: log_end(folder, log_before) })
}

fn configure(folder: &Path, options: &Options) -> Result<(), Error> {
    let own = Options::new_empty()
        .setting("listen_addresses", "127.0.0.1")
        .setting("unix_socket_directories", folder.join("socket").display().to_string())
        .setting("lc_messages", "C");
    let file = std::fs::OpenOptions::new().append(true).open(folder.join("data/postgresql.conf"));
    file.and_then(|mut file| file.write_all((options.lines() + &own.lines()).as_bytes()))
        .map_err(Error::io("write the server's configuration"))
}

fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::io("find a free port on 127.0.0.1"))
}

fn lock_file_line(folder: &Path, line: usize) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
    text.lines().nth(line).map(|line| line.trim().to_owned())
}

fn log_end(folder: &Path, from: u64) -> String {
    let bytes = std::fs::read(folder.join("log")).unwrap_or_default();
    let from = usize::try_from(from).unwrap_or(0);
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
}
