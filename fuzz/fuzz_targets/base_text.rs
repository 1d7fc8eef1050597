#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| base::fuzz::fuzz_text(data));
