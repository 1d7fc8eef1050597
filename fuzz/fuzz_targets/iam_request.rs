#![no_main]
thread_local!(static ON: api::testing::World = api::testing::World::default());
libfuzzer_sys::fuzz_target!(|data: &[u8]| ON.with(|on| service_iam::fuzz::fuzz_request(on, data)));
