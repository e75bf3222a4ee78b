//! The control plane's side: workers that connect are answered, each line on behalf of whose key is in it.

use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::entity::SecretText;
use apportion::identity::Origin;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed, LinesCodec};

use super::Refused;
use super::wire::{Answer, Asked, MAX_LINE};

/// Answers workers, for ever.
pub async fn serve(cloud: Arc<ControlPlane>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Such as too many open files: that passes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
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
                Ok(caller) => asked.ask.of(&cloud.acting(caller)).await,
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(Refused::Denied { code: "invalid".to_owned(), message: error.to_string() }),
        };
        let answer = told.map_or_else(Answer::Refused, Answer::Told);
        lines.send(serde_json::to_string(&answer)?).await?;
    }
    Ok(())
}
