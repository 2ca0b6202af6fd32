//! A congestion controller that is looked over the shoulder, for figures that QUIC does not tell.
//!
//! quinn keeps the variation of the round-trip time to itself, and does not count what was acknowledged. Both can be
//! learned by its controller, which hears of every acknowledgement; so every controller is wrapped in one that passes all calls
//! on and writes down what it hears. It does more than listen three times: the packet that closes a connection waits for no window, no
//! window is smaller than a few packets, and on loopback it has a limit.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};

/// What was heard. One thread writes and reads it, the one that turns the connection; atomics, since quinn wants `Sync`.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Bytes of acknowledged packets, since the last `take_acknowledged`
    acknowledged: AtomicU64,
    /// The network, not the application, was what held back the data
    at_capacity: AtomicBool,
    /// Only CONNECTION_CLOSE is left to send
    closing: AtomicBool,
    /// An estimate of the round-trip time was made that `observe` has not seen
    news: AtomicBool,
    /// The estimate before, and the variation, in nanoseconds; none yet: `NONE`
    smoothed: AtomicU64,
    variation: AtomicU64,
}

const NONE: u64 = u64::MAX;

/// Packets that fit into every window. RFC 9002 §7.2 recommends two, of which quinn fills one: it wants a byte to spare. To an address
/// that is not validated it sends long packets that ask for no acknowledgement, and has no timer for them. One that is lost takes its part
/// of the window until later packets are acknowledged, and for those there must be room.
const FEWEST: u64 = 4;

impl Default for Meter {
    fn default() -> Self {
        Self {
            acknowledged: AtomicU64::new(0),
            at_capacity: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            news: AtomicBool::new(false),
            smoothed: AtomicU64::new(NONE),
            variation: AtomicU64::new(NONE),
        }
    }
}

impl Meter {
    /// Bytes of the packets that were acknowledged since this was last asked
    pub(crate) fn take_acknowledged(&self) -> u64 {
        self.acknowledged.swap(0, Relaxed)
    }

    /// Whether the network was what held back the data, when an acknowledgement last came
    pub(crate) fn at_capacity(&self) -> bool {
        self.at_capacity.load(Relaxed)
    }

    /// Let what closes the connection leave at once: it is not congestion controlled (RFC 9002 §2), but quinn holds it back with the
    /// data that waited before it
    pub(crate) fn close(&self) {
        self.closing.store(true, Relaxed);
    }

    /// How much round-trip times vary (RFC 9002 §5.3), `rtt` being the smoothed one of now; `None` before the first sample
    pub(crate) fn rtt_variation(&self, rtt: Duration) -> Option<Duration> {
        self.observe(rtt);
        Some(self.variation.load(Relaxed)).filter(|&variation| variation != NONE).map(Duration::from_nanos)
    }

    /// Work out the sample that made the estimate what it is now, and from that the variation
    fn observe(&self, rtt: Duration) {
        if !self.news.load(Relaxed) {
            return;
        }
        self.news.store(false, Relaxed);
        let now = u64::try_from(rtt.as_nanos()).unwrap_or(NONE - 1);
        let before = self.smoothed.load(Relaxed);
        self.smoothed.store(now, Relaxed);
        let variation = if before == NONE {
            now / 2
        } else {
            // smoothed = 7/8 before + 1/8 sample; |before - sample| is eight times what the estimate moved
            let deviation = before.abs_diff(now).saturating_mul(8);
            (self.variation.load(Relaxed).saturating_mul(3).saturating_add(deviation)) / 4
        };
        self.variation.store(variation.min(NONE - 1), Relaxed);
    }
}

/// Makes metered controllers
pub(crate) struct Metered<F> {
    factory: Arc<F>,
    limit: u64,
}

impl<F> Metered<F> {
    /// Around those of `factory`, with windows of at most `limit` bytes
    pub(crate) fn new(factory: F, limit: u64) -> Self {
        Self { factory: Arc::new(factory), limit }
    }
}

impl<F: ControllerFactory + Send + Sync + 'static> ControllerFactory for Metered<F> {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let controller = Arc::clone(&self.factory).build(now, current_mtu);
        Box::new(MeteredController {
            controller,
            mtu: current_mtu,
            limit: self.limit,
            meter: Arc::default(),
            largest: None,
            eliciting: false,
        })
    }
}

/// What a controller hears
///
/// It is the one of the connection's path now: a peer that moves gets another.
pub(crate) fn meter(controller: &dyn Controller) -> Option<Arc<Meter>> {
    let metered = controller.clone_box().into_any().downcast::<MeteredController>();
    metered.ok().map(|metered| metered.meter)
}

struct MeteredController {
    controller: Box<dyn Controller>,
    /// A packet, in bytes
    mtu: u16,
    /// What its window is cut to, in bytes
    limit: u64,
    meter: Arc<Meter>,
    /// The largest packet number that was acknowledged
    largest: Option<u64>,
    /// This acknowledgement is of a packet that asked for one: only such make estimates (RFC 9002 §5.1)
    eliciting: bool,
}

impl MeteredController {
    fn bounded(&self, window: u64) -> u64 {
        window.max(FEWEST * u64::from(self.mtu)).min(self.limit)
    }
}

impl Controller for MeteredController {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.controller.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.meter.observe(rtt.get()); // quinn updates it behind this call
        self.meter.acknowledged.store(self.meter.acknowledged.load(Relaxed) + bytes, Relaxed);
        self.eliciting = true;
        self.controller.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_packet_num_acked: Option<u64>) {
        if std::mem::take(&mut self.eliciting) && self.largest != largest_packet_num_acked {
            self.meter.news.store(true, Relaxed);
        }
        self.largest = largest_packet_num_acked;
        self.meter.at_capacity.store(!app_limited, Relaxed);
        self.controller.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        self.controller.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu;
        self.controller.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.meter.closing.load(Relaxed) { u64::MAX } else { self.bounded(self.controller.window()) }
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.controller.metrics();
        metrics.congestion_window = self.bounded(metrics.congestion_window);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { controller: self.controller.clone_box(), meter: Arc::clone(&self.meter), ..*self })
    }

    fn initial_window(&self) -> u64 {
        self.controller.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use quinn_proto::congestion::CubicConfig;

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // any instant will do
    fn a_few_packets_fit_into_every_window() {
        let now = Instant::now();
        let mut controller = Arc::new(Metered::new(CubicConfig::default(), u64::MAX)).build(now, 1200);
        controller.on_congestion_event(now, now, true, 100_000);
        assert_eq!(controller.window(), 4 * 1200);
        controller.on_mtu_update(1452);
        assert_eq!(controller.clone_box().window(), 4 * 1452);
        assert_eq!(controller.metrics().congestion_window, 4 * 1452);
    }

    #[test]
    fn the_variation_follows_from_the_estimates() {
        // RFC 9002 §5.3, with samples of 100, 100, 140 and 60 ms
        let meter = Meter::default();
        assert_eq!(meter.rtt_variation(Duration::from_millis(333)), None); // before the first sample
        let (mut smoothed, mut variation) = (Duration::from_millis(100), Duration::from_millis(50));
        meter.news.store(true, Relaxed);
        assert_eq!(meter.rtt_variation(smoothed), Some(variation));
        for sample in [100, 140, 60].map(Duration::from_millis) {
            variation = (3 * variation + smoothed.abs_diff(sample)) / 4;
            smoothed = (7 * smoothed + sample) / 8;
            meter.news.store(true, Relaxed);
            let measured = meter.rtt_variation(smoothed).unwrap();
            assert!(measured.abs_diff(variation) < Duration::from_nanos(20), "{measured:?} {variation:?}");
            assert_eq!(meter.rtt_variation(smoothed), Some(measured)); // no news, no change
        }
    }
}
