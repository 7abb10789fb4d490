//! Pages of the documentation that are made of the code: a test compares them, and writes them where it is told to.

use std::path::Path;

/// Fails where the page is not what the code says. `UPDATE_DOCS=1` writes it instead.
pub(crate) fn up_to_date(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some_and(|set| set == "1") {
        assert!(std::fs::write(&path, page).is_ok(), "{} cannot be written", path.display());
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/{name} is not what the code says; UPDATE_DOCS=1 cargo test -p cleanroom-vault writes it"
    );
}
