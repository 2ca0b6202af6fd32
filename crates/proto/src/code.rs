//! Error codes of HTTP/3, QPACK and WebTransport, and how an application's codes travel among them (WT §4.4).

use std::fmt;

use quinn_proto::VarInt;

/// An error code on the wire: what RESET_STREAM, STOP_SENDING and CONNECTION_CLOSE carry
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct H3Code(u64);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl H3Code {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The name in the specifications, if it is one of theirs
            fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// A datagram or capsule could not be parsed (RFC 9297 §5.2)
    DATAGRAM_ERROR = 0x33, "H3_DATAGRAM_ERROR";
    /// Nothing went wrong (RFC 9114 §8.1)
    NO_ERROR = 0x100, "H3_NO_ERROR";
    /// The peer broke a rule that has no code of its own
    GENERAL_PROTOCOL_ERROR = 0x101, "H3_GENERAL_PROTOCOL_ERROR";
    /// Something failed inside the sender
    INTERNAL_ERROR = 0x102, "H3_INTERNAL_ERROR";
    /// The peer opened a stream that it may not open
    STREAM_CREATION_ERROR = 0x103, "H3_STREAM_CREATION_ERROR";
    /// A stream that the connection needs was closed
    CLOSED_CRITICAL_STREAM = 0x104, "H3_CLOSED_CRITICAL_STREAM";
    /// A frame that is not allowed here or now
    FRAME_UNEXPECTED = 0x105, "H3_FRAME_UNEXPECTED";
    /// A frame whose layout or size is wrong
    FRAME_ERROR = 0x106, "H3_FRAME_ERROR";
    /// The peer causes more work than is acceptable
    EXCESSIVE_LOAD = 0x107, "H3_EXCESSIVE_LOAD";
    /// An id that is out of range, reused, or grew when it may not
    ID_ERROR = 0x108, "H3_ID_ERROR";
    /// A fault in the SETTINGS frame
    SETTINGS_ERROR = 0x109, "H3_SETTINGS_ERROR";
    /// The control stream did not begin with SETTINGS
    MISSING_SETTINGS = 0x10a, "H3_MISSING_SETTINGS";
    /// The server did not process the request at all
    REQUEST_REJECTED = 0x10b, "H3_REQUEST_REJECTED";
    /// The request, or its answer, is no longer wanted
    REQUEST_CANCELLED = 0x10c, "H3_REQUEST_CANCELLED";
    /// The stream ended before the request was complete
    REQUEST_INCOMPLETE = 0x10d, "H3_REQUEST_INCOMPLETE";
    /// A malformed message
    MESSAGE_ERROR = 0x10e, "H3_MESSAGE_ERROR";
    /// What a CONNECT request was connected to was reset
    CONNECT_ERROR = 0x10f, "H3_CONNECT_ERROR";
    /// The request should be tried over HTTP/1.1
    VERSION_FALLBACK = 0x110, "H3_VERSION_FALLBACK";
    /// A field section could not be decoded (RFC 9204 §6)
    QPACK_DECOMPRESSION_FAILED = 0x200, "QPACK_DECOMPRESSION_FAILED";
    /// An instruction on the encoder stream could not be followed
    QPACK_ENCODER_STREAM_ERROR = 0x201, "QPACK_ENCODER_STREAM_ERROR";
    /// An instruction on the decoder stream could not be followed
    QPACK_DECODER_STREAM_ERROR = 0x202, "QPACK_DECODER_STREAM_ERROR";
    /// The session asked for more, or sent more, than flow control permits (WT §5)
    WT_FLOW_CONTROL_ERROR = 0x045d_4487, "WT_FLOW_CONTROL_ERROR";
    /// The two sides found no application protocol (WT §3.3)
    WT_ALPN_ERROR = 0x0817_b3dd, "WT_ALPN_ERROR";
    /// The stream's session is over (WT §6)
    WT_SESSION_GONE = 0x170d_7b68, "WT_SESSION_GONE";
    /// The peer lacks a setting or transport parameter (WT §3.1)
    WT_REQUIREMENTS_NOT_MET = 0x212c_0d48, "WT_REQUIREMENTS_NOT_MET";
    /// The stream came before its session, and too many others did (WT §4.6)
    WT_BUFFERED_STREAM_REJECTED = 0x3994_bd84, "WT_BUFFERED_STREAM_REJECTED";
}

impl H3Code {
    /// The number
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl From<u64> for H3Code {
    fn from(code: u64) -> Self {
        Self(code)
    }
}

impl From<H3Code> for VarInt {
    /// Whatever does not fit in QUIC's 62 bits becomes the largest value that does
    fn from(code: H3Code) -> Self {
        Self::from_u64(code.0).unwrap_or(Self::MAX)
    }
}

impl fmt::Display for H3Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

impl fmt::Debug for H3Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// WT_APPLICATION_ERROR: the first and the last of the codes that stand for an application's (WT §4.4)
const FIRST: u64 = 0x52e4_a40f_a8db;
const LAST: u64 = 0x52e5_ac98_3162;

/// An application's code, as RESET_STREAM and STOP_SENDING carry it
#[must_use]
pub fn to_http(code: u32) -> H3Code {
    let code = u64::from(code);
    H3Code(FIRST + code + code / 0x1e) // one code in 31 is reserved for GREASE (RFC 9114 §8.1)
}

/// The application's code that `code` stands for; `None`: it stands for none
#[must_use]
pub fn from_http(code: H3Code) -> Option<u32> {
    let H3Code(code) = code;
    if !(FIRST..=LAST).contains(&code) || (code - 0x21) % 0x1f == 0 {
        return None;
    }
    let shifted = code - FIRST;
    u32::try_from(shifted - shifted / 0x1f).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn application_codes_map_as_in_the_draft() {
        let vectors: [(u32, u64); 17] = [
            (0, 0x52e4_a40f_a8db),
            (1, 0x52e4_a40f_a8dc),
            (28, 0x52e4_a40f_a8f7),
            (29, 0x52e4_a40f_a8f8),
            (30, 0x52e4_a40f_a8fa),
            (31, 0x52e4_a40f_a8fb),
            (52, 0x52e4_a40f_a910),
            (59, 0x52e4_a40f_a917),
            (60, 0x52e4_a40f_a919),
            (95, 0x52e4_a40f_a93d),
            (139, 0x52e4_a40f_a96a),
            (255, 0x52e4_a40f_a9e2),
            (256, 0x52e4_a40f_a9e3),
            (30_000, 0x52e4_a410_21f3),
            (65_535, 0x52e4_a410_b162),
            (0x7fff_ffff, 0x52e5_2853_ed1e),
            (0xffff_ffff, 0x52e5_ac98_3162),
        ];
        for (n, wire) in vectors {
            assert_eq!(to_http(n).as_u64(), wire, "{n}");
            assert_eq!(from_http(H3Code(wire)), Some(n), "{wire:#x}");
        }
    }

    #[test]
    fn codes_outside_the_range_or_reserved_are_not_the_applications() {
        for wire in [
            0x52e4_a40f_a8da,
            0x52e4_a40f_a8f9,
            0x52e4_a40f_a918,
            0x52e4_a40f_a937,
            0x52e4_a40f_a956,
            0x52e5_ac98_3152,
            0x52e5_ac98_3163,
            0x10c,
            0x170d_7b68,
            0,
            u64::MAX,
        ] {
            assert_eq!(from_http(H3Code(wire)), None, "{wire:#x}");
        }
    }

    #[test]
    fn application_codes_round_trip() {
        for n in (0..=u32::MAX).step_by(65_521) {
            let wire = to_http(n);
            assert_ne!((wire.as_u64() - 0x21) % 0x1f, 0, "{n} must not become a reserved code");
            assert_eq!(from_http(wire), Some(n));
        }
    }

    #[test]
    fn known_codes_show_their_names_and_others_their_numbers() {
        assert_eq!(H3Code::SETTINGS_ERROR.to_string(), "H3_SETTINGS_ERROR");
        assert_eq!(format!("{:?}", H3Code::WT_SESSION_GONE), "WT_SESSION_GONE");
        assert_eq!(H3Code::from(0x4242).to_string(), "0x4242");
    }

    #[test]
    fn a_code_too_large_for_quic_is_cut() {
        assert_eq!(VarInt::from(H3Code::NO_ERROR).into_inner(), 0x100);
        assert_eq!(VarInt::from(H3Code::from(u64::MAX)), VarInt::MAX);
    }
}
