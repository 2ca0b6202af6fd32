//! Who is who: certificates of servers and clients, what only the two of a session know, and a server that comes back.
#![allow(clippy::unwrap_used)] // helpers of tests, and so tests themselves

mod sim;

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use sim::{Net, Pair, Side, identity, server_endpoint};
use webtransport_proto::tls::{ClientOptions, ClientTls, Identity, ServerOptions, ServerTls, Verification, fingerprint};
use webtransport_proto::{CloseSource, Config, ConnectError, Dir, Endpoint, Event, SessionError, SessionId};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A certificate's beginning and end, from today
fn validity(params: &mut CertificateParams, from: i32, until: i32) {
    #[allow(clippy::disallowed_methods)] // rustls looks at the clock, to see whether certificates are valid
    let now = SystemTime::now();
    let day = |days: i32| if days < 0 { now - DAY * days.unsigned_abs() } else { now + DAY * days.unsigned_abs() };
    params.not_before = day(from).into();
    params.not_after = day(until).into();
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        validity(&mut params, -1, 1);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()).unwrap())
    }

    fn root(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// A chain and its key
    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose, from: i32, until: i32) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        validity(&mut params, from, until);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        (vec![leaf.der().to_vec()], key.serialize_der())
    }

    fn server(&self, name: &str, from: i32, until: i32) -> (Vec<Vec<u8>>, Vec<u8>) {
        self.issue(name, ExtendedKeyUsagePurpose::ServerAuth, from, until)
    }

    fn client(&self, from: i32, until: i32) -> Identity {
        let (chain, key) = self.issue("client", ExtendedKeyUsagePurpose::ClientAuth, from, until);
        Identity::new(chain, &key).unwrap()
    }
}

fn pair(server: &ServerTls, client: ClientTls) -> Pair {
    let mut pair = Pair::new(Net::default());
    pair.sim.server = Endpoint::server(Config::default(), server.clone()).unwrap();
    pair.sim.client = Endpoint::client(Config::default(), client).unwrap();
    pair
}

fn failure(pair: &mut Pair) -> String {
    pair.ask("/");
    pair.event(Side::Client, "failure", |event| match event {
        Event::ConnectFailed { error: ConnectError::Failed(why), .. } => Some(why.clone()),
        _ => None,
    })
}

#[test]
fn a_server_is_verified_by_its_root_name_and_time() {
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    let roots = |authority: &Authority| ClientTls::new(Verification::Roots(vec![authority.root()])).unwrap();
    let server = |name, from, until| {
        let (chain, key) = authority.server(name, from, until);
        ServerTls::new(chain, &key).unwrap()
    };
    pair(&server("localhost", -1, 1), roots(&authority)).connect();
    for (server, roots, words, alert) in [
        (server("localhost", -1, 1), roots(&other), "unknown issuer", "UnknownCA (48)"),
        (server("elsewhere.test", -1, 1), roots(&authority), "elsewhere.test", "BadCertificate (42)"),
        (server("localhost", -2, -1), roots(&authority), "has expired: it was valid until 2", "CertificateExpired (45)"),
        (server("localhost", 1, 2), roots(&authority), "is not valid before 2", "CertificateExpired (45)"),
    ] {
        let why = failure(&mut pair(&server, roots));
        assert!(why.contains(words) && why.contains(alert), "{why}");
        assert!(!why.contains("UNIX"), "{why}");
    }
}

#[test]
fn a_pinned_server_is_verified_by_its_hash_and_time() {
    let authority = Authority::new("one");
    for (from, until, w3c, expected) in [
        (-1, 1, false, None),
        (-1, 1, true, None),
        (-1, 14, false, None),
        (-1, 14, true, Some("valid for 15.0 days, and 14 is the most")),
        (-2, -1, false, Some("has expired: it was valid until 2")),
        (1, 2, false, Some("is not valid before 2")),
    ] {
        let (chain, key) = authority.server("elsewhere.test", from, until);
        let hashes = vec![[0; 32], fingerprint(&chain[0])];
        let server = ServerTls::new(chain, &key).unwrap();
        let verification = if w3c { Verification::PinnedW3c(hashes) } else { Verification::Pinned(hashes) };
        let mut pair = pair(&server, ClientTls::new(verification).unwrap());
        match expected {
            None => _ = pair.connect(),
            Some(words) => {
                let why = failure(&mut pair);
                assert!(why.contains(words), "{why}");
            }
        }
    }
}

#[test]
fn a_wrong_pin_tells_the_right_one() {
    let (certificate, key) = identity().clone();
    let hash: String = fingerprint(&certificate).iter().map(|byte| format!("{byte:02x}")).collect();
    let server = ServerTls::new(vec![certificate], &key).unwrap();
    let why = failure(&mut pair(&server, ClientTls::new(Verification::Pinned(vec![[7; 32]])).unwrap()));
    assert!(why.contains(&hash), "{why}");
}

#[test]
fn a_client_proves_itself_where_it_is_asked() {
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    let (certificate, key) = identity().clone();
    let identity = Identity::new(vec![certificate], &key).unwrap();
    let client = |identity: &Option<Identity>| {
        let options = ClientOptions { identity: identity.clone(), key_log: None };
        ClientTls::with_options(Verification::Dangerous, &options).unwrap()
    };
    let good = Some(authority.client(-1, 1));
    let stranger = Some(other.client(-1, 1));
    let expired = Some(authority.client(-2, -1));
    for (asked, required, proof, expected) in [
        (false, false, &good, Ok(0)),
        (true, false, &None, Ok(0)),
        (true, false, &good, Ok(1)),
        (true, true, &good, Ok(1)),
        (true, true, &None, Err("CertificateRequired (116)")),
        (true, false, &stranger, Err("UnknownCA (48)")),
        (true, false, &expired, Err("CertificateExpired (45)")),
    ] {
        let client_roots = asked.then(|| vec![authority.root()]);
        let options = ServerOptions { client_roots, require_client_certificate: required, key_log: None };
        let mut pair = pair(&ServerTls::with_options(&identity, &options).unwrap(), client(proof));
        match expected {
            Ok(certificates) => {
                let (client, server) = pair.connect();
                assert_eq!(pair.sim.server.peer_certificates(server).len(), certificates);
                assert_eq!(pair.sim.client.peer_certificates(client), [sim::identity().0.clone()]);
            }
            Err(alert) => {
                let why = failure(&mut pair);
                assert!(why.contains(alert), "{why}");
                assert!(!pair.has_event(Side::Server, |event| matches!(event, Event::SessionRequested { .. })));
            }
        }
    }
}

#[test]
fn a_server_that_comes_back_resets_what_it_does_not_know() {
    for (reset_key, known) in [(None, true), (Some(b"one".to_vec()), true), (Some(b"two".to_vec()), false)] {
        let first = if known { reset_key.clone() } else { None };
        let mut pair = Pair::with(Net::default(), Config::default(), Config { reset_key: first, ..Config::default() });
        let (client, _) = pair.connect();
        pair.sim.run(Duration::from_secs(1));
        pair.sim.server = server_endpoint(Config { reset_key, ..Config::default() });
        let stream = pair.open(Side::Client, client, Dir::Bi);
        pair.write(Side::Client, stream, &[1; 100]);
        let start = pair.now();
        let reset = SessionError::Peer { by: CloseSource::ConnectionReset, code: None, reason: String::new() };
        assert_eq!(pair.closed(Side::Client), if known { reset } else { SessionError::TimedOut });
        assert_eq!(pair.now() - start < Duration::from_secs(1), known);
    }
}

fn export(endpoint: &Endpoint, session: SessionId, label: &[u8], context: &[u8], length: usize) -> Vec<u8> {
    endpoint.export_keying_material(session, label, context, length).unwrap()
}

#[test]
fn both_sides_export_the_same_keying_material() {
    let mut pair = Pair::new(Net::default());
    let (client, server) = pair.connect();
    let (other_client, _) = pair.connect();
    let mut seen = Vec::new();
    for (label, context) in [(&b"a"[..], &b""[..]), (b"b", b""), (b"a", b"b"), (b"ab", b""), (&[7; 255], &[8; 255])] {
        let material = export(&pair.sim.client, client, label, context, 32);
        assert_eq!(material, export(&pair.sim.server, server, label, context, 32));
        assert_ne!(material, export(&pair.sim.client, other_client, label, context, 32));
        assert!(!seen.contains(&material));
        seen.push(material);
    }
    for length in [1, 31, 4096] {
        assert_eq!(export(&pair.sim.client, client, b"a", b"", length).len(), length);
    }
    pair.close(Side::Client, client, 0, "");
    assert_eq!(pair.sim.client.export_keying_material(client, b"a", b"", 32), None);
}
