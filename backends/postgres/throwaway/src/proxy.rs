//! A proxy that loses a connection at a chosen moment.
//!
//! A commit can be cut off before the server heard of it, while it works on it, or when it has answered and the
//! answer is on its way: to the client all three look alike, and only in the first the rows are not there. The proxy
//! reads the protocol's messages well enough to know which moment it is.
//!
//! ```
//! use apportion_throwaway_postgres::ThrowawayPostgres;
//! use apportion_throwaway_postgres::proxy::{Fault, FaultProxy, What, When};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = ThrowawayPostgres::shared()?;
//! let proxy = FaultProxy::start(server.address()).await?;
//! proxy.arm(Fault::once(When::AfterCommit, What::Cut));
//!
//! let through = proxy.address().port();
//! let cut = tokio::task::spawn_blocking(move || {
//!     server.psql_through(through, "postgres", "BEGIN; CREATE TABLE there (id INT); COMMIT")
//! });
//! assert!(cut.await?.is_err(), "the client was not told that it happened");
//! assert_eq!(server.psql("SELECT count(*) FROM there")?, "0", "and it did");
//! # Ok(())
//! # }
//! ```

mod connection;
mod fault;
mod frames;
mod shared;
mod statements;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use fault::{Fault, What, When};
use shared::Shared;

/// A port of the loopback interface behind which a server is, until a fault says otherwise.
///
/// Dropped, it closes its port and all its connections.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port, and connects to the server anew for each connection that comes.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, upstream, shared.clone()));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same URL with the proxy's host and port.
    pub fn url_for(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let user = authority.rsplit_once('@').map(|(user, _)| format!("{user}@")).unwrap_or_default();
        format!("{scheme}://{user}{}{path}", self.address)
    }

    /// Adds a fault. Those that were armed before come first, and a moment meets one fault at most.
    pub fn arm(&self, fault: Fault) {
        self.shared.arm(fault);
    }

    /// Takes back the faults that have not fired.
    pub fn disarm(&self) {
        self.shared.disarm();
    }

    /// Freezes all connections, and those that come: they are accepted, and no byte goes through.
    pub fn stall_all(&self) {
        self.shared.stall_all();
    }

    /// Ends every stall. What was held back goes on its way then, though its sender may be gone: as a network does.
    pub fn heal(&self) {
        self.shared.heal();
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections()
    }

    /// How many are open now, the frozen ones included.
    pub fn open_connections(&self) -> usize {
        self.shared.open_connections()
    }

    /// How many times a fault has fired.
    pub fn fired(&self) -> u64 {
        self.shared.fired()
    }

    /// Waits until faults have fired so many times, all in all.
    pub async fn wait_until_fired(&self, times: u64) {
        self.shared.wait_until_fired(times).await;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("FaultProxy");
        shown.field("address", &self.address).field("fired", &self.fired()).finish_non_exhaustive()
    }
}

/// The connections' tasks are this one's, so that they end with it.
async fn accept(listener: TcpListener, upstream: SocketAddr, shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    let connection = shared.connect();
                    tasks.spawn(connection::serve(client, upstream, connection));
                }
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}
