//! One connection of a client, and the one to the server behind it.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::fault::What;
use super::frames::{Frames, Message};
use super::shared::Connection;
use super::statements::{Prepared, commits};

/// Requests of a client for encryption, by TLS and by GSSAPI. Both are declined, for the messages must be read.
const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];
/// Makes the server send its answers; it comes after a run, from a client that is not cut off before.
const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Both {
        reset: bool,
    },
    /// The client's side at once, the server's when it has answered: a reset that overtook the commit would undo it.
    ClientFirst {
        reset: bool,
    },
}

/// How long the answer to a commit that was handed to the server is to be held.
type Held = Mutex<Option<Duration>>;

pub(crate) async fn serve(mut client: TcpStream, upstream: SocketAddr, connection: Connection) {
    let connected = tokio::select! {
        reset = connection.closed() => Err(reset),
        server = connect(&connection, upstream) => Ok(server),
    };
    let server = match connected {
        Ok(Ok(server)) => server,
        // The client sees its connection closed, as it would by a server that goes down.
        Ok(Err(_)) => return close(client, false),
        Err(reset) => return close(client, reset),
    };
    let (reading, mut writing) = server.into_split();
    let mut answers = Frames::new(reading);
    let end = tokio::select! {
        reset = connection.closed() => End::Both { reset },
        end = relay(&mut client, &mut answers, &mut writing, &connection) => {
            // A side that failed on its own is closed, like one that ended.
            end.unwrap_or(End::Both { reset: false })
        }
    };
    match end {
        End::Both { reset } => {
            close(client, reset);
            if reset {
                // Otherwise dropping it would end the stream in order.
                let _ = answers.inner().as_ref().set_zero_linger();
                writing.forget();
            }
        }
        End::ClientFirst { reset } => {
            close(client, reset);
            settle(&mut answers).await;
        }
    }
}

async fn connect(connection: &Connection, upstream: SocketAddr) -> io::Result<TcpStream> {
    connection.opened().await;
    let server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    Ok(server)
}

fn close(client: TcpStream, reset: bool) {
    if reset {
        // A socket that is gone already needs no reset.
        let _ = client.set_zero_linger();
    }
    drop(client);
}

async fn relay(
    client: &mut TcpStream,
    answers: &mut Frames<OwnedReadHalf>,
    server: &mut OwnedWriteHalf,
    connection: &Connection,
) -> io::Result<End> {
    client.set_nodelay(true)?;
    let (reading, mut client) = client.split();
    let mut requests = Frames::new(reading);
    let closed = Ok(End::Both { reset: false });
    let Some(start) = start(&mut requests, &mut client).await? else { return closed };
    connection.opened().await;
    server.write_all(&start.bytes).await?;
    let held = Held::default();
    tokio::select! {
        end = up(&mut requests, server, connection, &held) => end,
        end = down(answers, &mut client, connection, &held) => end,
    }
}

/// The first message that is for the server.
async fn start<R, W>(requests: &mut Frames<R>, client: &mut W) -> io::Result<Option<Message>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    while let Some(message) = requests.untyped().await? {
        let code = message.body().first_chunk().map(|code| u32::from_be_bytes(*code));
        if !code.is_some_and(|code| ENCRYPTION.contains(&code)) {
            return Ok(Some(message));
        }
        client.write_all(b"N").await?;
    }
    Ok(None)
}

/// From the client to the server. Its end is the client's, and then the server may still have something to say.
async fn up<R: AsyncRead + Unpin>(
    requests: &mut Frames<R>,
    server: &mut OwnedWriteHalf,
    connection: &Connection,
    held: &Held,
) -> io::Result<End> {
    let mut prepared = Prepared::default();
    while let Some(mut message) = requests.typed().await? {
        let text = prepared.run_by(&message).unwrap_or_default();
        let commits = commits(&text);
        match connection.before(&text, commits) {
            Some(What::Cut) => return Ok(End::Both { reset: false }),
            Some(What::Reset) => return Ok(End::Both { reset: true }),
            Some(What::Stall) => connection.stall(),
            Some(What::Delay(pause)) => tokio::time::sleep(pause).await,
            None => {}
        }
        connection.opened().await;
        let at_commit = if commits { connection.at_commit() } else { None };
        // Done before the server can answer.
        match at_commit {
            Some(What::Stall) => connection.stall(),
            Some(What::Delay(pause)) => *lock(held) = Some(pause),
            Some(What::Cut | What::Reset) if message.kind == b'E' => message.bytes.extend(SYNC),
            _ => {}
        }
        server.write_all(&message.bytes).await?;
        if let Some(what @ (What::Cut | What::Reset)) = at_commit {
            return Ok(End::ClientFirst { reset: what == What::Reset });
        }
    }
    connection.opened().await;
    server.shutdown().await?;
    pending().await
}

/// From the server to the client. When the server has ended, so has the connection.
async fn down<W: AsyncWrite + Unpin>(
    answers: &mut Frames<OwnedReadHalf>,
    client: &mut W,
    connection: &Connection,
    held: &Held,
) -> io::Result<End> {
    while let Some(message) = answers.typed().await? {
        let pause = if ends_transaction(&message) { lock(held).take() } else { None };
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        let after_commit = if is_complete(&message, "COMMIT") { connection.after_commit() } else { None };
        match after_commit {
            Some(What::Cut) => return Ok(End::Both { reset: false }),
            Some(What::Reset) => return Ok(End::Both { reset: true }),
            Some(What::Stall) => connection.stall(),
            Some(What::Delay(pause)) => tokio::time::sleep(pause).await,
            None => {}
        }
        connection.opened().await;
        client.write_all(&message.bytes).await?;
    }
    connection.opened().await;
    Ok(End::Both { reset: false })
}

/// Waits for the answer to a commit, which nobody is there to hear.
async fn settle(answers: &mut Frames<OwnedReadHalf>) {
    while let Ok(Some(message)) = answers.typed().await {
        if ends_transaction(&message) {
            return;
        }
    }
}

fn lock(held: &Held) -> MutexGuard<'_, Option<Duration>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it says that a statement of this kind has been carried out.
fn is_complete(message: &Message, tag: &str) -> bool {
    message.kind == b'C' && message.texts().next().is_some_and(|text| text == tag)
}

fn ends_transaction(message: &Message) -> bool {
    message.kind == b'E' || is_complete(message, "COMMIT") || is_complete(message, "ROLLBACK")
}
