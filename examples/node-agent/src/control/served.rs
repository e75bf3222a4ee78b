//! The control plane's side: agents that connect are answered, each line on behalf of whose key is in it.

use std::sync::Arc;

use apportion::ControlPlane;
use apportion::entity::SecretText;
use apportion::identity::Origin;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed, LinesCodec};

use super::wire::{Asked, MAX_LINE, Told};
use super::{Direct, Refused};

/// Answers agents until the listener fails.
pub async fn serve(cloud: Arc<ControlPlane>, listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let cloud = Arc::clone(&cloud);
        tokio::spawn(async move {
            // Who breaks off connects again: there is nobody to tell.
            let _ = answer(&cloud, stream).await;
        });
    }
}

async fn answer(
    cloud: &ControlPlane,
    stream: TcpStream,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let origin = Origin::ip(stream.peer_addr()?.ip());
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE));
    while let Some(line) = lines.next().await {
        let told = match serde_json::from_str::<Asked>(&line?) {
            Ok(asked) => match cloud.authenticate(&SecretText::new(asked.key), origin.clone()).await {
                Ok(caller) => asked.ask.of(&Direct::new(cloud.acting(caller))).await,
                Err(error) => Told::from(Refused::from(error)),
            },
            Err(error) => Told::Denied { code: "invalid".to_owned(), message: error.to_string() },
        };
        lines.send(serde_json::to_string(&told)?).await?;
    }
    Ok(())
}
