//! `Cargo.toml` files, with the lines of what they say.

use crate::tree::Tree;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A package of the workspace.
pub(crate) struct Package {
    /// The path of its `Cargo.toml`.
    pub(crate) path: String,
    /// The folder that it lies in.
    pub(crate) folder: String,
    /// Its name.
    pub(crate) name: String,
    /// Where its library and its binary begin, whether or not both are there.
    pub(crate) roots: [String; 2],
    /// What it depends on: for all targets, in code, in tests and in build scripts.
    pub(crate) dependencies: Vec<Dependency>,
}

/// A line of a dependency table.
#[derive(Clone)]
pub(crate) struct Dependency {
    /// The real name of the package.
    pub(crate) package: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// Whether the version is the workspace's.
    pub(crate) inherited: bool,
    /// The version asked for.
    pub(crate) version: Option<String>,
}

/// Every package, sorted by folder.
pub(crate) fn packages(tree: &Tree) -> Vec<Package> {
    let renamed: BTreeMap<String, String> =
        workspace(tree).into_iter().map(|(key, dependency)| (key, dependency.package)).collect();
    let manifests = tree.texts("").filter(|(path, _)| *path == "Cargo.toml" || path.ends_with("/Cargo.toml"));
    manifests.filter_map(|(path, text)| package(path, text, &renamed)).collect()
}

/// The dependencies of the whole workspace, by the name that members call them.
pub(crate) fn workspace(tree: &Tree) -> BTreeMap<String, Dependency> {
    let text = tree.text("Cargo.toml").unwrap_or_default();
    let document = parse("Cargo.toml", text);
    let Some(section) = table(&document, "workspace").and_then(|found| table(found, "dependencies")) else {
        return BTreeMap::new();
    };
    let read = |(key, value)| (name(key).to_owned(), dependency(text, key, value, &BTreeMap::new()));
    section.iter().map(read).collect()
}

fn package(path: &str, text: &str, renamed: &BTreeMap<String, String>) -> Option<Package> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let document = parse(path, text);
    let own_name = table(&document, "package")?.get("name")?.get_ref().as_str()?.to_owned();
    let mut sections: Vec<&DeTable<'_>> = KINDS.iter().filter_map(|kind| table(&document, kind)).collect();
    for target in table(&document, "target").into_iter().flat_map(DeTable::values) {
        let target = target.get_ref().as_table();
        sections.extend(KINDS.iter().filter_map(|kind| table(target?, kind)));
    }
    let mut dependencies: Vec<_> = sections
        .into_iter()
        .flat_map(DeTable::iter)
        .map(|(key, value)| dependency(text, key, value, renamed))
        .collect();
    dependencies.sort_by_key(|dependency| dependency.line);
    dependencies.sort_by_key(|dependency| dependency.line);
    let folder = path.strip_suffix("/Cargo.toml").unwrap_or_default().to_owned();
    let library = table(&document, "lib").and_then(|lib| lib.get("path")?.get_ref().as_str());
    let roots = [library.unwrap_or("src/lib.rs"), "src/main.rs"].map(|root| format!("{folder}/{root}"));
    Some(Package { path: path.to_owned(), folder, roots, name: own_name, dependencies })
}

fn dependency(
    text: &str,
    key: &Key<'_>,
    value: &Spanned<DeValue<'_>>,
    renamed: &BTreeMap<String, String>,
) -> Dependency {
    let settings = value.get_ref().as_table();
    let field = |field: &str| Some(settings?.get(field)?.get_ref());
    let inherited = field("workspace").and_then(DeValue::as_bool).unwrap_or(false);
    let package = field("package").and_then(DeValue::as_str).map(str::to_owned);
    let package = package.or_else(|| renamed.get(name(key)).filter(|_| inherited).cloned());
    Dependency {
        package: package.unwrap_or_else(|| name(key).to_owned()),
        line: text[..key.span().start].matches('\n').count() + 1,
        inherited,
        version: value.get_ref().as_str().or_else(|| field("version")?.as_str()).map(str::to_owned),
    }
}

type Key<'i> = Spanned<std::borrow::Cow<'i, str>>;

fn name<'a>(key: &'a Key<'_>) -> &'a str {
    key.get_ref()
}

fn parse<'i>(path: &str, text: &'i str) -> DeTable<'i> {
    match DeTable::parse(text) {
        Ok(document) => document.into_inner(),
        Err(error) => panic!("{path}: {error}: mend the TOML"),
    }
}

fn table<'a, 'i>(document: &'a DeTable<'i>, key: &str) -> Option<&'a DeTable<'i>> {
    document.get(key)?.get_ref().as_table()
}

#[test]
fn dependencies_are_read_from_every_section_with_their_lines() {
    let tree = Tree::of(&[
        ("Cargo.toml", "[workspace.dependencies]\nshort = { package = \"long\", version = \"=1.2.3\" }\n"),
        (
            "a/Cargo.toml",
            "[package]\nname = \"a\"\n[lib]\npath = \"kit/lib.rs\"\n[dependencies]\n\
                     short.workspace = true\n[target.'cfg(unix)'.dev-dependencies]\nb = \"2\"\n",
        ),
    ]);
    let [package] = &packages(&tree)[..] else { panic!("one package") };
    let lines: Vec<_> = package
        .dependencies
        .iter()
        .map(|found| (found.package.as_str(), found.line, found.inherited, found.version.as_deref()))
        .collect();
    assert_eq!((package.name.as_str(), package.folder.as_str()), ("a", "a"));
    assert_eq!(package.roots, ["a/kit/lib.rs", "a/src/main.rs"]);
    assert_eq!(lines, [("long", 6, true, None), ("b", 8, false, Some("2"))]);
    assert_eq!(workspace(&tree)["short"].version.as_deref(), Some("=1.2.3"));
}
