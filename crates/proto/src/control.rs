//! The peer's control stream: SETTINGS first, then what changes the connection (RFC 9114 §6.2.1).

use bytes::Bytes;
use quinn_proto::{Side, StreamId, VarInt};

use crate::code::H3Code;
use crate::frame::{Frame, FrameDecoder};
use crate::settings::Settings;

#[derive(Debug)]
pub(crate) struct Control {
    frames: FrameDecoder,
    /// Which side the peer is on
    peer: Side,
    settings_seen: bool,
    /// The last GOAWAY's id: it may not grow (RFC 9114 §5.2)
    goaway: Option<u64>,
    /// A client's: it may not shrink (RFC 9114 §7.2.7)
    max_push_id: u64,
}

/// What the control stream says that the connection must act on
#[derive(Debug)]
pub(crate) enum Instruction {
    Settings(Settings),
    /// A server's names the first request that it does not process
    Goaway(StreamId),
}

/// SETTINGS of 4 KiB hold hundreds of them
const MAX_SETTINGS: usize = 4096;

impl Control {
    pub(crate) fn new(peer: Side) -> Self {
        Self { frames: FrameDecoder::new(MAX_SETTINGS), peer, settings_seen: false, goaway: None, max_push_id: 0 }
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        self.frames.push(data);
    }

    /// The next instruction of what was pushed
    pub(crate) fn next(&mut self) -> Result<Option<Instruction>, H3Code> {
        while let Some(frame) = self.frames.next()? {
            match frame {
                Frame::Settings(payload) if !self.settings_seen => {
                    self.settings_seen = true;
                    return Settings::decode(&payload).map(|settings| Some(Instruction::Settings(settings)));
                }
                _ if !self.settings_seen => return Err(H3Code::MISSING_SETTINGS), // RFC 9114 §6.2.1
                Frame::Goaway(id) => {
                    return self.goaway(id).map(|id| Some(Instruction::Goaway(id)));
                }
                // We never push, so there is nothing to limit or to cancel (RFC 9114 §7.2.3, §7.2.7)
                Frame::MaxPushId(id) if self.peer == Side::Client && id >= self.max_push_id => self.max_push_id = id,
                Frame::MaxPushId(_) if self.peer == Side::Client => return Err(H3Code::ID_ERROR),
                Frame::CancelPush(_) => return Err(H3Code::ID_ERROR),
                Frame::Unknown => {}
                Frame::WebTransportStream => return Err(H3Code::FRAME_ERROR), // WT §4.3
                _ => return Err(H3Code::FRAME_UNEXPECTED),
            }
        }
        Ok(None)
    }

    fn goaway(&mut self, id: u64) -> Result<StreamId, H3Code> {
        let is_request = id % 4 == 0;
        if self.peer == Side::Server && !is_request || self.goaway.is_some_and(|last| id > last) {
            return Err(H3Code::ID_ERROR); // RFC 9114 §5.2
        }
        self.goaway = Some(id);
        VarInt::from_u64(id).map(StreamId::from).map_err(|_| H3Code::ID_ERROR)
    }
}
