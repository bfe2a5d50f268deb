//! `benches/RESULTS.md`: each benchmark that writes there has a section of its own, and leaves the others alone.

use std::path::PathBuf;

const HEAD: &str =
    "# Results\n\nEach section says the day and the command. *Peers* is written by its benchmark.\n";

/// The folder of the benchmarks, where cargo runs them. A path from the time of the build could be that of another
/// checkout with the same target directory.
pub fn folder() -> PathBuf {
    PathBuf::from(".")
}

/// Puts this text where the section of this name stood, or at the end.
pub fn write_section(name: &str, text: &str) {
    let file = folder().join("RESULTS.md");
    let old = std::fs::read_to_string(&file).unwrap_or_else(|_| HEAD.to_owned());
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let section = format!("{begin}\n\n{}\n\n{end}\n", text.trim());
    let new = match (old.split_once(&begin), old.split_once(&end)) {
        (Some((before, _)), Some((_, after))) => {
            format!("{before}{section}{}", after.trim_start_matches('\n'))
        }
        _ => format!("{}\n\n{section}", old.trim_end()),
    };
    std::fs::write(file, new).unwrap();
}
