//! The checks of a client: each has a session of its own, and a result for the tests to judge.

use std::time::Duration;

use anyhow::{Result, ensure};
use ring::digest::{Context, SHA256};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{CLOSE, Ended, Library, RESET, RecvStream, Refused, STOP, SUBPROTOCOL, SendStream, Session};

const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
pub(crate) enum Check {
    Bidi,
    Uni,
    Datagram,
    Reset,
    Stop,
    Close,
    ResetByServer,
    StopByServer,
    CloseByServer,
    Reject,
    Subprotocol,
    Sessions,
    Transfer,
    /// Several sessions at once on one connection: no Rust peer opens a second one
    Pool,
    /// The server asks for the session's end, which then goes on
    Drain,
}

impl Check {
    pub(crate) const ALL: [Self; 15] = [
        Self::Bidi,
        Self::Uni,
        Self::Datagram,
        Self::Reset,
        Self::Stop,
        Self::Close,
        Self::ResetByServer,
        Self::StopByServer,
        Self::CloseByServer,
        Self::Reject,
        Self::Subprotocol,
        Self::Sessions,
        Self::Transfer,
        Self::Pool,
        Self::Drain,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bidi => "bidi",
            Self::Uni => "uni",
            Self::Datagram => "datagram",
            Self::Reset => "reset",
            Self::Stop => "stop",
            Self::Close => "close",
            Self::ResetByServer => "reset_by_server",
            Self::StopByServer => "stop_by_server",
            Self::CloseByServer => "close_by_server",
            Self::Reject => "reject",
            Self::Subprotocol => "subprotocol",
            Self::Sessions => "sessions",
            Self::Transfer => "transfer",
            Self::Pool => "pool",
            Self::Drain => "drain",
        }
    }
}

/// What came of a check: true or what the server did, null where the library has no API for it, a string if it failed
pub(crate) async fn run<L: Library>(check: Check, url: &str) -> Value {
    match timeout(TIMEOUT, result::<L>(check, url)).await {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => json!(format!("{error:#}")),
        Err(_) => json!("timed out"),
    }
}

async fn result<L: Library>(check: Check, url: &str) -> Result<Value> {
    match check {
        Check::Pool => return Ok(Value::Null),
        Check::Subprotocol if !L::SUBPROTOCOLS => return Ok(Value::Null),
        Check::Reject => {
            return match L::connect(&format!("{url}/reject"), &[]).await {
                Ok(_) => Ok(json!("accepted")),
                Err(Refused::Status(status)) => Ok(json!(["rejected", status])),
                Err(Refused::Error(error)) => Err(error),
            };
        }
        Check::Sessions => {
            for number in 0..3 {
                let session = connect::<L>(url, "/echo", &[]).await?;
                ensure!(echoes(&session, &[number]).await?, "not echoed");
                session.close(0, "").await;
            }
            return Ok(json!(true));
        }
        _ => {}
    }
    let (path, protocols): (_, &[&str]) = match check {
        Check::ResetByServer | Check::StopByServer => ("/reset", &[]),
        Check::CloseByServer => ("/close", &[]),
        Check::Drain => ("/drain", &[]),
        Check::Subprotocol => ("/echo", &["a", SUBPROTOCOL]),
        _ => ("/echo", &[]),
    };
    let session = connect::<L>(url, path, protocols).await?;
    let value = with_session(check, &session).await?;
    if !matches!(check, Check::Close | Check::CloseByServer) {
        session.close(0, "").await;
    }
    Ok(value)
}

async fn connect<L: Library>(url: &str, path: &str, protocols: &[&str]) -> Result<L::Session> {
    L::connect(&format!("{url}{path}"), protocols).await.map_err(|refused| match refused {
        Refused::Status(status) => anyhow::anyhow!("rejected: {status:?}"),
        Refused::Error(error) => error,
    })
}

async fn with_session<S: Session>(check: Check, session: &S) -> Result<Value> {
    let payload: Vec<u8> = (0..100_000).map(|i| (i % 250) as u8).collect(); // many packets, and no power of two
    match check {
        Check::Bidi => return Ok(json!(echoes(session, &payload).await?)),
        Check::Drain => {
            let (_send, _recv) = half_open(session, true).await?;
            return Ok(json!(echoes(session, b"sync").await?));
        }
        Check::Uni => {
            let mut send = session.open_uni().await?;
            send.write(&payload).await?;
            send.finish().await?;
            let mut recv = session.accept_uni().await?;
            return Ok(json!(read_all(&mut recv).await? == payload));
        }
        Check::Datagram => {
            for size in [1, 1000] {
                let data = vec![b'd'; size];
                session.send_datagram(&data)?;
                ensure!(session.receive_datagram().await? == data, "another datagram came back");
            }
            return Ok(json!(true));
        }
        Check::Reset => {
            let (mut send, _recv) = half_open(session, true).await?;
            send.reset(RESET);
            return Ok(json!(echoes(session, b"sync").await?));
        }
        Check::Stop => {
            let (mut send, recv) = half_open(session, true).await?;
            recv.stop(STOP);
            send.write(b"y").await?; // a server learns of the stop when it answers this, if not before
            return Ok(json!(echoes(session, b"sync").await?));
        }
        Check::Close => {
            ensure!(echoes(session, b"sync").await?, "not echoed");
            session.close(CLOSE.0, CLOSE.1).await;
        }
        Check::ResetByServer => {
            let (_send, mut recv) = half_open(session, false).await?;
            return match read_all(&mut recv).await {
                Ok(data) => Ok(json!(format!("read {data:?}"))),
                Err(Ended::Reset(code)) => Ok(json!(["reset", code])),
                Err(ended) => Err(ended.into()),
            };
        }
        Check::StopByServer => {
            let (mut send, _recv) = half_open(session, false).await?;
            loop {
                match send.write(b"y").await {
                    Ok(()) => sleep(Duration::from_millis(20)).await, // until the server's answer is here
                    Err(Ended::Stop(code)) => return Ok(json!(["stop", code])),
                    Err(ended) => return Err(ended.into()),
                }
            }
        }
        Check::CloseByServer => {
            let _stream = half_open(session, false).await?;
            return Ok(session.closed().await);
        }
        Check::Subprotocol => return Ok(json!(session.protocol())),
        Check::Transfer => return Ok(json!(transfer(session).await?)),
        Check::Reject | Check::Sessions | Check::Pool => unreachable!("they have no session of their own"),
    }
    Ok(json!(true))
}

async fn read_all<R: RecvStream>(recv: &mut R) -> Result<Vec<u8>, Ended> {
    let (mut data, mut buffer) = (Vec::new(), vec![0; 65536]);
    loop {
        match recv.read(&mut buffer).await? {
            0 => return Ok(data),
            n => data.extend_from_slice(&buffer[..n]),
        }
    }
}

/// A bidirectional stream comes back. Also how a check knows that what it sent before has arrived
async fn echoes<S: Session>(session: &S, data: &[u8]) -> Result<bool> {
    let (mut send, mut recv) = session.open_bi().await?;
    send.write(data).await?;
    send.finish().await?;
    Ok(read_all(&mut recv).await? == data)
}

/// A bidirectional stream that both sides know and neither has finished
async fn half_open<S: Session>(session: &S, answered: bool) -> Result<(S::Send, S::Recv)> {
    let (mut send, mut recv) = session.open_bi().await?;
    send.write(b"x").await?;
    if answered {
        ensure!(recv.read(&mut [0; 16]).await? == 1, "not echoed");
    }
    Ok((send, recv))
}

/// 16 MiB there and back, compared by their hash
async fn transfer<S: Session>(session: &S) -> Result<bool> {
    let (mut send, mut recv) = session.open_bi().await?;
    let sending = tokio::spawn(async move {
        let mut sent = Context::new(&SHA256);
        for number in 1..=256_usize {
            let block: Vec<u8> = (0..65536_usize).map(|i| (i * number % 251) as u8).collect();
            sent.update(&block);
            send.write(&block).await?;
        }
        send.finish().await?;
        Ok::<_, Ended>(sent.finish())
    });
    let (mut received, mut size, mut buffer) = (Context::new(&SHA256), 0, vec![0; 65536]);
    loop {
        match recv.read(&mut buffer).await? {
            0 => break,
            n => {
                received.update(&buffer[..n]);
                size += n;
            }
        }
    }
    Ok(size == 16 << 20 && sending.await??.as_ref() == received.finish().as_ref())
}
