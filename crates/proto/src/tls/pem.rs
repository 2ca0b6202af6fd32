//! PEM (RFC 7468) to DER: what certificates and keys look like on disk.

use rustls::pki_types::pem::{PemObject, SectionKind};

use crate::error::ConfigError;

/// The DER of every certificate in `text`, in order; whatever else there is, keys included, is passed over
///
/// # Errors
/// There is none, or what there is cannot be read.
pub fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, ConfigError> {
    let certificates = sections(text, |kind| kind == SectionKind::Certificate)?;
    if certificates.is_empty() {
        return Err(ConfigError(format!("no certificate in it, but {}", found(text))));
    }
    Ok(certificates)
}

/// The DER of the one private key in `text`: PKCS#8, PKCS#1 or SEC 1; whatever else there is is passed over
///
/// # Errors
/// There is none or more than one, it is encrypted, or what there is cannot be read.
pub fn private_key(text: &[u8]) -> Result<Vec<u8>, ConfigError> {
    const KINDS: [SectionKind; 3] = [SectionKind::PrivateKey, SectionKind::RsaPrivateKey, SectionKind::EcPrivateKey];
    // The second is how it is said inside of PKCS#1 and SEC 1 (RFC 1421 §4.6.1.1)
    let text_of_key = String::from_utf8_lossy(text);
    if text_of_key.contains("BEGIN ENCRYPTED PRIVATE KEY") || text_of_key.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(ConfigError("the private key in it is encrypted; decrypt it first".into()));
    }
    let mut keys = sections(text, |kind| KINDS.contains(&kind))?.into_iter();
    match (keys.next(), keys.next()) {
        (Some(der), None) => Ok(der),
        (Some(_), Some(_)) => Err(ConfigError(format!("more than one private key in it: {}", found(text)))),
        (None, _) => Err(ConfigError(format!("no private key in it, but {}", found(text)))),
    }
}

fn sections(text: &[u8], want: impl Fn(SectionKind) -> bool) -> Result<Vec<Vec<u8>>, ConfigError> {
    let mut wanted = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|error| ConfigError(format!("PEM cannot be read: {error}")))?;
        if want(kind) {
            wanted.push(der);
        }
    }
    Ok(wanted)
}

/// The labels of all sections, also of kinds that only others know
fn found(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let label = |line: &str| Some(line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----")?.to_owned());
    let labels: Vec<_> = text.lines().filter_map(label).collect();
    if labels.is_empty() { "nothing in PEM at all".into() } else { labels.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn certificates_come_in_order() {
        let text = section("CERTIFICATE", "AQ==") + "words\n" + &section("PRIVATE KEY", "AA==") + &section("CERTIFICATE", "Ag==");
        assert_eq!(certificates(text.as_bytes()), Ok(vec![vec![1], vec![2]]));
        assert_eq!(private_key(text.as_bytes()), Ok(vec![0]));
    }

    #[test]
    fn keys_come_in_three_forms() {
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            let text = section("EC PARAMETERS", "BQ==") + &section(label, "AQI=");
            assert_eq!(private_key(text.as_bytes()), Ok(vec![1, 2]), "{label}");
        }
    }

    #[test]
    fn errors_say_what_was_found() {
        let key = section("PRIVATE KEY", "AQ==");
        let certificate = section("CERTIFICATE", "AQ==");
        let error = |result: Result<Vec<u8>, ConfigError>| result.unwrap_err().0;
        assert!(certificates(key.as_bytes()).unwrap_err().0.contains("no certificate in it, but PRIVATE KEY"));
        assert!(certificates(b"\x30\x82").unwrap_err().0.contains("nothing in PEM"));
        assert!(certificates(b"-----BEGIN CERTIFICATE-----\nAQ==\n").unwrap_err().0.contains("cannot be read"));
        assert!(certificates(section("CERTIFICATE", "!").as_bytes()).unwrap_err().0.contains("cannot be read"));
        assert!(error(private_key(certificate.as_bytes())).contains("no private key in it, but CERTIFICATE"));
        assert!(error(private_key((key.clone() + &key).as_bytes())).contains("more than one"));
        assert!(error(private_key(section("ENCRYPTED PRIVATE KEY", "AQ==").as_bytes())).contains("encrypted"));
    }
}
