//! One connection of a client, and the one to the server behind it.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
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
/// Makes the server flush its answers.
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

/// What is to happen to the answer of a commit that was handed to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Answer {
    #[default]
    Deliver,
    Delay(Duration),
    Withhold,
}

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
    let answer = Mutex::new(Answer::Deliver);
    tokio::select! {
        end = up(&mut requests, server, connection, &answer) => end,
        end = down(answers, &mut client, connection, &answer) => end,
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
    answer: &Mutex<Answer>,
) -> io::Result<End> {
    let mut prepared = Prepared::default();
    while let Some(message) = requests.typed().await? {
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
        // Said before the server can answer.
        match at_commit {
            Some(What::Cut | What::Reset) => say(answer, Answer::Withhold),
            Some(What::Stall) => connection.stall(),
            Some(What::Delay(pause)) => say(answer, Answer::Delay(pause)),
            None => {}
        }
        server.write_all(&message.bytes).await?;
        if let Some(what @ (What::Cut | What::Reset)) = at_commit {
            if message.kind == b'E' {
                server.write_all(&SYNC).await?;
            }
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
    answer: &Mutex<Answer>,
) -> io::Result<End> {
    while let Some(message) = answers.typed().await? {
        let held = *answer.lock().unwrap_or_else(PoisonError::into_inner);
        match held {
            Answer::Withhold => return pending().await,
            Answer::Delay(pause) if ends_transaction(&message) => {
                say(answer, Answer::Deliver);
                tokio::time::sleep(pause).await;
            }
            _ => {}
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

fn say(answer: &Mutex<Answer>, what: Answer) {
    *answer.lock().unwrap_or_else(PoisonError::into_inner) = what;
}

/// Whether it says that a statement of this kind has been carried out.
fn is_complete(message: &Message, tag: &str) -> bool {
    message.kind == b'C' && message.texts().next().is_some_and(|text| text == tag)
}

fn ends_transaction(message: &Message) -> bool {
    message.kind == b'E' || is_complete(message, "COMMIT") || is_complete(message, "ROLLBACK")
}
