//! Modules that need each other in a circle, found from the paths that code names.
//!
//! Children belong to their parent: between `a::x` and `b::y` there is an edge from `a` to `b`. The same is asked of
//! the children of each module among themselves. What a parent makes visible by `use` counts as what it names.

use crate::manifest::packages;
use crate::paths::{Named, Uses};
use crate::tree::{Tree, assert_none};
use std::collections::{BTreeMap, BTreeSet};

/// An edge that closes a cycle, and stays until its crate is mended.
struct Known {
    /// The folder of the crate.
    package: &'static str,
    /// The module that names, and the one that is named.
    edge: (&'static str, &'static str),
    /// The day when it was entered.
    since: &'static str,
}

/// Nobody adds to this list; an entry that is no longer needed fails the test.
const KNOWN: &[Known] = &[
    known("edge-adapters/server", "listener::gauge", "listener::accept"),
    known("edge-adapters/server", "listener::service", "listener::connection"),
    known("edge-adapters/server", "outbound::connect", "outbound::pool"),
    known("edge-adapters/server", "stores::usage", "stores::sqlite"),
    known("guest-sdk", "http::convert", "http::client"),
    known("host/cli", "config::route", "config::tenant"),
];

/// An edge of the day when the check was written.
const fn known(package: &'static str, from: &'static str, to: &'static str) -> Known {
    Known { package, edge: (from, to), since: "2026-11-21" }
}

type Module = Vec<String>;

/// A crate's modules and what each names.
#[derive(Default)]
struct Modules<'a> {
    /// The file, and what it names, by module. Modules written out in a file have no file of their own here.
    files: BTreeMap<Module, (&'a str, Uses<'a>)>,
    /// Every module.
    all: BTreeSet<Module>,
    /// What each module calls by which name, as paths from the crate's root.
    names: BTreeMap<Module, BTreeMap<String, Module>>,
    /// Whose names each module takes all of.
    globs: BTreeMap<Module, Vec<Module>>,
}

/// From which module to which, and the places that say so.
type Edges = BTreeMap<(String, String), Vec<String>>;

/// Every crate with its modules, by folder.
fn crates(tree: &Tree) -> BTreeMap<String, Modules<'_>> {
    let mut crates: BTreeMap<String, Modules<'_>> = BTreeMap::new();
    let mut roots = Vec::new();
    for package in packages(tree) {
        let sources = package.roots.iter().filter_map(|root| Some(root.rsplit_once('/')?.0.to_owned()));
        roots.extend(sources.map(|sources| (sources, package.folder.clone())));
    }
    for rust in tree.rust().filter(|rust| !rust.is_test) {
        let root = roots.iter().find_map(|(sources, folder)| {
            Some((folder.clone(), rust.path.strip_prefix(sources.as_str())?.strip_prefix('/')?))
        });
        let Some((folder, inner)) = root.filter(|(_, inner)| !inner.starts_with("bin/")) else { continue };
        let mut module: Module =
            inner.strip_suffix(".rs").unwrap_or(inner).split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last == "mod" || last == "lib" || last == "main") {
            module.pop();
        }
        let uses = rust.uses();
        let modules = crates.entry(folder).or_default();
        for named in &uses.named {
            modules
                .all
                .extend((0..=named.within.len()).map(|length| inside(&module, &named.within[..length])));
        }
        modules.all.extend((0..=module.len()).map(|length| module[..length].to_vec()));
        if let Some((_, root)) = modules.files.get_mut(&module) {
            // `lib.rs` and `main.rs` of one package.
            root.named.extend(uses.named);
            root.defined.extend(uses.defined);
        } else {
            modules.files.insert(module, (rust.path, uses));
        }
    }
    for modules in crates.values_mut() {
        modules.learn_names();
    }
    crates
}

fn inside(module: &[String], within: &[&str]) -> Module {
    module.iter().cloned().chain(within.iter().map(|&name| name.to_owned())).collect()
}

impl Modules<'_> {
    fn learn_names(&mut self) {
        let (mut names, mut globs) = (BTreeMap::new(), BTreeMap::new());
        for (module, (_, uses)) in &self.files {
            for named in &uses.named {
                let here = inside(module, &named.within);
                let (Some(alias), Some(mut path)) = (named.alias, self.absolute(&here, named)) else {
                    continue;
                };
                if alias == "*" {
                    path.pop();
                    globs.entry(here).or_insert_with(Vec::new).push(path);
                } else {
                    names.entry(here).or_insert_with(BTreeMap::new).insert(alias.to_owned(), path);
                }
            }
        }
        (self.names, self.globs) = (names, globs);
    }

    /// The path from the crate's root; none for what is in another crate or a local name.
    fn absolute(&self, here: &[String], named: &Named<'_>) -> Option<Module> {
        let mut parts = named.parts.iter().map(|&part| part.to_owned()).peekable();
        let mut path = here.to_vec();
        match named.parts.first().copied()? {
            "crate" => {
                path.clear();
                parts.next();
            }
            "self" => {
                parts.next();
            }
            "super" => {
                while parts.next_if(|part| part == "super").is_some() {
                    path.pop()?;
                }
            }
            child => {
                path.push(child.to_owned());
                if !self.all.contains(&path) {
                    return None;
                }
                parts.next();
            }
        }
        path.extend(parts);
        Some(path)
    }

    /// The module that a path means, seen from one: names that a module around the two takes from elsewhere lead there.
    fn target(&self, from: &[String], path: &[String], steps: usize) -> Module {
        let mut at = Module::new();
        for (place, part) in path.iter().enumerate() {
            at.push(part.clone());
            if self.all.contains(&at) {
                continue;
            }
            at.pop();
            if !from.starts_with(&at) || steps == 0 {
                return at;
            }
            let by_name = self.names.get(&at).and_then(|names| names.get(part));
            let by_glob = || {
                let defines = |module: &&Module| {
                    self.files.get(*module).is_some_and(|(_, uses)| uses.defined.contains(part.as_str()))
                };
                self.globs.get(&at)?.iter().find(defines).map(|module| inside(module, &[part]))
            };
            let Some(mut real) = by_name.cloned().or_else(by_glob) else { return at };
            real.extend_from_slice(&path[place + 1..]);
            return if real == path { at } else { self.target(from, &real, steps - 1) };
        }
        at
    }

    /// The edges between the children of each module.
    fn edges(&self) -> BTreeMap<Module, Edges> {
        let mut levels: BTreeMap<Module, Edges> = BTreeMap::new();
        for (module, (file, uses)) in &self.files {
            for named in &uses.named {
                let from = inside(module, &named.within);
                let Some(path) = self.absolute(&from, named) else { continue };
                let to = self.target(&from, &path, 8);
                let shared = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
                if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
                    let said = format!("{file}:{}: {}", named.line, named.parts.join("::"));
                    let edges = levels.entry(from[..shared].to_vec()).or_default();
                    edges.entry((a.clone(), b.clone())).or_default().push(said);
                }
            }
        }
        levels
    }
}

/// What can be reached from a module.
fn reach<'a>(edges: &'a Edges, start: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![start];
    while let Some(at) = open.pop() {
        let next = edges.keys().filter(|(from, _)| from == at).map(|(_, to)| to.as_str());
        open.extend(next.filter(|&to| found.insert(to)));
    }
    found
}

/// The edges that lie on a cycle, grouped by the modules that need each other.
fn knots(edges: &Edges) -> BTreeMap<Vec<&str>, Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|(from, _)| (from.as_str(), reach(edges, from))).collect();
    let mutual = |a: &str, b: &str| {
        reached.get(a).is_some_and(|from_a| from_a.contains(b))
            && reached.get(b).is_some_and(|from_b| from_b.contains(a))
    };
    let mut knots: BTreeMap<Vec<&str>, Vec<String>> = BTreeMap::new();
    for ((from, to), said) in edges {
        if mutual(from, to) {
            let knot = reached.keys().copied().filter(|other| mutual(from, other)).collect();
            knots.entry(knot).or_default().push(format!("{from} needs {to}: {}", said.join(", ")));
        }
    }
    knots
}

fn problems(tree: &Tree, known: &[Known]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut found = BTreeSet::new();
    for (package, modules) in crates(tree) {
        for (level, mut edges) in modules.edges() {
            let prefix: String = level.iter().map(|part| format!("{part}::")).collect();
            let allowed: Vec<_> = known
                .iter()
                .enumerate()
                .filter(|(_, known)| known.package == package)
                .filter_map(|(index, known)| {
                    let (from, to) = known.edge;
                    let key = (from.strip_prefix(&prefix)?.to_owned(), to.strip_prefix(&prefix)?.to_owned());
                    edges.remove(&key).map(|said| (index, key, said))
                })
                .collect();
            for (knot, said) in knots(&edges) {
                problems.push(format!(
                    "{package}: the modules {prefix}{{{}}} need each other: move what is shared into a \
                     module below them, or pass it in\n    {}",
                    knot.join(", "),
                    said.join("\n    ")
                ));
            }
            for (index, (from, to), said) in allowed {
                found.insert(index);
                if !reach(&edges, &to).contains(from.as_str()) {
                    problems.push(format!(
                        "{}: closes no cycle any more: take it off KNOWN in tests/tidy/src/cycles.rs",
                        said.join(", ")
                    ));
                }
            }
        }
    }
    for (index, Known { package, edge: (from, to), since }) in known.iter().enumerate() {
        if !found.contains(&index) {
            problems.push(format!(
                "{package}: {from} no longer names {to} (known since {since}): take it off KNOWN in \
                     tests/tidy/src/cycles.rs"
            ));
        }
    }
    problems
}

#[test]
fn modules_do_not_need_each_other() {
    assert_none(&problems(&Tree::here(), KNOWN));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)], known: &[Known]) -> String {
        let files = [&[("x/Cargo.toml", "[package]\nname = \"x\"\n")], files].concat();
        problems(&Tree::of(&files), known).join("\n")
    }

    #[test]
    fn a_cycle_is_printed_with_the_lines_that_make_it() {
        let found = found(
            &[
                ("x/src/lib.rs", "mod a; mod b; mod c; mod d;"),
                ("x/src/a.rs", "use crate::b::B;"),
                ("x/src/b.rs", "mod deep;"),
                ("x/src/b/deep.rs", "\nfn f() { super::super::c::g() }"),
                ("x/src/c.rs", "use crate::{a::A, d};"),
                ("x/src/d.rs", ""),
            ],
            &[],
        );
        assert_eq!(
            found,
            "x: the modules {a, b, c} need each other: move what is shared into a module below them, or pass it in\n    \
             a needs b: x/src/a.rs:1: crate::b::B\n    b needs c: x/src/b/deep.rs:2: super::super::c::g\n    \
             c needs a: x/src/c.rs:1: crate::a::A"
        );
    }

    #[test]
    fn tests_comments_strings_children_and_other_crates_make_no_cycle() {
        let found = found(
            &[
                ("x/src/lib.rs", "mod a; mod b;"),
                ("x/src/a.rs", "use crate::b::B; use self::c::C; use other::a; // crate::a"),
                ("x/src/a/c.rs", "use super::A; use crate::a;"),
                (
                    "x/src/b.rs",
                    "const S: &str = \"crate::a\"; #[cfg(test)] mod tests { use crate::a::A; } #[cfg(test)] mod kit;",
                ),
                ("x/src/b/kit.rs", "use crate::a;"),
            ],
            &[],
        );
        assert_eq!(found, "");
    }

    #[test]
    fn what_the_root_makes_visible_leads_to_its_module() {
        let files = |root: &'static str| {
            [
                ("x/src/lib.rs", root),
                ("x/src/a.rs", "use crate::B;"),
                ("x/src/b.rs", "struct B; use crate::a::A;"),
            ]
        };
        for root in
            ["pub use b::B;", "pub use crate::b::{B};", "pub use self::b::*;", "pub use b::Other as B;"]
        {
            assert!(found(&files(root), &[]).contains("{a, b}"), "{root}");
        }
        assert_eq!(found(&files("struct B;"), &[]), "");
    }

    #[test]
    fn the_children_of_a_module_make_no_cycle_either() {
        let found = found(&[("x/src/p/a.rs", "use super::b::B;"), ("x/src/p/b.rs", "use super::a::A;")], &[]);
        assert!(found.starts_with("x: the modules p::{a, b} need each other"), "{found}");
    }

    #[test]
    fn a_known_cycle_passes_only_while_it_is_one() {
        let known = |from, to| [Known { package: "x", edge: (from, to), since: "2026-11-21" }];
        let files =
            |b| [("x/src/a.rs", "use crate::b::B;"), ("x/src/b.rs", b), ("x/src/c.rs", "use crate::a::A;")];
        assert_eq!(found(&files("use crate::a::A;"), &known("b", "a")), "");
        assert!(found(&files(""), &known("b", "a")).contains("no longer names"));
        assert!(found(&files(""), &known("a", "b")).contains("closes no cycle"));
    }
}
