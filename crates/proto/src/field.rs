//! Header fields: what HTTP/3 permits in one, and which are ours to say (RFC 9114 §4.2).

use bytes::Bytes;

use crate::subprotocol;

/// A header field: its name, in lower case, and its value
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// In lower case (RFC 9114 §4.2)
    pub name: String,
    /// Most often text, but no encoding is promised
    pub value: Bytes,
}

impl Field {
    /// A field; the name is put in lower case
    pub fn new(name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        let mut name = name.into();
        name.make_ascii_lowercase();
        Self { name, value: value.into() }
    }

    /// Whether HTTP/3 permits this field: names and values of allowed characters, and none that is about a connection
    /// of HTTP/1.1 (RFC 9114 §4.2)
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let is_allowed = match self.name.as_str() {
            "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => false,
            "te" => self.value == "trailers",
            name => is_token(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase()),
        };
        // RFC 9110 §5.5; bytes from 0x80 on are of an unknown encoding, but allowed
        is_allowed && self.value.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control())
    }

    /// Whether it says what this library says by itself, so that an application must not
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        let name = self.name.as_str();
        matches!(name, subprotocol::OFFER | subprotocol::CHOICE | "host" | "content-length")
            || name.starts_with(':')
            || name.starts_with("sec-webtransport-http3-draft")
    }
}

impl From<(&str, &str)> for Field {
    fn from((name, value): (&str, &str)) -> Self {
        Self::new(name, Bytes::copy_from_slice(value.as_bytes()))
    }
}

/// RFC 9110 §5.6.2
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_says_by_itself_is_reserved() {
        for name in [":path", "WT-Protocol", "wt-available-protocols", "sec-webtransport-http3-draft02", "host", "content-length"] {
            assert!(Field::new(name, "x").is_reserved(), "{name}");
        }
        assert!(!Field::from(("origin", "null")).is_reserved());
    }
}
