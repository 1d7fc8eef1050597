#![no_main]
thread_local!(static ON: store::fuzz::Folder = store::fuzz::Folder::default());
libfuzzer_sys::fuzz_target!(|data: &[u8]| ON.with(|on| store::fuzz::fuzz_folder(on, data)));
