//! The server: every connection does what its application protocol names.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use harness::{Arguments, PIECE, QUIET};
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Connection, RecvStream, SendStream, ServerConfig};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::task::{LocalSet, spawn_local};

use crate::{PATHS, drain, endpoint, fill, transport};

pub(crate) async fn serve(arguments: &Arguments, certificate: &Path, key: &Path) {
    let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    tls.alpn_protocols = PATHS.map(Into::into).to_vec();
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    config.transport_config(transport(arguments.payload));
    let endpoint = endpoint(arguments, Some(config));
    harness::serving(endpoint.local_addr().unwrap().port());
    let serving = async {
        while let Some(incoming) = endpoint.accept().await {
            spawn_local(async {
                if let Ok(connection) = incoming.await {
                    serve_connection(connection).await;
                }
            });
        }
    };
    LocalSet::new().run_until(serving).await;
}

async fn serve_connection(connection: Connection) {
    let negotiated = connection.handshake_data().unwrap().downcast::<HandshakeData>().unwrap().protocol.unwrap();
    match negotiated.as_slice() {
        b"/datagrams" => {
            while let Ok(datagram) = connection.read_datagram().await {
                let _ = connection.send_datagram_wait(datagram).await;
            }
        }
        b"/count" => count(connection).await,
        path => {
            let path = path.to_owned();
            while let Ok((send, recv)) = connection.accept_bi().await {
                spawn_local(serve_stream(path.clone(), send, recv));
            }
        }
    }
}

async fn serve_stream(path: Vec<u8>, mut send: SendStream, mut recv: RecvStream) {
    match path.as_slice() {
        b"/sink" => {
            let size = drain(&mut recv).await;
            let _ = send.write_all(size.to_string().as_bytes()).await;
        }
        b"/source" => {
            let asked = String::from_utf8(recv.read_to_end(32).await.unwrap()).unwrap();
            fill(&mut send, asked.parse().unwrap(), PIECE).await;
        }
        b"/echo" => {
            while let Ok(Some(chunk)) = recv.read_chunk(PIECE, true).await {
                if send.write_chunk(chunk.bytes).await.is_err() {
                    return;
                }
            }
        }
        _ => {
            if let Ok(data) = recv.read_to_end(PIECE).await {
                let _ = send.write_all(&data).await;
            }
        }
    }
    let _ = send.finish();
}

async fn count(connection: Connection) {
    let (received, first, last) = (Rc::new(Cell::new(0u64)), Instant::now(), Rc::new(Cell::new(Instant::now())));
    let began = Rc::new(Cell::new(first));
    let telling = {
        let (connection, received, began, last) = (connection.clone(), Rc::clone(&received), Rc::clone(&began), Rc::clone(&last));
        async move {
            while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                let _ = recv.read_to_end(32).await;
                while last.get().elapsed() < QUIET {
                    tokio::time::sleep(QUIET).await;
                }
                let seconds = (last.get() - began.get()).as_secs_f64();
                // What came and was not received, quinn has pushed out of its buffer
                let came = connection.stats().frame_rx.datagram;
                let dropped = came - received.get();
                let told = json!({ "received": received.get(), "seconds": seconds, "dropped": dropped, "came": came });
                let _ = send.write_all(told.to_string().as_bytes()).await;
                let _ = send.finish();
            }
        }
    };
    spawn_local(telling);
    while connection.read_datagram().await.is_ok() {
        last.set(Instant::now());
        if received.get() == 0 {
            began.set(last.get());
        }
        received.set(received.get() + 1);
    }
}
