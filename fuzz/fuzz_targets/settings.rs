#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| webtransport_proto::properties::settings(data));
