#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| docker::fuzz::fuzz_frame(data));
