//! One UDP socket: batches, segmentation offload both ways, ECN, and the transmit that would block.
//!
//! An IPv6 socket serves both families, and the system shows IPv4 peers as `::ffff:a.b.c.d`. Nobody else sees that:
//! addresses are plain on this side of the module, and mapped where the system wants them so.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BytesMut;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use webtransport_proto::{EcnCodepoint, Transmit};

use crate::buffers::{self, Buffers};

/// Receive buffers; more are of no use to the system
const RECEIVE_BATCH: usize = if BATCH_SIZE < 16 { BATCH_SIZE } else { 16 };

/// From this length on a receive buffer is given away instead of copied; its unused part then costs at most three times
/// as much memory as the bytes in it
const GIVE_AWAY: usize = buffers::LENGTH / 4;

/// What the kernel may hold for us: at 1 GB/s some four milliseconds, in which a reactor may be off its processor
const KERNEL_BUFFER: usize = 4 << 20;

/// The most that one UDP send can carry, also in segments: 65 535 less the headers of IPv6 and UDP
const MAX_SEND: usize = 65_535 - 40 - 8;

/// The most segments in one send: as many of an Ethernet's packets as [`MAX_SEND`] holds
const MAX_SEGMENTS: usize = MAX_SEND / 1_452;

/// A socket, and what it was not able to send yet
#[derive(Debug)]
pub(crate) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    /// IPv4 addresses are mapped
    is_v6: bool,
    buffers: Vec<BytesMut>,
    metas: [RecvMeta; RECEIVE_BATCH],
    /// What the thread's poll is asked to tell
    interest: Option<Interest>,
}

/// Some datagrams of one sender, all of `stride` bytes but for the last
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) remote: SocketAddr,
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) ecn: Option<EcnCodepoint>,
    pub(crate) stride: usize,
    pub(crate) data: BytesMut,
}

impl Socket {
    /// A server's socket. `[::]` serves IPv4 as well.
    pub(crate) fn server(bind: SocketAddr) -> io::Result<Self> {
        let dual = bind.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        Self::bind(bind, dual)
    }

    /// A client's socket: for both families where there is IPv6
    pub(crate) fn client() -> io::Result<Self> {
        Self::bind((Ipv6Addr::UNSPECIFIED, 0).into(), true).or_else(|_| Self::bind((Ipv4Addr::UNSPECIFIED, 0).into(), false))
    }

    fn bind(address: SocketAddr, dual: bool) -> io::Result<Self> {
        let socket = RawSocket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!dual)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        // The system may allow less
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
        let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
        let io = UdpSocket::from_std(socket.into());
        let state = UdpSocketState::new((&io).into())?;
        Ok(Self {
            io,
            state,
            is_v6: address.is_ipv6(),
            buffers: (0..RECEIVE_BATCH).map(|_| buffers::fresh()).collect(),
            metas: [RecvMeta::default(); RECEIVE_BATCH],
            interest: None,
        })
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.io.local_addr().map(plain)
    }

    /// What an event loop can watch
    #[cfg(unix)]
    pub(crate) fn fileno(&self) -> u64 {
        use std::os::fd::AsRawFd as _;
        u64::try_from(self.io.as_raw_fd()).unwrap_or_default()
    }

    #[cfg(windows)]
    pub(crate) fn fileno(&self) -> u64 {
        use std::os::windows::io::AsRawSocket as _;
        self.io.as_raw_socket()
    }

    /// Have the poll tell, or not, when there is something to read, and when there is room to send
    pub(crate) fn watch(&mut self, registry: &Registry, token: Token, readable: bool, writable: bool) -> io::Result<()> {
        let interest = match (readable, writable) {
            (false, false) => None,
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
        };
        if interest == self.interest {
            return Ok(());
        }
        match (self.interest, interest) {
            (None, Some(interest)) => registry.register(&mut self.io, token, interest)?,
            (_, Some(interest)) => registry.reregister(&mut self.io, token, interest)?,
            (_, None) => registry.deregister(&mut self.io)?,
        }
        self.interest = interest;
        Ok(())
    }

    /// Receive a batch, added to `received`; new buffers are those of `spares`. Returns whether there may be more.
    ///
    /// # Errors
    /// Whatever the system says but that there is nothing. It may be about an earlier send, and harms nobody.
    pub(crate) fn receive(&mut self, received: &mut VecDeque<Received>, spares: &Buffers) -> io::Result<bool> {
        let mut slices = self.buffers.iter_mut();
        let mut slices: [IoSliceMut<'_>; RECEIVE_BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(slices.next().map_or(&mut [], |buffer| &mut buffer[..])));
        let n = match self.io.try_io(|| self.state.recv(UdpSockRef::from(&self.io), &mut slices, &mut self.metas)) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        for (meta, buffer) in self.metas[..n].iter().zip(&mut self.buffers) {
            let data = if meta.len < GIVE_AWAY {
                BytesMut::from(&buffer[..meta.len])
            } else {
                let mut given = std::mem::replace(buffer, spares.take());
                given.truncate(meta.len);
                given
            };
            received.push_back(Received {
                remote: plain(meta.addr),
                local_ip: meta.dst_ip.map(|ip| ip.to_canonical()),
                ecn: meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                stride: meta.stride.max(1),
                data,
            });
        }
        // A short batch means that the system had no more
        Ok(n == RECEIVE_BATCH)
    }

    /// How many segments a transmit may have
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments().min(MAX_SEGMENTS)
    }

    /// Send from `sent` on, which is moved on by what was sent. Returns false where the system has no room: try again
    /// when it is writable.
    pub(crate) fn send(&self, transmit: &Transmit, contents: &[u8], sent: &mut usize) -> bool {
        let ecn = transmit.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8));
        let segment = transmit.segment_size.unwrap_or(contents.len()).max(1);
        // As many whole segments as one send can carry
        let stride = (MAX_SEND.min(self.max_segments().max(1) * segment) / segment).max(1) * segment;
        while *sent < contents.len() {
            let end = contents.len().min(*sent + stride);
            let piece = quinn_udp::Transmit {
                destination: self.mapped(transmit.destination),
                ecn,
                contents: &contents[*sent..end],
                segment_size: transmit.segment_size,
                src_ip: transmit.src_ip.map(|ip| self.mapped((ip, 0).into()).ip()),
            };
            match self.io.try_io(|| self.state.try_send(UdpSockRef::from(&self.io), &piece)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // A probe of the path's MTU that was too long, a route that is gone, a firewall: QUIC takes it for a loss
                Err(error) => tracing::debug!(%error, destination = %transmit.destination, "cannot send"),
            }
            *sent = end;
        }
        true
    }

    fn mapped(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V4(v4) if self.is_v6 => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
            address => address,
        }
    }
}

/// An address as people write it
fn plain(address: SocketAddr) -> SocketAddr {
    match address {
        // A scope is part of an IPv6 address: leave those that are not mapped as they are
        SocketAddr::V6(v6) => v6.ip().to_ipv4_mapped().map_or(address, |ip| (ip, v6.port()).into()),
        address => address,
    }
}
