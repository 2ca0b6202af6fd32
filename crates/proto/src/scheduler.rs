//! Whose bytes go next: sessions take turns, in a session its send groups do, and in a group the highest send order goes
//! first, where equals take turns again (WT §3.4; W3C WebTransport, "send order").
//!
//! QUIC takes about a congestion window more than it can send, and no more; what it has not taken waits with its stream.
//! So an urgent stream overtakes all that other streams wait to send.
//!
//! A turn is a number that grows with every quantum served. Who was served longest ago is next, also after having been blocked
//! for a while: nobody loses a turn by that.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use quinn_proto::StreamId;
use rustc_hash::FxHashMap;

/// Streams of a session that have nothing but their session in common are in this group
pub(crate) const NO_GROUP: u32 = 0;

/// What decides when a stream has its turn
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rank {
    pub(crate) group: u32,
    pub(crate) order: i64,
    /// When it was last served
    pub(crate) turn: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    /// The number of the last turn
    clock: u64,
    sessions: FxHashMap<StreamId, Session>,
    /// Sessions with a stream that is ready
    ready: BTreeSet<(u64, StreamId)>,
}

#[derive(Debug, Default)]
struct Session {
    turn: u64,
    groups: FxHashMap<u32, Group>,
    /// Groups with a stream that is ready
    ready: BTreeSet<(u64, u32)>,
}

#[derive(Debug, Default)]
struct Group {
    turn: u64,
    ready: BTreeSet<(Reverse<i64>, u64, StreamId)>,
}

/// Groups without a stream that is ready, of which a session remembers whose turn it was
const IDLE_GROUPS: usize = 32;

impl Session {
    /// An application may make a group for each of its messages: forget those that wait for nothing, once they are many, but for the
    /// one that is to be used now. Should one of them come back, it has a turn for nothing.
    fn forget_groups(&mut self, but: u32) {
        if self.groups.len() > 2 * self.ready.len() + IDLE_GROUPS {
            self.groups.retain(|&number, group| number == but || !group.ready.is_empty());
        }
    }
}

impl Scheduler {
    /// The rank of a stream that has never been served: behind whoever waits already, before whoever is served from now on
    pub(crate) fn newcomer(&self) -> Rank {
        Rank { group: NO_GROUP, order: 0, turn: self.clock }
    }

    /// A stream has something to send
    pub(crate) fn add(&mut self, session: StreamId, stream: StreamId, rank: Rank) {
        let found = self.sessions.entry(session).or_default();
        found.forget_groups(rank.group);
        let group = found.groups.entry(rank.group).or_default();
        if group.ready.is_empty() {
            if found.ready.is_empty() {
                self.ready.insert((found.turn, session));
            }
            found.ready.insert((group.turn, rank.group));
        }
        group.ready.insert((Reverse(rank.order), rank.turn, stream));
    }

    /// Take the stream whose turn it is
    pub(crate) fn pop(&mut self) -> Option<(StreamId, StreamId)> {
        let &(_, session) = self.ready.first()?;
        let found = self.sessions.get_mut(&session)?;
        let &(_, number) = found.ready.first()?;
        let group = found.groups.get_mut(&number)?;
        let (_, _, stream) = group.ready.pop_first()?;
        if group.ready.is_empty() {
            found.ready.pop_first();
            if found.ready.is_empty() {
                self.ready.pop_first();
            }
        }
        Some((session, stream))
    }

    /// Whether no stream waits for its turn
    pub(crate) fn is_idle(&self) -> bool {
        self.ready.is_empty()
    }

    /// A stream has nothing to send
    pub(crate) fn remove(&mut self, session: StreamId, stream: StreamId, rank: Rank) {
        let Some(found) = self.sessions.get_mut(&session) else { return };
        let Some(group) = found.groups.get_mut(&rank.group) else { return };
        if group.ready.remove(&(Reverse(rank.order), rank.turn, stream)) && group.ready.is_empty() {
            found.ready.remove(&(group.turn, rank.group));
            if found.ready.is_empty() {
                self.ready.remove(&(found.turn, session));
            }
        }
    }

    /// A stream that was taken was served: it, its group and its session have had their turn. Returns its new rank.
    pub(crate) fn served(&mut self, session: StreamId, rank: Rank) -> Rank {
        self.clock += 1;
        let turn = self.clock;
        let alone = self.sessions.len() == 1;
        let Some(found) = self.sessions.get_mut(&session) else { return Rank { turn, ..rank } };
        // Who has no rival needs no turn: to the first that comes it has been served long ago, which is worth one quantum
        if found.groups.len() > 1
            && let Some(group) = found.groups.get_mut(&rank.group)
        {
            if found.ready.remove(&(group.turn, rank.group)) {
                found.ready.insert((turn, rank.group));
            }
            group.turn = turn;
        }
        if !alone {
            if self.ready.remove(&(found.turn, session)) {
                self.ready.insert((turn, session));
            }
            found.turn = turn;
        }
        Rank { turn, ..rank }
    }

    /// No stream of this session will be added any more
    pub(crate) fn forget(&mut self, session: StreamId) {
        if let Some(found) = self.sessions.remove(&session) {
            self.ready.remove(&(found.turn, session));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quinn_proto::{Dir, Side, VarInt};

    const A: u64 = 0;
    const B: u64 = 4;

    fn stream(index: u64) -> StreamId {
        StreamId::new(Side::Client, Dir::Uni, index)
    }

    fn session(id: u64) -> StreamId {
        VarInt::from_u64(id).unwrap().into()
    }

    /// Streams that always have something to send, as (session, group, order), and who is served in 12 turns
    fn served(streams: &[(u64, u32, i64)]) -> Vec<usize> {
        let mut scheduler = Scheduler::default();
        let mut ranks: Vec<Rank> = streams.iter().map(|&(_, group, order)| Rank { group, order, ..scheduler.newcomer() }).collect();
        for (index, &(of, ..)) in streams.iter().enumerate() {
            scheduler.add(session(of), stream(index as u64), ranks[index]);
        }
        let turn = |_| {
            let (of, next) = scheduler.pop().unwrap();
            let index = next.index() as usize;
            ranks[index] = scheduler.served(of, ranks[index]);
            scheduler.add(of, next, ranks[index]);
            index
        };
        (0..12).map(turn).collect()
    }

    fn shares(streams: &[(u64, u32, i64)]) -> Vec<usize> {
        let served = served(streams);
        (0..streams.len()).map(|index| served.iter().filter(|&&of| of == index).count()).collect()
    }

    #[test]
    fn equals_take_turns() {
        assert_eq!(served(&[(A, 0, 0), (A, 0, 0), (A, 0, 0)])[..6], [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_highest_order_of_a_group_goes_first() {
        assert_eq!(shares(&[(A, 0, 0), (A, 0, 7), (A, 0, -1)]), [0, 12, 0]);
    }

    #[test]
    fn groups_are_fair_to_each_other_whatever_their_orders_and_number_of_streams() {
        assert_eq!(shares(&[(A, 1, 0), (A, 2, 1000), (A, 2, 999), (A, 0, -5)]), [4, 4, 0, 4]);
    }

    #[test]
    fn sessions_are_fair_to_each_other_whatever_their_number_of_streams() {
        assert_eq!(shares(&[(A, 0, 0), (B, 0, 0), (B, 0, 0), (B, 3, 9)]), [6, 2, 1, 3]);
    }

    #[test]
    fn whoever_was_blocked_keeps_its_place() {
        let mut scheduler = Scheduler::default();
        let of = session(A);
        let rank = scheduler.newcomer();
        let (a, b) = (stream(0), stream(1));
        scheduler.add(of, a, rank);
        scheduler.add(of, b, rank);
        assert_eq!(scheduler.pop(), Some((of, a)));
        let after = scheduler.served(of, rank);
        assert_eq!(scheduler.pop(), Some((of, b)));
        // Neither could send more, and both come back in another order
        scheduler.add(of, a, after);
        scheduler.add(of, b, rank);
        assert_eq!(scheduler.pop(), Some((of, b)));
    }

    #[test]
    fn groups_that_come_and_go_leave_nothing() {
        let mut scheduler = Scheduler::default();
        let of = session(A);
        for group in 0..1000 {
            let rank = Rank { group, ..scheduler.newcomer() };
            scheduler.add(of, stream(group.into()), rank);
            assert_eq!(scheduler.pop(), Some((of, stream(group.into()))));
            scheduler.served(of, rank);
        }
        assert!(scheduler.sessions[&of].groups.len() <= 1 + IDLE_GROUPS);
    }

    #[test]
    fn what_is_forgotten_is_not_served() {
        let mut scheduler = Scheduler::default();
        scheduler.add(session(A), stream(0), scheduler.newcomer());
        scheduler.forget(session(A));
        assert_eq!(scheduler.pop(), None);
    }
}
