//! What runs in the instances of the demonstration.

use std::env;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::Outcome;

/// Says on which GPUs it runs to whoever connects to its port, until it is stopped.
pub(crate) async fn run() -> Outcome<()> {
    let port: u16 = env::var("PORT")?.parse()?;
    let gpus = env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        let hello = format!("process {} with {gpus}", std::process::id());
        // Who hangs up does not want to know.
        let _ = stream.write_all(hello.as_bytes()).await;
    }
}
