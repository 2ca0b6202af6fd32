//! One session of the echo server.

use serde_json::{Value, json};

use crate::{CLOSE, Ended, RESET, RecvStream, STOP, SendStream, Session, saw};

/// Serve a session by its path, until it ends
pub async fn handle<S: Session>(session: S, path: String) {
    tokio::spawn({
        let (session, path) = (session.clone(), path);
        async move {
            while let Ok((send, recv)) = session.accept_bi().await {
                let (session, path) = (session.clone(), path.clone());
                tokio::spawn(async move {
                    match on_bidi(session, &path, send, recv).await {
                        Err(Ended::Reset(code)) => saw("reset", json!(code)),
                        Err(Ended::Stop(code)) => saw("stop", json!(code)),
                        Ok(()) | Err(Ended::Session(_)) => {} // the session's end is told below, once
                    }
                });
            }
        }
    });
    tokio::spawn({
        let session = session.clone();
        async move {
            while let Ok(recv) = session.accept_uni().await {
                let session = session.clone();
                tokio::spawn(async move { on_uni(session, recv).await });
            }
        }
    });
    tokio::spawn({
        let session = session.clone();
        async move {
            while let Ok(data) = session.receive_datagram().await {
                if session.send_datagram(&data).is_err() {
                    return;
                }
            }
        }
    });
    let closed: Value = session.closed().await;
    saw("close", closed);
}

async fn on_bidi<S: Session>(session: S, path: &str, mut send: S::Send, mut recv: S::Recv) -> Result<(), Ended> {
    let mut buffer = vec![0; 65536];
    loop {
        match recv.read(&mut buffer).await? {
            0 => return send.finish().await,
            _ if path == "/reset" => {
                send.reset(RESET);
                recv.stop(STOP);
                return Ok(());
            }
            _ if path == "/close" => {
                session.close(CLOSE.0, CLOSE.1).await;
                return Ok(());
            }
            n => send.write(&buffer[..n]).await?,
        }
    }
}

async fn on_uni<S: Session>(session: S, mut recv: S::Recv) -> Result<(), Ended> {
    let mut answer = session.open_uni().await?;
    let mut buffer = vec![0; 65536];
    loop {
        match recv.read(&mut buffer).await? {
            0 => return answer.finish().await,
            n => answer.write(&buffer[..n]).await?,
        }
    }
}
