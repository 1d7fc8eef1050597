#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway::fuzz::fuzz_answer(data));
