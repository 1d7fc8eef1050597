#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| expression::partiql::fuzz_partiql(data));
