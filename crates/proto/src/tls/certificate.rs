//! Certificates themselves: making one, its hash, and the few facts about one that pinning asks for.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::DnsName;
use time::{Date, Month, OffsetDateTime};

use super::config_error;
use crate::error::ConfigError;

/// The longest validity with which browsers accept a certificate by its hash (W3C WebTransport, "custom certificate requirements")
pub(super) const MAX_PINNED_VALIDITY: Duration = Duration::from_secs(14 * 24 * 3600);

/// A little less than that, for those who count the first or the last second too
const VALIDITY: Duration = MAX_PINNED_VALIDITY.saturating_sub(Duration::from_secs(60));

/// How far the clocks of two machines may differ before a certificate made now is not valid yet
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// The longest that anybody may ask for: a hundred years
const MAX_VALIDITY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Make a certificate that browsers accept by its hash: ECDSA P-256, for 14 days at most
///
/// Each name is an IP address where it parses as one, else a DNS name. Returns the certificate's DER and the key's PKCS#8 DER.
///
/// # Errors
/// No name at all, or one that is neither.
pub fn generate_self_signed(names: &[String], now: SystemTime) -> Result<(Vec<u8>, Vec<u8>), ConfigError> {
    generate_self_signed_for(names, VALIDITY, now)
}

/// The same for a validity of one's own, which begins an hour ago: browsers refuse the hash of one that is longer than 14 days
///
/// # Errors
/// As above, or the validity is longer than a hundred years.
pub fn generate_self_signed_for(names: &[String], validity: Duration, now: SystemTime) -> Result<(Vec<u8>, Vec<u8>), ConfigError> {
    if validity > MAX_VALIDITY {
        return Err(ConfigError(format!("validity must be {} seconds at most: {}", MAX_VALIDITY.as_secs(), validity.as_secs())));
    }
    let Some(first) = names.first() else {
        return Err(ConfigError("subject_alt_names must not be empty".into()));
    };
    for name in names {
        // "*.example.org" stands for one label (RFC 6125 §6.4.3)
        let host = name.strip_prefix("*.").unwrap_or(name);
        if name.parse::<IpAddr>().is_err() && DnsName::try_from(host).is_err() {
            return Err(ConfigError(format!("subject_alt_names: {name:?} is neither an IP address nor a DNS name")));
        }
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(config_error)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(config_error)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, first.as_str());
    let start = now - CLOCK_SKEW;
    params.not_before = start.into();
    params.not_after = (start + validity).into();
    let certificate = params.self_signed(&key).map_err(config_error)?;
    Ok((certificate.der().to_vec(), key.serialize_der()))
}

/// The SHA-256 of a certificate's DER, as browsers take it in `serverCertificateHashes`
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// A moment of a certificate's validity, in seconds since 1970
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Moment(pub(super) i64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match OffsetDateTime::from_unix_timestamp(self.0) {
            Ok(at) => {
                let (hour, minute, second) = at.to_hms();
                write!(f, "{} {hour:02}:{minute:02}:{second:02} UTC", at.date())
            }
            Err(_) => write!(f, "{} seconds after 1970", self.0),
        }
    }
}

/// What a certificate says about itself, as far as pinning asks
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    pub(super) not_before: Moment,
    pub(super) not_after: Moment,
    /// Its key is ECDSA P-256, the one kind that every browser takes
    pub(super) is_p256: bool,
}

impl Facts {
    /// Read them out of a certificate's DER (RFC 5280 §4.1); `None` if it is none
    pub(super) fn read(mut der: &[u8]) -> Option<Self> {
        /// id-ecPublicKey, and then secp256r1 (RFC 5480 §2.1.1)
        const P256: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
        let mut certificate = expect(&mut der, SEQUENCE)?;
        let mut fields = expect(&mut certificate, SEQUENCE)?;
        if fields.first() == Some(&VERSION) {
            element(&mut fields)?;
        }
        element(&mut fields)?; // serial number
        expect(&mut fields, SEQUENCE)?; // signature algorithm
        expect(&mut fields, SEQUENCE)?; // issuer
        let mut validity = expect(&mut fields, SEQUENCE)?;
        expect(&mut fields, SEQUENCE)?; // subject
        let mut key = expect(&mut fields, SEQUENCE)?;
        Some(Self {
            not_before: moment(element(&mut validity)?)?,
            not_after: moment(element(&mut validity)?)?,
            is_p256: expect(&mut key, SEQUENCE)? == P256,
        })
    }
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Context-specific, constructed, 0
const VERSION: u8 = 0xa0;

/// Take one element off the front: its tag and its content
fn element<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[tag, first], mut rest) = input.split_first_chunk()?;
    let mut len = usize::from(first);
    if first >= 0x80 {
        // DER knows no indefinite length, and nobody knows a certificate of 16 MiB
        let (bytes, after) = rest.split_at_checked(len - 0x80).filter(|(bytes, _)| (1..=3).contains(&bytes.len()))?;
        len = bytes.iter().fold(0, |len, &byte| len << 8 | usize::from(byte));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(len)?;
    *input = rest;
    Some((tag, content))
}

fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    element(input).filter(|&(found, _)| found == tag).map(|(_, content)| content)
}

/// `YYMMDDhhmmssZ` until 2049, then `YYYYMMDDhhmmssZ` (RFC 5280 §4.1.2.5)
fn moment((tag, text): (u8, &[u8])) -> Option<Moment> {
    let digits = text.strip_suffix(b"Z")?;
    let century = if tag == GENERALIZED_TIME { 2 } else { 0 };
    if !matches!(tag, UTC_TIME | GENERALIZED_TIME) || digits.len() != 12 + century || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let pairs: Vec<u8> = digits.chunks(2).map(|pair| (pair[0] - b'0') * 10 + (pair[1] - b'0')).collect();
    let (year, rest) = match *pairs.as_slice() {
        [century, year, ref rest @ ..] if tag == GENERALIZED_TIME => (100 * i32::from(century) + i32::from(year), rest),
        [year, ref rest @ ..] if year >= 50 => (1900 + i32::from(year), rest),
        [year, ref rest @ ..] => (2000 + i32::from(year), rest),
        [] => return None,
    };
    let &[month, day, hour, minute, second] = rest else { return None };
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    Some(Moment(date.with_hms(hour, minute, second).ok()?.assume_utc().unix_timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_are_checked() {
        let now = SystemTime::UNIX_EPOCH + VALIDITY;
        assert!(generate_self_signed(&[], now).unwrap_err().0.contains("must not be empty"));
        for bad in ["", "a b", "-a.test", "exämple", "a..b"] {
            assert!(generate_self_signed(&names(&[bad]), now).unwrap_err().0.contains("neither"), "{bad}");
        }
    }

    #[test]
    fn validity_is_what_was_asked_for() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for days in [1, 14, 365, 36_500] {
            let validity = Duration::from_secs(days * 24 * 3600);
            let (certificate, _) = generate_self_signed_for(&names(&["localhost"]), validity, now).unwrap();
            let facts = Facts::read(&certificate).unwrap();
            assert_eq!(facts.not_after.0 - facts.not_before.0, validity.as_secs() as i64);
        }
        let error = generate_self_signed_for(&names(&["localhost"]), MAX_VALIDITY + Duration::from_secs(1), now).unwrap_err();
        assert!(error.0.contains("at most"), "{}", error.0);
    }

    #[test]
    fn facts_are_read() {
        for seconds in [1_700_000_000, 2_900_000_000] {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let (certificate, _) = generate_self_signed(&names(&["localhost", "::1"]), now).unwrap();
            let not_before = seconds as i64 - 3600;
            let facts =
                Facts { not_before: Moment(not_before), not_after: Moment(not_before + 14 * 24 * 3600 - 60), is_p256: true };
            assert_eq!(Facts::read(&certificate), Some(facts));
        }
        assert_eq!(Moment(1_700_000_000).to_string(), "2023-11-14 22:13:20 UTC");
    }

    #[test]
    fn facts_of_other_keys_are_read() {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate = CertificateParams::new(names(&["localhost"])).unwrap().self_signed(&key).unwrap();
        assert!(!Facts::read(certificate.der()).unwrap().is_p256);
    }

    #[test]
    fn what_is_no_certificate_has_no_facts() {
        let (certificate, _) = generate_self_signed(&names(&["localhost"]), SystemTime::UNIX_EPOCH + VALIDITY).unwrap();
        for len in 0..certificate.len() {
            assert_eq!(Facts::read(&certificate[..len]), None, "{len}");
            let mut broken = certificate.clone();
            broken[len] ^= 0x80;
            let _ = Facts::read(&broken); // whatever it says, it says it
        }
        for bad in [&b""[..], b"0", b"0\x80", b"0\x84\xff\xff\xff\xff", b"0\x83\xff\xff\xff"] {
            assert_eq!(Facts::read(bad), None);
        }
    }

    #[test]
    fn moments_are_read() {
        let cases: [(u8, &[u8], Option<i64>); 9] = [
            (UTC_TIME, b"700101000000Z", Some(0)),
            (UTC_TIME, b"491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, b"20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, b"99991231235959Z", Some(253_402_300_799)), // "no end", RFC 5280 §4.1.2.5
            (UTC_TIME, b"700101000000", None),
            (UTC_TIME, b"701301000000Z", None),
            (UTC_TIME, b"7001010000Z", None),
            (UTC_TIME, b"20500101000000Z", None),
            (0x0c, b"700101000000Z", None),
        ];
        for (tag, text, expected) in cases {
            assert_eq!(moment((tag, text)).map(|moment| moment.0), expected, "{text:?}");
        }
    }
}
