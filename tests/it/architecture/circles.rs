//! Folders that import each other.
//!
//! The modules of a crate's root are nodes, a folder being one of them with all that is in it; and so are, within
//! each folder, the folders in it. The files of one folder may name each other as they like, since a type and its
//! methods may be split over them: a circle of files alone is none.

use std::collections::{BTreeMap, BTreeSet};

use super::{paths, sources};

/// From each node to those it imports, with a file that does.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

#[test]
fn no_folders_import_each_other_in_a_circle() {
    let circles = circles(&sources());
    println!("{} import circles", circles.len());
    assert!(circles.is_empty(), "import circles:\n{}", circles.join("\n"));
}

/// Each circle as a line.
fn circles(sources: &[(String, String)]) -> Vec<String> {
    let mut crates: BTreeMap<&str, Crate> = BTreeMap::new();
    for (path, text) in sources {
        let Some((root, file)) = split(path) else { continue };
        crates.entry(root).or_default().add(file, text);
    }
    let graphs =
        crates.iter().flat_map(|(root, of)| of.graphs().into_iter().map(move |graph| (root, of, graph)));
    graphs.flat_map(|(root, of, graph)| circles_in(root, of, &graph)).collect()
}

/// `a/src/b/c.rs` as `a/src` and `b/c.rs`.
fn split(path: &str) -> Option<(&str, &str)> {
    match path.strip_prefix("src/") {
        Some(file) => Some(("src", file)),
        None => path.find("/src/").map(|at| (&path[..at + 4], &path[at + 5..])),
    }
}

type Module = Vec<String>;

#[derive(Default)]
struct Crate {
    /// Whether the module is a folder, and what its file names.
    modules: BTreeMap<Module, (bool, Vec<Vec<String>>)>,
    /// What the root gives out under its own name.
    given_out: BTreeMap<String, Module>,
}

impl Crate {
    fn add(&mut self, file: &str, text: &str) {
        let mut module: Module = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        let last = module.last().cloned().unwrap_or_default();
        let is_root = module.len() == 1 && (last == "lib" || last == "main");
        if is_root {
            for line in text.lines() {
                self.give_out(line);
            }
            return;
        }
        let is_folder = last == "mod";
        if is_folder {
            module.pop();
        }
        self.modules.insert(module, (is_folder, paths::of(text)));
    }

    /// `pub use module::{A, B};`, on one line.
    fn give_out(&mut self, line: &str) {
        let Some((_, path)) = line.split_once("use ").filter(|(how, _)| how.starts_with("pub")) else {
            return;
        };
        let Some((module, names)) = path.trim_end_matches(';').rsplit_once("::") else { return };
        let module: Module = module.trim_start_matches("crate::").split("::").map(str::to_owned).collect();
        for name in names.trim_matches(['{', '}']).split(", ") {
            let name = name.rsplit(" as ").next().unwrap_or(name);
            self.given_out.insert(name.to_owned(), module.clone());
        }
    }

    /// The module that a path of `from` leads into; `None`: the root.
    fn resolve(&self, from: &Module, path: &[String]) -> Option<Module> {
        let (mut at, mut rest) = (from.clone(), path);
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "crate" => at.clear(),
                "super" => drop(at.pop()),
                "self" => {}
                _ => break,
            }
            rest = others;
        }
        if at.is_empty()
            && let Some(module) = rest.first().and_then(|name| self.given_out.get(name))
        {
            return Some(module.clone());
        }
        for name in rest {
            at.push(name.clone());
            if !self.modules.contains_key(&at) {
                at.pop();
                break;
            }
        }
        (!at.is_empty()).then_some(at)
    }

    fn is_folder(&self, node: &str) -> bool {
        let module: Module = node.split("::").map(str::to_owned).collect();
        self.modules.get(&module).is_some_and(|(is_folder, _)| *is_folder)
    }

    /// The folders on the way to a module; at the root a file counts as one.
    fn folders(&self, module: &Module) -> Module {
        let is_folder = self.modules.get(module).is_some_and(|(is_folder, _)| *is_folder);
        let kept = if is_folder { module.len() } else { (module.len() - 1).max(1) };
        module[..kept].to_vec()
    }

    /// One of the root, and one of each folder.
    fn graphs(&self) -> Vec<Graph> {
        let mut graphs: BTreeMap<Module, Graph> = BTreeMap::new();
        for (module, (_, paths)) in &self.modules {
            let from = self.folders(module);
            for to in paths.iter().filter_map(|path| self.resolve(module, path)) {
                let to = self.folders(&to);
                let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                let (Some(_), Some(_)) = (from.get(shared), to.get(shared)) else { continue };
                let graph = graphs.entry(from[..shared].to_vec()).or_default();
                let targets = graph.entry(from[..=shared].join("::")).or_default();
                targets.entry(to[..=shared].join("::")).or_insert_with(|| module.join("::"));
            }
        }
        graphs.into_values().collect()
    }
}

fn circles_in(root: &str, of: &Crate, graph: &Graph) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for node in graph.keys() {
        let circle: BTreeSet<&String> =
            reach(graph, node).into_iter().filter(|other| reach(graph, other).contains(node)).collect();
        if !circle.iter().any(|node| of.is_folder(node)) || !seen.insert(circle.clone()) {
            continue;
        }
        let within = |from: &&String| {
            let targets = graph[*from].iter().filter(|(to, _)| circle.contains(to));
            targets.map(|(to, file)| format!("{file} -> {to}")).collect::<Vec<_>>()
        };
        circles.push(format!("{root}: {}", circle.iter().flat_map(within).collect::<Vec<_>>().join(", ")));
    }
    circles
}

/// Everything that can be come to from `start`.
fn reach<'a>(graph: &'a Graph, start: &str) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = vec![start];
    while let Some(node) = open.pop() {
        for next in graph.get(node).into_iter().flat_map(|targets| targets.keys()) {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

#[test]
fn a_circle_is_found_however_it_is_closed() {
    let found = |files: &[(&str, &str)]| {
        let files: Vec<_> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        circles(&files)
    };
    let line = [
        ("x/src/a/mod.rs", "use crate::b::B;"),
        ("x/src/b/c.rs", "use super::D; use crate::e;"),
        ("x/src/e.rs", ""),
    ];
    assert_eq!(found(&line), [""; 0]);
    let by_an_import = [("x/src/a/mod.rs", "use crate::b::B;"), ("x/src/b.rs", "use crate::a;")];
    assert_eq!(found(&by_an_import), ["x/src: a -> b, b -> a"]);
    let by_a_path = [
        ("x/src/a/mod.rs", ""),
        ("x/src/a/z.rs", "fn f() { crate::b::g() }"),
        ("x/src/b.rs", "use super::a::z;"),
    ];
    assert_eq!(found(&by_a_path), ["x/src: a::z -> b, b -> a"]);
    let by_the_root = [
        ("x/src/lib.rs", "pub use a::{A, C};"),
        ("x/src/a/mod.rs", "use crate::b::B;"),
        ("x/src/b.rs", "use crate::C;"),
    ];
    assert_eq!(found(&by_the_root), ["x/src: a -> b, b -> a"]);
    let deep = [
        ("src/f/a/mod.rs", "use super::b::B;"),
        ("src/f/b/mod.rs", ""),
        ("src/f/b/c.rs", "use super::super::a::A;"),
        ("src/f/mod.rs", ""),
    ];
    assert_eq!(found(&deep), ["src: f::a -> f::b, f::b::c -> f::a"]);
    let of_one_folder =
        [("src/f/a.rs", "use super::b::B;"), ("src/f/b.rs", "use super::a::A;"), ("src/f/mod.rs", "")];
    assert_eq!(found(&of_one_folder), [""; 0]);
}
