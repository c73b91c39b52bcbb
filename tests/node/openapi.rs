//! The description of the API at `/openapi.json`, held against what the node does, both ways.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::process::Node;

/// Where the routes are made.
const ROUTES: [&str; 4] = [
    include_str!("../../src/front/http/smache.rs"),
    include_str!("../../src/front/http/v1.rs"),
    include_str!("../../src/front/http/operate.rs"),
    include_str!("../../src/front/http/serve/routes.rs"),
];

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// A target of a path of the document, for a key that is not there.
fn target_of(path: &str) -> String {
    path.replace("{namespace}", "a").replace("{key}", "none").replace("{child}", "none")
}

fn methods_of(operations: &Map<String, Value>) -> BTreeSet<String> {
    let methods = METHODS.iter().filter(|method| operations.contains_key(**method));
    methods.map(|method| method.to_uppercase()).collect()
}

/// The names of the parameters in the query of an operation.
fn params_of(operation: &Value) -> BTreeSet<String> {
    let params = operation["parameters"].as_array().into_iter().flatten();
    let params = params.filter(|param| param["in"] == "query");
    params.map(|param| param["name"].as_str().unwrap().to_owned()).collect()
}

/// What a node says it allows, from the end of its message.
fn allowed(message: &str) -> BTreeSet<String> {
    let (_, list) = message.split_once("; allowed: ").unwrap_or_else(|| panic!("{message}"));
    list.split(", ").filter(|name| *name != "none").map(str::to_owned).collect()
}

#[test]
fn every_path_takes_the_methods_and_parameters_that_are_described_and_no_others() {
    let node = Node::start(&["--demo"]);
    let answer = node.get("/openapi.json");
    let document = answer.json();
    assert_eq!((answer.status, &document["openapi"]), (200, &Value::from("3.1.0")));
    for (path, operations) in document["paths"].as_object().unwrap() {
        let (target, operations) = (target_of(path), operations.as_object().unwrap());
        let other = node.client().request("BREW", &target, "");
        assert_eq!(other.status, 405, "{path}: {other:?}");
        let listed = other.header("allow").unwrap().split(", ").filter(|method| *method != "HEAD");
        let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
        assert_eq!(listed, methods_of(operations), "{path}");
        for (method, operation) in
            operations.iter().filter(|(name, _)| METHODS.contains(&name.as_str()))
        {
            let described = params_of(operation);
            if path == "/v1/{namespace}/{key}" && method == "post" {
                let mut taken = BTreeSet::new();
                for op in ["incr", "append", "touch", "persist", "take"] {
                    let wrong =
                        node.client().request("POST", &format!("{target}?op={op}&zz=1"), "");
                    taken.extend(allowed(&wrong.message()));
                }
                assert_eq!(taken, described, "{method} {path}");
                continue;
            }
            let body = if method == "get" { "" } else { "[]" };
            let target = format!("{target}?zz=1");
            let wrong = node.client().request(&method.to_uppercase(), &target, body);
            assert_eq!(wrong.status, 400, "{method} {path}: {wrong:?}");
            assert_eq!(allowed(&wrong.message()), described, "{method} {path}: {wrong:?}");
        }
    }
}

#[test]
fn every_route_is_described() {
    let node = Node::start(&[]);
    let document = node.get("/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    let segments: BTreeSet<&str> = paths.keys().flat_map(|path| path.split('/')).collect();
    let mut routes = BTreeSet::new();
    for source in ROUTES {
        for call in ["warp::path(\"", "asked(\"", "warp::path!("] {
            for (at, _) in source.match_indices(call) {
                let end = at + source[at..].find(')').unwrap();
                let words = source[at..end].split('"').skip(1).step_by(2);
                routes.extend(words);
            }
        }
    }
    assert!(routes.len() > 10, "{routes:?}");
    for route in routes {
        assert!(segments.contains(route), "{route} is not described");
    }
    // Each reference is to something.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}
