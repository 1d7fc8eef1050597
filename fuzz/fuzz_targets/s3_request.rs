#![no_main]
thread_local!(static ON: service_s3::fuzz::Cloud = service_s3::fuzz::Cloud::default());
libfuzzer_sys::fuzz_target!(|data: &[u8]| ON.with(|on| service_s3::fuzz::fuzz_request(on, data)));
