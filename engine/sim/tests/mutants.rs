//! Every mutant still applies to the engine as it is. That each is caught is shown by
//! `cargo run -p haremq-sim --release --bin mutants`.

use std::path::Path;

use haremq_sim::mutants::{all, apply};

#[test]
fn every_mutant_applies() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let mut failed = Vec::new();
    for mutant in all() {
        let text = std::fs::read_to_string(sources.join(mutant.file)).unwrap_or_default();
        failed.extend(apply(mutant, &text).err());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(all().count() >= 15);
}
