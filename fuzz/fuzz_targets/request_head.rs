//! Heads of requests: what is sniffed, paths, versions, queries, filters.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| coracle_api::fuzzing::head(bytes));
