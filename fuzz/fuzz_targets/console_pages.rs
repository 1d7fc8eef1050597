#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| console::fuzz::fuzz_console(bytes));
