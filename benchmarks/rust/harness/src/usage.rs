//! What this process has used so far: as `benchmarks/usage.py` tells it.

use std::fs;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde_json::{Value, json};

/// CPU in seconds; context switches; memory in bytes, its peak since the last call
pub(crate) fn usage() -> Value {
    let spent = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let cpu = (spent.user_time().num_microseconds() + spent.system_time().num_microseconds()) as f64 / 1e6;
    let switches = spent.voluntary_context_switches() + spent.involuntary_context_switches();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").parse::<u64>().ok()
    };
    let memory = kib("VmRSS").unwrap_or_default() << 10;
    let peak = kib("VmHWM").unwrap_or(spent.max_rss() as u64) << 10;
    let _ = fs::write("/proc/self/clear_refs", "5"); // elsewhere than on Linux the peak is that of the whole life
    json!({ "cpu": cpu, "switches": switches, "peak": peak, "memory": memory })
}
