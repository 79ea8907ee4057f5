//! Bodies of requests: everything that creating a container looks at before it makes anything, and limits.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| coracle_api::fuzzing::body(bytes));
