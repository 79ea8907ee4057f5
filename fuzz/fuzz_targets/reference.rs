//! Names of images: a name has one full and one familiar form, and both mean it.
#![no_main]

use coracle_image::{Digest, Reference};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = text.parse::<Digest>();
    let Ok(reference) = Reference::parse(text) else {
        return;
    };
    for form in [reference.to_string(), reference.familiar()] {
        let again = Reference::parse(&form).expect("a name");
        assert_eq!(again.to_string(), reference.to_string(), "{text:?} {form:?}");
    }
    let tagged = reference.with_default_tag();
    assert!(tagged.tag.is_some() || tagged.digest.is_some());
});
