//! Where a page that asks for a session may come from (WT §3.2, RFC 6454).

use crate::error::ConfigError;
use crate::request::Request;

/// Which origins a server takes requests from; one without the field, from a program and not a page, is always taken
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum AllowedOrigins {
    /// The host that the request is for, whatever scheme and port; the names of the loopback interface count as one host
    #[default]
    SameHost,
    /// Every page of the Web
    Any,
    /// These, as browsers write them: `https://a.example:444` or `null`
    Listed(Vec<String>),
}

impl AllowedOrigins {
    /// From what a user lists, where `*` means all
    ///
    /// # Errors
    /// An entry is no origin.
    pub fn listed(origins: Vec<String>) -> Result<Self, ConfigError> {
        for origin in &origins {
            if !matches!(origin.as_str(), "*" | "null") && parse(origin).is_none() {
                return Err(ConfigError(format!("not an origin: {origin:?}; write scheme://host[:port], without a path")));
            }
        }
        Ok(if origins.iter().any(|origin| origin == "*") { Self::Any } else { Self::Listed(origins) })
    }

    /// Whether a server takes this request (WT §3.2)
    pub(crate) fn allow(&self, request: &Request) -> bool {
        let mut fields = request.headers.iter().filter(|field| field.name == "origin");
        let Some(field) = fields.next() else { return true };
        if *self == Self::Any {
            return true;
        }
        let (Ok(origin), None) = (std::str::from_utf8(&field.value), fields.next()) else { return false };
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.iter().any(|listed| listed.eq_ignore_ascii_case(origin)),
            Self::SameHost => match (parse(origin), parse(&format!("https://{}", request.authority))) {
                (Some(origin), Some(ours)) => origin.eq_ignore_ascii_case(ours) || is_loopback(origin) && is_loopback(ours),
                _ => false,
            },
        }
    }
}

/// The host of `scheme://host[:port]`; `None` for anything else
fn parse(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    let end = if authority.starts_with('[') { authority.find(']')? + 1 } else { authority.find(':').unwrap_or(authority.len()) };
    let (host, port) = authority.split_at(end);
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let is_host = !host.is_empty() && !host.contains(|c: char| !c.is_ascii_graphic() || "/?#@*,".contains(c));
    (!scheme.is_empty() && is_host && is_port).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host == "127.0.0.1" || host == "[::1]"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Field;

    fn allows(allowed: &AllowedOrigins, authority: &str, origins: &[&str]) -> bool {
        let headers = origins.iter().map(|&origin| Field::from(("origin", origin))).collect();
        allowed.allow(&Request { authority: authority.into(), path: "/".into(), headers, subprotocols: vec![] })
    }

    #[test]
    fn the_same_host_is_allowed_by_default() {
        let allows = |authority, origin| allows(&AllowedOrigins::SameHost, authority, &[origin]);
        for (authority, origin) in [
            ("a.example", "https://a.example"),
            ("a.example:4433", "http://A.example:8080"),
            ("[2001:db8::1]:4433", "https://[2001:db8::1]"),
            ("127.0.0.1:4433", "http://localhost:8000"),
            ("localhost", "http://[::1]"),
        ] {
            assert!(allows(authority, origin), "{origin} at {authority}");
        }
        for (authority, origin) in [
            ("a.example", "https://b.example"),
            ("a.example", "https://a.example.evil.example"),
            ("a.example", "https://evil.example/a.example"),
            ("a.example", "https://a.example@evil.example"),
            ("a.example", "null"),
            ("a.example", "a.example"),
            ("a.example", ""),
            ("a.example", "http://localhost"),
            ("localhost", "http://localhost.evil.example"),
        ] {
            assert!(!allows(authority, origin), "{origin} at {authority}");
        }
    }

    #[test]
    fn listed_origins_are_exact() {
        let listed = AllowedOrigins::listed(vec!["https://a.example".into(), "null".into()]).unwrap();
        assert!(allows(&listed, "b.example", &["https://a.example"]));
        assert!(allows(&listed, "b.example", &["null"]));
        assert!(!allows(&listed, "b.example", &["https://a.example:444"]));
        assert!(!allows(&listed, "b.example", &["http://a.example"]));
        assert!(!allows(&listed, "b.example", &["https://b.example"]), "not even the server's own");
        let any = AllowedOrigins::listed(vec!["*".into()]).unwrap();
        assert!(allows(&any, "b.example", &["null"]));
        assert!(!allows(&AllowedOrigins::listed(vec![]).unwrap(), "b.example", &["https://b.example"]));
    }

    #[test]
    fn without_an_origin_nothing_is_to_be_checked() {
        for allowed in [AllowedOrigins::SameHost, AllowedOrigins::Any, AllowedOrigins::Listed(vec![])] {
            assert!(allows(&allowed, "a.example", &[]));
        }
        assert!(!allows(&AllowedOrigins::SameHost, "a.example", &["https://a.example", "https://a.example"]));
    }

    #[test]
    fn what_is_no_origin_cannot_be_listed() {
        for bad in
            ["", "a.example", "https://", "https://a.example/", "https://a b", "https://a:x", "://a", "https://[::1", "https://*"]
        {
            assert!(AllowedOrigins::listed(vec![bad.into()]).is_err(), "{bad}");
        }
    }
}
