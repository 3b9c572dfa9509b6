//! The documents: links lead somewhere, and README stays one page.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Markdown files of the root, docs and results.
fn pages() -> BTreeMap<PathBuf, String> {
    let of = |dir: &str| {
        fs::read_dir(root().join(dir))
            .expect("the directory is there")
            .map(|e| e.expect("it can be read").path())
    };
    [".", "docs", "results"]
        .into_iter()
        .flat_map(of)
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .map(|path| (path.clone(), fs::read_to_string(path).expect("pages are UTF-8")))
        .collect()
}

/// What `#...` means: headings in lower case, spaces as `-`, without punctuation.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
            let text = line.trim_start_matches('#').trim().to_lowercase();
            text.chars().filter(kept).collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// The targets of `[text](target)`.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

#[test]
fn links_lead_to_files_and_headings() {
    let pages = pages();
    let mut dead = Vec::new();
    for (path, page) in &pages {
        for link in links(page).filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let text = fs::read_to_string(&target);
            let found = target.exists()
                && (anchor.is_empty() || text.is_ok_and(|text| anchors(&text).iter().any(|a| a == anchor)));
            if !found {
                dead.push(format!("{}: {link}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(pages.len() > 10 && dead.is_empty(), "links that lead nowhere: {dead:#?}");
}

#[test]
fn the_readme_is_one_page() {
    let bytes = fs::metadata(root().join("README.md")).expect("it is there").len();
    assert!(bytes <= 9000, "README.md has {bytes} bytes; move details to a page in docs/");
}
