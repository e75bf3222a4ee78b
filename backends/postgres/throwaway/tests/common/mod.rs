//! A client that speaks just enough of the protocol to be cut off at any moment, and to see how.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
}

impl Wire {
    /// Connects and waits until the server is ready.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut wire = Self::start(address).await?;
        wire.until_ready().await?;
        Ok(wire)
    }

    /// Connects and asks for a session, without waiting for an answer.
    pub(crate) async fn start(address: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        let body = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
        stream.write_all(&framed(None, body)).await?;
        Ok(Self { stream })
    }

    /// Runs a text as one simple query, and gives the tags of what was carried out.
    pub(crate) async fn query(&mut self, text: &str) -> io::Result<Vec<String>> {
        self.send(text).await?;
        self.until_ready().await
    }

    pub(crate) async fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(&framed(Some(b'Q'), format!("{text}\0").as_bytes())).await
    }

    /// Prepares a text under a name.
    pub(crate) async fn prepare(&mut self, name: &str, text: &str) -> io::Result<Vec<String>> {
        let mut bytes = framed(Some(b'P'), format!("{name}\0{text}\0\0\0").as_bytes());
        bytes.extend(framed(Some(b'S'), b""));
        self.stream.write_all(&bytes).await?;
        self.until_ready().await
    }

    /// Runs what was prepared under a name.
    pub(crate) async fn run(&mut self, name: &str) -> io::Result<Vec<String>> {
        let mut bytes = framed(Some(b'B'), format!("\0{name}\0\0\0\0\0\0\0").as_bytes());
        bytes.extend(framed(Some(b'E'), b"\0\0\0\0\0"));
        bytes.extend(framed(Some(b'S'), b""));
        self.stream.write_all(&bytes).await?;
        self.until_ready().await
    }

    pub(crate) async fn until_ready(&mut self) -> io::Result<Vec<String>> {
        let mut tags = Vec::new();
        loop {
            let kind = self.stream.read_u8().await?;
            let length = usize::try_from(self.stream.read_u32().await?).unwrap() - 4;
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await?;
            match kind {
                b'Z' => return Ok(tags),
                b'C' => tags.push(String::from_utf8_lossy(&body).trim_end_matches('\0').to_owned()),
                b'E' => tags.push("error".to_owned()),
                _ => {}
            }
        }
    }
}

pub(crate) fn framed(kind: Option<u8>, body: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = kind.into_iter().collect();
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}
