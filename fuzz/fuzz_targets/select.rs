#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| select::fuzz::fuzz_select(data));
