//! The request that opens a session and its answer (WT §3.2, RFC 9220, RFC 9114 §4): checked once, then a type.

use std::array;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::field::{Field, is_token};
use crate::settings::Dialect;
use crate::{qpack, subprotocol};

/// What a client asks for when it opens a session
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Host and port, as in the URL
    pub authority: String,
    /// Path and query, as in the URL; begins with `/`
    pub path: String,
    /// All but the pseudo-headers
    pub headers: Vec<Field>,
    /// The application protocols that the client offers, the one it likes best first (WT §3.3)
    pub subprotocols: Vec<String>,
}

/// A server's answer
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// Three digits; any 2xx opens the session
    pub status: u16,
    /// All but the pseudo-header
    pub headers: Vec<Field>,
    /// The application protocol that the server picked (WT §3.3)
    pub subprotocol: Option<String>,
    /// What a refusal says besides; an accepted session has none
    pub body: Bytes,
}

/// A request that is not for a session, without its body
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpRequest {
    /// `GET`, `HEAD`, `POST` or any other but `CONNECT`
    pub method: String,
    /// Host and port, as in the URL
    pub authority: String,
    /// Path and query; begins with `/`, or is the `*` of `OPTIONS`
    pub path: String,
    /// All but the pseudo-headers
    pub headers: Vec<Field>,
}

/// A well-formed request
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Inbound {
    /// With the version that its `:protocol` belongs to
    WebTransport(Request, Dialect),
    Http(HttpRequest),
    /// A CONNECT for another `:protocol`, or for a tunnel
    Unsupported,
}

/// A message that breaks a rule of HTTP: its stream ends with H3_MESSAGE_ERROR (RFC 9114 §4.1.2)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("malformed message: {0}")]
pub(crate) struct Malformed(&'static str);

/// A request from its field section
pub(crate) fn decode_request(fields: Vec<(Bytes, Bytes)>) -> Result<Inbound, Malformed> {
    let ([method, scheme, authority, path, protocol], headers) =
        split(fields, [":method", ":scheme", ":authority", ":path", ":protocol"])?;
    let method = method.filter(|method| is_token(method)).ok_or(Malformed("no valid :method"))?;
    if protocol.is_some() && method != "CONNECT" {
        return Err(Malformed(":protocol without CONNECT")); // RFC 8441 §4
    }
    if protocol.is_none() && method == "CONNECT" {
        return match (scheme, authority, path) {
            (None, Some(_), None) => Ok(Inbound::Unsupported),
            _ => Err(Malformed("CONNECT with :scheme or :path, or without :authority")), // RFC 9114 §4.4
        };
    }
    let scheme = scheme.ok_or(Malformed("no :scheme"))?;
    let path = path.ok_or(Malformed("no :path"))?;
    let host = headers.iter().find(|field| field.name == "host").map(|field| &field.value);
    match (&authority, host) {
        (Some(authority), Some(host)) if authority != host => return Err(Malformed("host is not :authority")),
        (None, None) => return Err(Malformed("neither :authority nor host")),
        (None, _) if protocol.is_some() => return Err(Malformed("no :authority")), // RFC 8441 §4
        _ => {}
    }
    // RFC 9114 §4.3.1
    if !(path.starts_with('/') || method == "OPTIONS" && path == "*") {
        return Err(Malformed(":path does not begin with /"));
    }
    match (protocol, authority) {
        (None, authority) => {
            let host = || host.map(|host| String::from_utf8_lossy(host).into_owned());
            let authority = authority.or_else(host).unwrap_or_default();
            Ok(Inbound::Http(HttpRequest { method, authority, path, headers }))
        }
        // Either token, whatever the version: Safari has been seen to send both (WT §2.1.2)
        (Some(protocol), Some(authority)) if matches!(protocol.as_str(), "webtransport" | "webtransport-h3") => {
            if scheme != "https" {
                return Err(Malformed(":scheme is not https")); // WT §3.2
            }
            if authority.is_empty() || authority.contains('@') {
                return Err(Malformed(":authority is not a host")); // RFC 9114 §4.3.1
            }
            let subprotocols = subprotocol::decode_offer(&headers);
            // What a client means by its token if it named no version (WT §7.1): only 07 to 12 let it not, and the RFC to come
            let dialect = if protocol == "webtransport-h3" { Dialect::Draft16 } else { Dialect::Draft07 };
            Ok(Inbound::WebTransport(Request { authority, path, headers, subprotocols }, dialect))
        }
        _ => Ok(Inbound::Unsupported),
    }
}

/// A response, be it final or 1xx, from its field section
pub(crate) fn decode_response(fields: Vec<(Bytes, Bytes)>) -> Result<Response, Malformed> {
    let ([status], headers) = split(fields, [":status"])?;
    let status = status
        .filter(|status| status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|status| status.parse().ok())
        .filter(|&status| status >= 100) // RFC 9110 §15
        .ok_or(Malformed("no valid :status"))?;
    let subprotocol = subprotocol::decode_choice(&headers);
    Ok(Response { status, headers, subprotocol, body: Bytes::new() })
}

impl Request {
    /// Append the field section that asks for a session in this version's words
    pub(crate) fn encode(&self, dialect: Dialect, out: &mut BytesMut) {
        let protocol = if dialect == Dialect::Draft16 { "webtransport-h3" } else { "webtransport" };
        let pseudo = [
            (":method", "CONNECT"),
            (":scheme", "https"),
            (":authority", &self.authority),
            (":path", &self.path),
            (":protocol", protocol),
        ];
        let version = (dialect == Dialect::Draft02).then_some(("sec-webtransport-http3-draft02", "1"));
        let subprotocols = subprotocol::encode_offer(&self.subprotocols);
        let subprotocols = subprotocols.as_deref().map(|list| (subprotocol::OFFER, list));
        encode(pseudo.into_iter().chain(version).chain(subprotocols), &self.headers, out);
    }
}

impl Response {
    /// An answer without headers
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), subprotocol: None, body: Bytes::new() }
    }

    /// A refusal that says a sentence
    #[must_use]
    pub(crate) fn text(status: u16, text: &'static str) -> Self {
        let headers = vec![Field::from(("content-type", "text/plain; charset=utf-8"))];
        Self { headers, body: Bytes::from_static(text.as_bytes()), ..Self::new(status) }
    }

    /// Whether it opens the session (WT §3.2)
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Append the field section in this version's words
    pub(crate) fn encode(&self, dialect: Dialect, out: &mut BytesMut) {
        let status = format!("{:03}", self.status);
        let version = (dialect == Dialect::Draft02 && self.is_success()).then_some(("sec-webtransport-http3-draft", "draft02"));
        let length = (!self.body.is_empty()).then(|| self.body.len().to_string());
        let length = length.as_deref().map(|length| ("content-length", length));
        let subprotocol = self.subprotocol.as_deref().and_then(subprotocol::encode_choice);
        let subprotocol = subprotocol.as_deref().map(|name| (subprotocol::CHOICE, name));
        let first = [(":status", status.as_str())].into_iter().chain(version).chain(length).chain(subprotocol);
        encode(first, &self.headers, out);
    }
}

fn encode<'a>(first: impl Iterator<Item = (&'a str, &'a str)>, headers: &'a [Field], out: &mut BytesMut) {
    let first = first.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let headers = headers.iter().map(|field| (field.name.as_bytes(), &field.value[..]));
    qpack::encode(first.chain(headers), out);
}

/// Pseudo-headers, in the order of `known`, and headers (RFC 9114 §4.2, §4.3)
fn split<const N: usize>(fields: Vec<(Bytes, Bytes)>, known: [&str; N]) -> Result<([Option<String>; N], Vec<Field>), Malformed> {
    let mut pseudo = array::from_fn(|_| None);
    let mut headers = Vec::new();
    for (name, value) in fields {
        let name = String::from_utf8(name.into()).map_err(|_| Malformed("field name is not a token"))?;
        if !name.starts_with(':') {
            headers.push(Some(Field { name, value }).filter(Field::is_valid).ok_or(Malformed("field is not valid"))?);
            continue;
        }
        let index = known.iter().position(|&known| known == name).ok_or(Malformed("unknown pseudo-header"))?;
        if !headers.is_empty() {
            return Err(Malformed("pseudo-header after a header"));
        }
        let value = String::from_utf8(value.into())
            .ok()
            .filter(|value| value.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or(Malformed("pseudo-header is not visible ASCII"))?;
        if pseudo[index].replace(value).is_some() {
            return Err(Malformed("pseudo-header is repeated"));
        }
    }
    Ok((pseudo, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields<'a> = Vec<(&'a str, &'a str)>;

    fn fields(fields: &[(&str, &str)]) -> Vec<(Bytes, Bytes)> {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        fields.iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
    }

    fn decode(request: &[(&str, &str)]) -> Result<Inbound, Malformed> {
        decode_request(fields(request))
    }

    /// A request for a session, with so many of its fields replaced or, if the value is empty, left out
    fn connect<'a>(changes: &[(&'a str, &'a str)]) -> Fields<'a> {
        let mut request: Fields<'a> = vec![
            (":method", "CONNECT"),
            (":scheme", "https"),
            (":authority", "example.com"),
            (":path", "/chat"),
            (":protocol", "webtransport"),
        ];
        for &(name, value) in changes {
            match request.iter().position(|field| field.0 == name) {
                Some(index) if value.is_empty() => drop(request.remove(index)),
                Some(index) => request[index].1 = value,
                None => request.push((name, value)),
            }
        }
        request
    }

    fn accepted(request: &[(&str, &str)]) -> Request {
        match decode(request) {
            Ok(Inbound::WebTransport(request, _)) => request,
            other => panic!("{request:?} gave {other:?}"),
        }
    }

    fn assert_malformed(request: &[(&str, &str)]) {
        assert!(decode(request).is_err(), "{request:?} gave {:?}", decode(request));
    }

    fn sample() -> Request {
        Request {
            authority: "example.com:4433".into(),
            path: "/chat?room=1".into(),
            headers: vec![Field::new("Origin", "https://example.com"), Field::from(("x-y", "z"))],
            subprotocols: vec!["a b".into(), "\"quoted\"\\".into()],
        }
    }

    fn section(encode: impl FnOnce(&mut BytesMut)) -> Vec<(Bytes, Bytes)> {
        let mut block = BytesMut::new();
        encode(&mut block);
        qpack::decode(&block, u64::MAX).unwrap()
    }

    #[test]
    fn requests_round_trip_in_every_version() {
        for (dialect, token, added) in [
            (Dialect::Draft02, "webtransport", Some(("sec-webtransport-http3-draft02", "1"))),
            (Dialect::Draft07, "webtransport", None),
            (Dialect::Draft14, "webtransport", None),
            (Dialect::Draft16, "webtransport-h3", None),
        ] {
            let request = sample();
            let section = section(|out| request.encode(dialect, out));
            let mut expected = vec![
                (":method", "CONNECT"),
                (":scheme", "https"),
                (":authority", "example.com:4433"),
                (":path", "/chat?room=1"),
                (":protocol", token),
            ];
            expected.extend(added);
            expected.push(("wt-available-protocols", r#""a b", "\"quoted\"\\""#));
            expected.extend([("origin", "https://example.com"), ("x-y", "z")]);
            assert_eq!(section, fields(&expected));
            let Ok(Inbound::WebTransport(read, _)) = decode_request(section) else { panic!("not a request of ours") };
            assert_eq!(read.authority, request.authority);
            assert_eq!(read.path, request.path);
            assert_eq!(read.subprotocols, request.subprotocols);
            assert!(read.headers.ends_with(&request.headers));
        }
    }

    #[test]
    fn responses_round_trip_in_every_version() {
        let draft = Field::new("sec-webtransport-http3-draft", "draft02");
        for dialect in [Dialect::Draft02, Dialect::Draft07, Dialect::Draft14, Dialect::Draft16] {
            for status in [100, 200, 204, 299, 302, 404, 405, 599] {
                let headers = vec![Field::new("server", "x")];
                let response = Response { headers, subprotocol: Some("a b".into()), ..Response::new(status) };
                let read = decode_response(section(|out| response.encode(dialect, out))).unwrap();
                assert_eq!(read.status, status);
                assert_eq!(read.headers.last(), response.headers.last());
                assert_eq!(read.subprotocol, response.subprotocol);
                let is_marked = read.headers.contains(&draft);
                assert_eq!(is_marked, dialect == Dialect::Draft02 && (200..300).contains(&status));
            }
        }
        assert!(Response::new(200).is_success() && Response::new(299).is_success());
        assert!(!Response::new(199).is_success() && !Response::new(300).is_success());
    }

    /// Safari sends either, whatever was negotiated
    #[test]
    fn both_tokens_are_ours_and_others_are_not() {
        for token in ["webtransport", "webtransport-h3"] {
            assert_eq!(accepted(&connect(&[(":protocol", token)])).path, "/chat");
        }
        for token in ["websocket", "connect-udp", "WebTransport"] {
            assert_eq!(decode(&connect(&[(":protocol", token)])), Ok(Inbound::Unsupported));
        }
    }

    #[test]
    fn browsers_requests_are_accepted() {
        let chromium = [
            (":scheme", "https"),
            (":method", "CONNECT"),
            (":authority", "127.0.0.1:4433"),
            (":path", "/"),
            (":protocol", "webtransport"),
            ("sec-webtransport-http3-draft02", "1"),
            ("origin", "http://localhost:8000"),
            ("wt-available-protocols", r#""a", "b""#),
        ];
        assert_eq!(accepted(&chromium).subprotocols, ["a", "b"]);
        let firefox = [
            ("user-agent", "Mozilla/5.0"),
            ("accept", "*/*"),
            ("accept-language", "en-US,en;q=0.5"),
            ("accept-encoding", "gzip, deflate, br, zstd"),
            ("origin", "null"),
            ("sec-fetch-dest", "webtransport"),
            ("sec-fetch-mode", "no-cors"),
            ("priority", "u=4"),
            ("pragma", "no-cache"),
            ("cache-control", "no-cache"),
        ];
        assert_eq!(accepted(&connect(&firefox)).headers.len(), firefox.len());
    }

    /// RFC 8441 §4, RFC 9220, WT §3.2
    #[test]
    fn every_pseudo_header_of_extended_connect_is_needed() {
        for name in [":method", ":scheme", ":authority", ":path"] {
            assert_malformed(&connect(&[(name, "")]));
        }
        for (name, value) in [
            (":scheme", "http"),
            (":path", "chat"),
            (":path", "*"),
            (":path", "/a b"),
            (":path", "/é"),
            (":authority", "user@example.com"),
            (":method", "GET"),
            (":method", "CON NECT"),
        ] {
            assert_malformed(&connect(&[(name, value)]));
        }
        let mut empty = connect(&[]);
        empty[2].1 = "";
        assert_malformed(&empty);
        assert_malformed(&connect(&[(":authority", ""), ("host", "example.com")]));
    }

    /// RFC 9114 §4.3
    #[test]
    fn pseudo_headers_come_first_and_once_and_are_known() {
        let mut late = connect(&[(":path", ""), ("origin", "null")]);
        late.push((":path", "/"));
        assert_malformed(&late);
        for name in [":method", ":scheme", ":authority", ":path", ":protocol"] {
            let mut twice = connect(&[]);
            twice.push(*twice.iter().find(|field| field.0 == name).unwrap());
            assert_malformed(&twice);
        }
        for name in [":status", ":unknown", ":", ":Path"] {
            assert_malformed(&connect(&[(name, "200")]));
        }
        assert_malformed(&[]);
    }

    /// RFC 9114 §4.2, §10.3
    #[test]
    fn fields_that_http3_does_not_permit_are_malformed() {
        for (name, value) in [
            ("Origin", "null"),
            ("", "x"),
            ("a b", "x"),
            ("a:b", "x"),
            ("é", "x"),
            ("connection", "close"),
            ("keep-alive", "1"),
            ("proxy-connection", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("x", "a\r\nb: c"),
            ("x", "a\0"),
            ("x", "\x7f"),
        ] {
            let mut request = connect(&[]);
            request.push((name, value));
            assert_malformed(&request);
            let response = [(":status", "200"), (name, value)];
            assert!(decode_response(fields(&response)).is_err(), "{response:?}");
        }
        for (name, value) in [("te", "trailers"), ("x", ""), ("x", "\té"), ("!#$%&'*+-.^_`|~09az", "x")] {
            let mut request = connect(&[]);
            request.push((name, value));
            assert_eq!(accepted(&request).headers, [Field::from((name, value))]);
        }
    }

    /// RFC 9114 §4.3.1, §4.4
    #[test]
    fn plain_http_is_told_from_what_is_malformed() {
        let http = |method: &str, path: &str, headers: &[(&str, &str)]| {
            let (method, authority, path) = (method.into(), "example.com".into(), path.into());
            Ok(Inbound::Http(HttpRequest { method, authority, path, headers: headers.iter().map(|&field| field.into()).collect() }))
        };
        let get = connect(&[(":protocol", ""), (":method", "GET")]);
        assert_eq!(decode(&get), http("GET", "/chat", &[]));
        assert_eq!(decode(&connect(&[(":protocol", ""), (":method", "OPTIONS"), (":path", "*")])), http("OPTIONS", "*", &[]));
        let host = [(":protocol", ""), (":method", "GET"), (":authority", ""), ("host", "example.com")];
        assert_eq!(decode(&connect(&host)), http("GET", "/chat", &host[3..]));
        assert_malformed(&connect(&host[..3]));
        assert_eq!(decode(&[(":method", "CONNECT"), (":authority", "example.com:443")]), Ok(Inbound::Unsupported));
        assert_malformed(&connect(&[(":protocol", "")]));
        assert_malformed(&[(":method", "CONNECT")]);
    }

    /// RFC 9114 §4.3.1
    #[test]
    fn host_must_agree_with_the_authority() {
        assert_malformed(&connect(&[("host", "example.org")]));
        assert_eq!(accepted(&connect(&[("host", "example.com")])).authority, "example.com");
    }

    /// RFC 9114 §4.3.2
    #[test]
    fn a_response_has_one_status_of_three_digits() {
        let decode = |response: &[(&str, &str)]| decode_response(fields(response));
        assert_eq!(decode(&[(":status", "200")]), Ok(Response::new(200)));
        assert_eq!(decode(&[(":status", "103")]), Ok(Response::new(103)));
        for response in [
            &[][..],
            &[(":status", "20")],
            &[(":status", "2000")],
            &[(":status", "+20")],
            &[(":status", "abc")],
            &[(":status", "099")],
            &[(":status", "")],
            &[(":status", "200"), (":status", "200")],
            &[(":status", "200"), (":path", "/")],
            &[("server", "x"), (":status", "200")],
        ] {
            assert!(decode(response).is_err(), "{response:?}");
        }
    }
}
