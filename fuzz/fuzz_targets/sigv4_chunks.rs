#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sigv4::fuzz::fuzz_chunks(data));
