//! Messages out of a stream of bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A message's type and its length, which counts itself.
const HEAD: usize = 5;
/// What comes before the first typed message has no type.
const UNTYPED_HEAD: usize = 4;

/// One message as it is on the wire. `kind` is zero for the untyped ones of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) bytes: Vec<u8>,
}

impl Message {
    pub(crate) fn body(&self) -> &[u8] {
        let head = if self.kind == 0 { UNTYPED_HEAD } else { HEAD };
        self.bytes.get(head..).unwrap_or_default()
    }

    /// The texts, each ended by a zero byte, with which most messages begin.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> {
        self.body().split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned())
    }
}

/// Reads messages; what was read of an unfinished one is kept when a read is given up.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    inner: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, buffer: Vec::new() }
    }

    pub(crate) fn inner(&self) -> &R {
        &self.inner
    }

    /// A message with its type, or none at the end of the stream.
    pub(crate) async fn typed(&mut self) -> io::Result<Option<Message>> {
        self.next(1).await
    }

    /// A message of the start, which has no type.
    pub(crate) async fn untyped(&mut self) -> io::Result<Option<Message>> {
        self.next(0).await
    }

    async fn next(&mut self, type_bytes: usize) -> io::Result<Option<Message>> {
        loop {
            if let Some(total) = total_length(&self.buffer, type_bytes)?
                && self.buffer.len() >= total
            {
                let rest = self.buffer.split_off(total);
                let bytes = std::mem::replace(&mut self.buffer, rest);
                let kind = if type_bytes == 0 { 0 } else { bytes.first().copied().unwrap_or_default() };
                return Ok(Some(Message { kind, bytes }));
            }
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

fn total_length(buffer: &[u8], type_bytes: usize) -> io::Result<Option<usize>> {
    let Some(Ok(bytes)) = buffer.get(type_bytes..type_bytes + UNTYPED_HEAD).map(<[u8; 4]>::try_from) else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
    if length < UNTYPED_HEAD {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message shorter than its own length"));
    }
    Ok(length.checked_add(type_bytes))
}
