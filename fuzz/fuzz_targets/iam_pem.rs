#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| service_iam::fuzz_pem(data));
