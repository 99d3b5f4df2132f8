//! Reads the project's own sources, for the rules that no compiler checks.

use crate::binaries::workspace;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the project, its path relative to the top.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Relative to the top, with forward slashes.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Every text file of the project: those git knows or would add, or, in a copy without git, all but build output.
pub fn files() -> Vec<SourceFile> {
    let top = workspace();
    let listed = Command::new("git")
        .current_dir(top)
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .output();
    let paths: Vec<PathBuf> = match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            let names = String::from_utf8_lossy(&output.stdout).into_owned();
            names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect()
        }
        _ => walk(top, Path::new("")),
    };
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(top.join(&path)).ok()?;
        Some(SourceFile { path: path.to_string_lossy().replace('\\', "/"), text })
    };
    paths.into_iter().filter_map(read).collect()
}

fn walk(top: &Path, below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(top.join(below)).expect("the sources can be read").flatten() {
        let path = below.join(entry.file_name());
        let name = entry.file_name();
        if [".git", "target", "haremq-data", ".venv"].iter().any(|skipped| name == *skipped) {
            continue;
        }
        if entry.path().is_dir() {
            found.extend(walk(top, &path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The Rust files below `directory`, which must hold some.
pub fn rust_files(directory: &str) -> Vec<SourceFile> {
    let below = |file: &SourceFile| file.path.starts_with(directory) && file.path.ends_with(".rs");
    let found: Vec<SourceFile> = files().into_iter().filter(below).collect();
    assert!(!found.is_empty(), "no Rust file below {directory}");
    found
}

/// Rust text without its comments and without what stands in string literals, line for line.
///
/// Raw strings are taken up to their closing quote and hash; character literals of a quote are known.
pub fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            'r' if rest.starts_with("r\"") => end_after(rest, 2, "\""),
            'r' if rest.starts_with("r#\"") => end_after(rest, 3, "\"#"),
            '"' => end_of_string(rest),
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\\"'") => 4,
            _ => 0,
        };
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            // Line numbers stay.
            code.extend(rest[..skipped].matches('\n').map(|_| '\n'));
            rest = &rest[skipped..];
        }
    }
    code
}

fn end_after(text: &str, start: usize, end: &str) -> usize {
    text[start..].find(end).map_or(text.len(), |at| start + at + end.len())
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_not_code() {
        let text = "let a = \"glommio \\\" x\"; // tokio\nlet b = '\"'; /* std::fs\n */ r\"rand\" r#\"unsafe\"# c";
        let code = code_only(text);
        for word in ["glommio", "tokio", "std::fs", "rand", "unsafe"] {
            assert!(!code.contains(word), "{word} in {code}");
        }
        assert!(code.ends_with(" c"));
        assert_eq!(code.lines().count(), text.lines().count());
    }
}
