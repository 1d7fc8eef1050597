#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| buildkit::fuzz::fuzz_frames(data));
