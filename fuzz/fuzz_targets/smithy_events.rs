#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| smithy::fuzz::fuzz_events(data));
