#![no_main]
thread_local!(static ON: service_dynamodb::fuzz::Cloud = service_dynamodb::fuzz::Cloud::default());
libfuzzer_sys::fuzz_target!(
    |data: &[u8]| ON.with(|on| service_dynamodb::fuzz::fuzz_request(on, data))
);
