//! JSON that comes with images, and JSON that the engine has written itself before a disk damaged it.
#![no_main]

use coracle_image::ImageConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(config) = serde_json::from_slice::<ImageConfig>(bytes) {
        // What can be read can be written and read again.
        let text = serde_json::to_vec(&config).expect("JSON");
        assert!(serde_json::from_slice::<ImageConfig>(&text).is_ok());
    }
    coracle_image::fuzzing::parse_manifest(bytes);
    coracle_engine::fuzzing::parse_files(bytes);
});
