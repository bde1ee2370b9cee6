//! The custom resource definition as a whole: fresh, described, bounded, and of a size `kubectl apply` can take.

use operator::crd;
use serde_json::Value;

/// Keywords of a schema that the local check knows; another one must be taught to it first.
const KEYWORDS: [&str; 24] = [
    "additionalProperties",
    "anyOf",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];

/// Calls `visit` for every node of the schema below `path`.
fn walk(path: &str, node: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, node);
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), child, visit);
    }
    for (key, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(child) = node.get(key) {
            walk(&format!("{path}{suffix}"), child, visit);
        }
    }
}

/// Asserts that no node of the schema has something to complain about.
fn assert_nodes(complain: impl Fn(&str, &Value) -> Option<String>) {
    let mut complaints = Vec::new();
    for group in ["spec", "status"] {
        walk(group, &crd::schema()["properties"][group], &mut |path, node| {
            complaints.extend(complain(path, node).map(|complaint| format!("{path}: {complaint}")));
        });
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn the_generated_file_is_fresh() {
    let path = format!("{}/../crds/{}", env!("CARGO_MANIFEST_DIR"), crd::FILE_NAME);
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(file == crd::yaml(), "{path} is stale: cargo run -p operator -- crd > crds/{}", crd::FILE_NAME);
}

#[test]
fn the_definition_fits_the_annotation_of_kubectl_apply() {
    let bytes = serde_json::to_vec(&crd::definition()).unwrap().len();
    assert!(bytes < 262_144 * 3 / 4, "the definition has {bytes} bytes");
}

#[test]
fn the_definition_names_the_kind_and_its_subresources() {
    let definition = serde_json::to_value(crd::definition()).unwrap();
    assert_eq!(definition["metadata"]["name"], "chatclusters.chatcluster.dev");
    assert_eq!(definition["spec"]["names"]["shortNames"][0], "cc");
    assert_eq!(definition["spec"]["scope"], "Namespaced");
    let version = &definition["spec"]["versions"][0];
    assert_eq!(version["name"], "v1alpha1");
    assert!(version["subresources"]["status"].is_object());
    assert_eq!(version["subresources"]["scale"]["specReplicasPath"], ".spec.gateways.replicas");
    assert_eq!(version["subresources"]["scale"]["statusReplicasPath"], ".status.scale.replicas");
    assert_eq!(version["subresources"]["scale"]["labelSelectorPath"], ".status.scale.selector");
    let columns: Vec<_> = version["additionalPrinterColumns"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(columns, ["Ready", "Gateways", "Connections", "Redis", "Version", "Age"]);
}

#[test]
fn of_metadata_only_the_name_is_restricted() {
    let mut metadata = crd::schema()["properties"]["metadata"].clone();
    assert_eq!(metadata["properties"]["name"]["maxLength"], 40);
    metadata["properties"]["name"] = Value::Null;
    assert_eq!(metadata, serde_json::json!({ "type": "object", "properties": { "name": null } }));
}

#[test]
fn every_property_is_described() {
    assert_nodes(|path, node| {
        let is_property = !path.ends_with("[]") && !path.ends_with("{}");
        let described = node["description"].as_str().is_some_and(|text| text.ends_with(['.', '`', ')']));
        (is_property && !described).then(|| format!("description {}", node["description"]))
    });
}

#[test]
fn everything_is_bounded() {
    assert_nodes(|_, node| {
        let has = |key: &str| node.get(key).is_some();
        let bounded = match node["type"].as_str() {
            Some("string") => has("enum") || has("maxLength") || node["format"] == "date-time",
            Some("array") => has("maxItems"),
            Some("object") => !has("additionalProperties") || has("maxProperties"),
            Some(_) => true,
            None => has("x-kubernetes-int-or-string") && has("maxLength"),
        };
        (!bounded).then(|| "has no bound".to_owned())
    });
}

#[test]
fn the_local_check_knows_every_keyword() {
    assert_nodes(|_, node| {
        let mut keywords = node.as_object().into_iter().flat_map(|node| node.keys());
        keywords.find(|key| !KEYWORDS.contains(&key.as_str())).map(|key| format!("keyword {key}"))
    });
}

#[test]
fn no_choice_is_a_word_that_yaml_1_1_takes_for_a_flag() {
    assert_nodes(|_, node| {
        let mut choices = node["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let flags = ["y", "n", "yes", "no", "on", "off", "true", "false"];
        choices.find(|choice| flags.contains(&choice.to_lowercase().as_str())).map(str::to_owned)
    });
}

#[test]
fn no_default_lies_on_or_inside_a_member_of_a_union() {
    let unions = [
        "spec.engines.embedded",
        "spec.redis.managed",
        "spec.redis.external",
        "spec.kafka",
        "spec.cassandra",
        "spec.search",
        "spec.gateways.httpRoute",
        "spec.gateways.ingress",
        "spec.gateways.auth.verifiers[].hs256",
        "spec.gateways.auth.verifiers[].jwks",
    ];
    assert_nodes(|path, node| {
        let inside = unions.iter().any(|member| path.starts_with(member));
        (inside && node.get("default").is_some()).then(|| "has a default".to_owned())
    });
}

#[test]
fn every_rule_has_a_message_and_a_known_field() {
    assert_nodes(|_, node| {
        node["x-kubernetes-validations"].as_array().into_iter().flatten().find_map(|rule| {
            let message = rule["message"].as_str().unwrap_or_default();
            let mut field = node;
            for name in rule["fieldPath"].as_str().unwrap_or_default().split('.').skip(1) {
                field = &field["properties"][name];
            }
            let sound = !message.is_empty() && !message.contains('\n') && message.len() <= 2048 && !field.is_null();
            (!sound).then(|| rule.to_string())
        })
    });
}

#[test]
fn rules_are_cheap_and_compile() {
    use kube::core::cel::{compile_schema, estimate_rule_cost};
    assert_nodes(|_, node| {
        let compiled = compile_schema(node);
        let errors: Vec<_> = compiled.compilation_errors().iter().map(ToString::to_string).collect();
        let rules = node["x-kubernetes-validations"].as_array().into_iter().flatten();
        let warnings: Vec<_> = rules
            .filter_map(|rule| rule["rule"].as_str())
            .flat_map(|rule| estimate_rule_cost(rule, &compiled))
            .map(|warning| warning.message)
            .collect();
        let complaints = [errors, warnings].concat();
        (!complaints.is_empty()).then(|| complaints.join("; "))
    });
}
