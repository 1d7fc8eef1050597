#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| item::fuzz::fuzz_item(data));
