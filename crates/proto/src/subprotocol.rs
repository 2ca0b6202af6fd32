//! Application protocols (WT §3.3): those that a client offers, and the one that a server picks.

use sfv::{BareItem, Item, ItemSerializer, List, ListEntry, ListSerializer, Parser, StringRef};

use crate::error::ConfigError;
use crate::field::Field;

/// The field of a request
pub(crate) const OFFER: &str = "wt-available-protocols";

/// The field of an answer
pub(crate) const CHOICE: &str = "wt-protocol";

/// The longest name that browsers take (W3C WebTransport)
const MAX_NAME: usize = 512;

/// What a client offers, and whether it can do without
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    pub(crate) names: Vec<String>,
    pub(crate) required: bool,
}

/// Check what a client is to offer, as browsers do: names of 1 to 512 visible ASCII characters or spaces, each once
///
/// # Errors
/// Says which name is none.
pub fn check_offer(names: &[String]) -> Result<(), ConfigError> {
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            return Err(ConfigError(format!("subprotocol is offered twice: {name:?}")));
        }
        if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(ConfigError(format!("subprotocol is not 1 to {MAX_NAME} visible ASCII characters: {name:?}")));
        }
    }
    Ok(())
}

/// The value of the request's field; `None` if there is nothing to offer
pub(crate) fn encode_offer(names: &[String]) -> Option<String> {
    let mut list = ListSerializer::new();
    for name in names.iter().filter_map(|name| StringRef::from_str(name).ok()) {
        list.bare_item(name);
    }
    list.finish()
}

/// Strings and nothing else, or the whole field counts as absent; parameters mean nothing
pub(crate) fn decode_offer(headers: &[Field]) -> Vec<String> {
    let members = Parser::new(&value(headers, OFFER)).parse::<List>().unwrap_or_default();
    let string = |member| match member {
        ListEntry::Item(item) => string(item),
        ListEntry::InnerList(_) => None,
    };
    members.into_iter().map(string).collect::<Option<_>>().unwrap_or_default()
}

/// The value of the answer's field
pub(crate) fn encode_choice(name: &str) -> Option<String> {
    StringRef::from_str(name).ok().map(|name| ItemSerializer::new().bare_item(name).finish())
}

/// One string, or the field counts as absent; parameters mean nothing
pub(crate) fn decode_choice(headers: &[Field]) -> Option<String> {
    Parser::new(&value(headers, CHOICE)).parse::<Item>().ok().and_then(string)
}

fn string(item: Item) -> Option<String> {
    match item.bare_item {
        BareItem::String(string) => Some(string.into()),
        _ => None,
    }
}

/// All lines of a field as one (RFC 9651 §4.2)
fn value(headers: &[Field], name: &str) -> Vec<u8> {
    let lines: Vec<&[u8]> = headers.iter().filter(|field| field.name == name).map(|field| &field.value[..]).collect();
    lines.join(&b", "[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &str, lines: &[&str]) -> Vec<Field> {
        lines.iter().map(|&line| Field::from((name, line))).collect()
    }

    /// WT §3.3
    #[test]
    fn an_offer_is_strings_or_absent() {
        let offered = |offer: &[&str]| decode_offer(&lines(OFFER, offer));
        assert_eq!(offered(&[r#""a", "b""#]), ["a", "b"]);
        assert_eq!(offered(&[r#""a";q=1,"b""#]), ["a", "b"]);
        assert_eq!(offered(&[r#""a""#, r#""b", "c""#]), ["a", "b", "c"]);
        assert_eq!(offered(&[r#""""#]), [""]);
        for line in [r#"a, "b""#, r#""a", 1"#, r#""a", ("b")"#, r#""a","#, r#""a"#, "", "é"] {
            assert_eq!(offered(&[line]), [""; 0], "{line}");
        }
        assert_eq!(offered(&[r#""a""#, "b"]), [""; 0]);
        assert_eq!(offered(&[]), [""; 0]);
    }

    /// WT §3.3
    #[test]
    fn a_choice_is_one_string_or_absent() {
        let chosen = |choice: &[&str]| decode_choice(&lines(CHOICE, choice));
        assert_eq!(chosen(&[r#""a b""#]).as_deref(), Some("a b"));
        assert_eq!(chosen(&[r#""a";q=1"#]).as_deref(), Some("a"));
        for line in ["a", "1", r#"("a")"#, r#""a", "b""#, r#""a"#, "", "é"] {
            assert_eq!(chosen(&[line]), None, "{line}");
        }
        assert_eq!(chosen(&[r#""a""#, r#""b""#]), None);
        assert_eq!(chosen(&[]), None);
    }

    /// sf-string has no way to say what is not ASCII, so that is not sent
    #[test]
    fn what_is_written_is_read_again() {
        let names = ["a b", "\"quoted\"\\", "é"].map(String::from);
        let offer = encode_offer(&names).unwrap();
        assert_eq!(offer, r#""a b", "\"quoted\"\\""#);
        assert_eq!(decode_offer(&lines(OFFER, &[&offer])), names[..2]);
        assert_eq!(encode_offer(&[]), None);
        for name in &names[..2] {
            let choice = encode_choice(name).unwrap();
            assert_eq!(decode_choice(&lines(CHOICE, &[&choice])).as_ref(), Some(name));
        }
        assert_eq!(encode_choice("é"), None);
    }

    /// W3C WebTransport, the constructor's `protocols`
    #[test]
    fn offers_are_checked() {
        let check = |names: &[&str]| check_offer(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(check(&[]).is_ok());
        assert!(check(&["a", "b c", "\"", &"x".repeat(512)]).is_ok());
        for bad in [&["", "a"][..], &["a", "b", "a"], &["é"], &["a\n"], &["\x7f"], &[&"x".repeat(513)]] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
