//! SETTINGS (RFC 9114 §7.2.4), and which version of WebTransport two of them agree on (WT §7.1).

use std::fmt;

use bytes::BytesMut;

use crate::code::H3Code;
use crate::varint;

const QPACK_MAX_TABLE_CAPACITY: u64 = 0x01;
const MAX_FIELD_SECTION_SIZE: u64 = 0x06;
const QPACK_BLOCKED_STREAMS: u64 = 0x07;
const ENABLE_CONNECT_PROTOCOL: u64 = 0x08;
const H3_DATAGRAM: u64 = 0x33;
const H3_DATAGRAM_DRAFT04: u64 = 0xff_d277;
const ENABLE_WEBTRANSPORT_DRAFT02: u64 = 0x2b60_3742;
const WT_MAX_SESSIONS_DRAFT07: u64 = 0xc671_706a;
const WT_MAX_SESSIONS_DRAFT13: u64 = 0x14e9_cd29;
const WT_ENABLED: u64 = 0x2c7c_f000;
const WT_INITIAL_MAX_DATA: u64 = 0x2b61;
const WT_INITIAL_MAX_STREAMS_UNI: u64 = 0x2b64;
const WT_INITIAL_MAX_STREAMS_BIDI: u64 = 0x2b65;
/// One of the ids that mean nothing, 0x1f * N + 0x21 (RFC 9114 §7.2.4.1)
const GREASE: u64 = 0x1f * 0x0b5e_11a5 + 0x21;

/// No peer known sends more than some twenty; it bounds the search for duplicates
const MAX_SETTINGS: usize = 256;

/// The versions of WebTransport over HTTP/3 that differ on the wire, oldest first
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dialect {
    /// draft-02 to -06: what Chromium and Firefox speak
    Draft02,
    /// draft-07 to -12
    Draft07,
    /// draft-13 and -14
    Draft14,
    /// draft-15 and -16
    Draft16,
}

impl Dialect {
    /// `"draft-02"`, `"draft-07"`, `"draft-14"` or `"draft-16"`
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft02 => "draft-02",
            Self::Draft07 => "draft-07",
            Self::Draft14 => "draft-14",
            Self::Draft16 => "draft-16",
        }
    }

    /// All of them, oldest first
    pub const ALL: [Self; 4] = [Self::Draft02, Self::Draft07, Self::Draft14, Self::Draft16];

    /// The newest version that both sides' settings name (WT §7.1)
    pub(crate) fn choose(local: &Settings, peer: &Settings) -> Option<Self> {
        let (local, peer) = (local.dialects(), peer.dialects());
        local.iter().filter(|&dialect| peer.contains(dialect)).max()
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of versions
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dialects(u8);

impl Dialects {
    /// Whether the version is one of them
    #[must_use]
    pub fn contains(self, dialect: Dialect) -> bool {
        self.0 & 1 << dialect as u8 != 0
    }

    /// Whether there is none
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, oldest first
    pub fn iter(self) -> impl Iterator<Item = Dialect> {
        Dialect::ALL.into_iter().filter(move |&dialect| self.contains(dialect))
    }
}

/// What suits every peer that is known: Safari would prefer draft-14 to draft-07, and with it wants flow control
impl Default for Dialects {
    fn default() -> Self {
        [Dialect::Draft02, Dialect::Draft07, Dialect::Draft16].into_iter().collect()
    }
}

impl FromIterator<Dialect> for Dialects {
    fn from_iter<T: IntoIterator<Item = Dialect>>(dialects: T) -> Self {
        Self(dialects.into_iter().fold(0, |set, dialect| set | 1 << dialect as u8))
    }
}

impl fmt::Display for Dialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Dialect::name).collect();
        f.write_str(&names.join(", "))
    }
}

/// One side's settings; those that are absent have the value of `Default`
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) qpack_max_table_capacity: u64,
    pub(crate) max_field_section_size: Option<u64>,
    pub(crate) qpack_blocked_streams: u64,
    /// RFC 9220 §3
    pub(crate) enable_connect_protocol: bool,
    /// RFC 9297 §2.1.1
    pub(crate) h3_datagram: bool,
    /// The same before it was an RFC
    pub(crate) h3_datagram_draft04: bool,
    pub(crate) wt_draft02: bool,
    pub(crate) wt_max_sessions_draft07: u64,
    pub(crate) wt_max_sessions_draft13: u64,
    /// WT §3.1
    pub(crate) wt_enabled: u64,
    /// WT §5.5
    pub(crate) wt_initial_max_data: u64,
    pub(crate) wt_initial_max_streams_uni: u64,
    pub(crate) wt_initial_max_streams_bidi: u64,
}

impl Settings {
    /// The versions that they name (WT §7.1)
    pub(crate) fn dialects(&self) -> Dialects {
        let named = [
            (Dialect::Draft02, self.wt_draft02),
            (Dialect::Draft07, self.wt_max_sessions_draft07 > 0),
            (Dialect::Draft14, self.wt_max_sessions_draft13 > 0),
            (Dialect::Draft16, self.wt_enabled > 0),
        ];
        named.into_iter().filter_map(|(dialect, named)| named.then_some(dialect)).collect()
    }

    /// Read the payload of a SETTINGS frame
    pub(crate) fn decode(mut payload: &[u8]) -> Result<Self, H3Code> {
        let mut settings = Self::default();
        let mut seen = Vec::new();
        while !payload.is_empty() {
            let id = integer(&mut payload)?;
            let value = integer(&mut payload)?;
            if seen.contains(&id) {
                return Err(H3Code::SETTINGS_ERROR);
            }
            if seen.len() == MAX_SETTINGS {
                return Err(H3Code::EXCESSIVE_LOAD);
            }
            seen.push(id);
            settings.apply(id, value)?;
        }
        Ok(settings)
    }

    fn apply(&mut self, id: u64, value: u64) -> Result<(), H3Code> {
        match id {
            QPACK_MAX_TABLE_CAPACITY => self.qpack_max_table_capacity = value,
            MAX_FIELD_SECTION_SIZE => self.max_field_section_size = Some(value),
            QPACK_BLOCKED_STREAMS => self.qpack_blocked_streams = value,
            ENABLE_CONNECT_PROTOCOL => self.enable_connect_protocol = boolean(value)?,
            H3_DATAGRAM => self.h3_datagram = boolean(value)?,
            H3_DATAGRAM_DRAFT04 => self.h3_datagram_draft04 = boolean(value)?,
            ENABLE_WEBTRANSPORT_DRAFT02 => self.wt_draft02 = boolean(value)?,
            WT_MAX_SESSIONS_DRAFT07 => self.wt_max_sessions_draft07 = value,
            WT_MAX_SESSIONS_DRAFT13 => self.wt_max_sessions_draft13 = value,
            WT_ENABLED => self.wt_enabled = value,
            WT_INITIAL_MAX_DATA => self.wt_initial_max_data = value,
            WT_INITIAL_MAX_STREAMS_UNI => self.wt_initial_max_streams_uni = value,
            WT_INITIAL_MAX_STREAMS_BIDI => self.wt_initial_max_streams_bidi = value,
            0x00 | 0x02..=0x05 => return Err(H3Code::SETTINGS_ERROR), // HTTP/2's (RFC 9114 §7.2.4.1)
            _ => {}
        }
        Ok(())
    }

    /// Append the payload of a SETTINGS frame: what is not the default, and one setting that the peer must ignore
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let settings = [
            (QPACK_MAX_TABLE_CAPACITY, self.qpack_max_table_capacity),
            (QPACK_BLOCKED_STREAMS, self.qpack_blocked_streams),
            (ENABLE_CONNECT_PROTOCOL, self.enable_connect_protocol.into()),
            (H3_DATAGRAM, self.h3_datagram.into()),
            (H3_DATAGRAM_DRAFT04, self.h3_datagram_draft04.into()),
            (ENABLE_WEBTRANSPORT_DRAFT02, self.wt_draft02.into()),
            (WT_MAX_SESSIONS_DRAFT07, self.wt_max_sessions_draft07),
            (WT_MAX_SESSIONS_DRAFT13, self.wt_max_sessions_draft13),
            (WT_ENABLED, self.wt_enabled),
            (WT_INITIAL_MAX_DATA, self.wt_initial_max_data),
            (WT_INITIAL_MAX_STREAMS_UNI, self.wt_initial_max_streams_uni),
            (WT_INITIAL_MAX_STREAMS_BIDI, self.wt_initial_max_streams_bidi),
        ];
        let max_field_section_size = self.max_field_section_size.map(|size| (MAX_FIELD_SECTION_SIZE, size));
        let present = settings.into_iter().filter(|&(_, value)| value != 0);
        for (id, value) in present.chain(max_field_section_size).chain([(GREASE, 0)]) {
            varint::encode(id, out);
            varint::encode(value, out);
        }
    }
}

/// Take the integer at the start of `payload`
fn integer(payload: &mut &[u8]) -> Result<u64, H3Code> {
    let (value, len) = varint::decode(payload).ok_or(H3Code::FRAME_ERROR)?; // RFC 9114 §7.1
    *payload = &payload[len..];
    Ok(value)
}

/// RFC 8441 §3, RFC 9297 §2.1.1: nothing but 0 and 1
fn boolean(value: u64) -> Result<bool, H3Code> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(H3Code::SETTINGS_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(settings: &[(u64, u64)]) -> BytesMut {
        let mut out = BytesMut::new();
        for &(id, value) in settings {
            varint::encode(id, &mut out);
            varint::encode(value, &mut out);
        }
        out
    }

    fn decode(settings: &[(u64, u64)]) -> Result<Settings, H3Code> {
        Settings::decode(&payload(settings))
    }

    fn everything() -> Settings {
        Settings {
            qpack_max_table_capacity: 1,
            max_field_section_size: Some(0),
            qpack_blocked_streams: 2,
            enable_connect_protocol: true,
            h3_datagram: true,
            h3_datagram_draft04: true,
            wt_draft02: true,
            wt_max_sessions_draft07: 3,
            wt_max_sessions_draft13: 4,
            wt_enabled: 1,
            wt_initial_max_data: varint::MAX,
            wt_initial_max_streams_uni: 5,
            wt_initial_max_streams_bidi: 6,
        }
    }

    #[test]
    fn settings_round_trip_with_one_to_be_ignored() {
        for settings in [Settings::default(), everything()] {
            let mut out = BytesMut::new();
            settings.encode(&mut out);
            assert_eq!(Settings::decode(&out), Ok(settings));
        }
        let mut out = BytesMut::new();
        Settings::default().encode(&mut out);
        assert_eq!(varint::decode(&out), Some((GREASE, 8)));
        assert_eq!((GREASE - 0x21) % 0x1f, 0);
    }

    #[test]
    fn identifiers_have_the_bytes_of_the_drafts() {
        type Field = fn(&Settings) -> u64;
        let cases: [(&[u8], Field); 9] = [
            (&[0xac, 0x7c, 0xf0, 0x00, 1], |settings| settings.wt_enabled),
            (&[0x6b, 0x64, 1], |settings| settings.wt_initial_max_streams_uni),
            (&[0x6b, 0x65, 1], |settings| settings.wt_initial_max_streams_bidi),
            (&[0x6b, 0x61, 1], |settings| settings.wt_initial_max_data),
            (&[0x33, 1], |settings| settings.h3_datagram.into()),
            (&[0xab, 0x60, 0x37, 0x42, 1], |settings| settings.wt_draft02.into()),
            (&[0xc0, 0, 0, 0, 0xc6, 0x71, 0x70, 0x6a, 1], |settings| settings.wt_max_sessions_draft07),
            (&[0x94, 0xe9, 0xcd, 0x29, 1], |settings| settings.wt_max_sessions_draft13),
            (&[0x80, 0xff, 0xd2, 0x77, 1], |settings| settings.h3_datagram_draft04.into()),
        ];
        for (bytes, field) in cases {
            assert_eq!(field(&Settings::decode(bytes).unwrap()), 1, "{bytes:02x?}");
        }
    }

    #[test]
    fn browsers_settings_are_understood() {
        let chromium = [(1, 65_536), (6, 16_384), (7, 100), (0x33, 1), (0xff_d277, 1), (0x2b60_3742, 1), (0xabcd_ef0102, 9)];
        let settings = decode(&chromium).unwrap();
        assert!(settings.wt_draft02 && settings.h3_datagram && settings.h3_datagram_draft04);
        assert_eq!(settings.max_field_section_size, Some(16_384));
        let firefox = decode(&[(1, 65_536), (7, 20), (0x2b60_3742, 1), (0xff_d277, 1), (0x33, 1), (8, 1)]).unwrap();
        for peer in [settings, firefox] {
            assert_eq!(Dialect::choose(&everything(), &peer), Some(Dialect::Draft02));
        }
    }

    #[test]
    fn reserved_duplicate_and_impossible_settings_are_errors() {
        let wrong: [&[(u64, u64)]; 10] = [
            &[(0x00, 0)],
            &[(0x02, 0)],
            &[(0x03, 0)],
            &[(0x04, 0)],
            &[(0x05, 0)],
            &[(0x33, 1), (0x33, 1)],
            &[(0x4242, 1), (0x33, 1), (0x4242, 2)],
            &[(0x08, 2)],
            &[(0x33, 2)],
            &[(0x2b60_3742, 2)],
        ];
        for settings in wrong {
            assert_eq!(decode(settings), Err(H3Code::SETTINGS_ERROR), "{settings:x?}");
        }
    }

    #[test]
    fn truncated_settings_are_frame_errors() {
        let mut out = BytesMut::new();
        everything().encode(&mut out);
        let mut boundaries = 0;
        for end in 0..out.len() {
            match Settings::decode(&out[..end]) {
                Ok(_) => boundaries += 1,
                Err(code) => assert_eq!(code, H3Code::FRAME_ERROR),
            }
        }
        assert_eq!(boundaries, 14, "before each of the fourteen settings");
    }

    #[test]
    fn more_settings_than_anyone_sends_are_refused() {
        let many: Vec<_> = (0..=MAX_SETTINGS as u64).map(|n| (0x1000 + n, 0)).collect();
        assert_eq!(decode(&many), Err(H3Code::EXCESSIVE_LOAD));
        assert_eq!(decode(&many[1..]), Ok(Settings::default()));
    }

    /// WT §7.1
    #[test]
    fn the_highest_version_of_both_wins() {
        let only = |dialect| {
            let mut settings = Settings::default();
            match dialect {
                Dialect::Draft02 => settings.wt_draft02 = true,
                Dialect::Draft07 => settings.wt_max_sessions_draft07 = 1,
                Dialect::Draft14 => settings.wt_max_sessions_draft13 = 1,
                Dialect::Draft16 => settings.wt_enabled = 7,
            }
            settings
        };
        for ours in Dialect::ALL {
            for theirs in Dialect::ALL {
                let common = (ours == theirs).then_some(ours);
                assert_eq!(Dialect::choose(&only(ours), &only(theirs)), common);
            }
            assert_eq!(Dialect::choose(&everything(), &only(ours)), Some(ours));
        }
        assert_eq!(Dialect::choose(&everything(), &everything()), Some(Dialect::Draft16));
        assert_eq!(Dialect::choose(&everything(), &Settings::default()), None);
        assert!(Dialect::ALL.is_sorted());
    }
}
