//! The oracle's view of a schema, read from the ApiSchema files, not from compiled plans.

use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

/// One resource type.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) project: String,
    pub(crate) resource: String,
    pub(crate) is_descriptor: bool,
    /// `$.a.b`, in hash order.
    pub(crate) identity_paths: Vec<String>,
    pub(crate) references: Vec<Reference>,
    pub(crate) superclass: Option<Superclass>,
    /// Query fields by name, each with its paths; a match of any path counts.
    pub(crate) query_paths: BTreeMap<String, Vec<String>>,
}

/// A reference of a resource type to another.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) project: String,
    pub(crate) resource: String,
    /// Segments of the path to the reference object; `x[*]` for an array.
    pub(crate) object: Vec<String>,
    /// Pairs of path in the target and member of the reference object, in hash order.
    pub(crate) members: Vec<(String, String)>,
}

/// The superclass of a resource type.
#[derive(Debug, Clone)]
pub(crate) struct Superclass {
    pub(crate) project: String,
    pub(crate) resource: String,
    /// Name of the identity path in the superclass, if it differs.
    pub(crate) identity_path: Option<String>,
}

impl Shape {
    /// Returns whether a query by this field and value finds the document.
    pub(crate) fn matches(&self, body: &Value, field: &str, value: &str) -> bool {
        let at = |path: &str| path.split('.').skip(1).try_fold(body, |body, name| body.get(name));
        let paths = self.query_paths.get(field).into_iter().flatten();
        paths.filter_map(|path| at(path)).any(|found| found == value)
    }
}

/// All resource types by project endpoint and resource endpoint.
#[derive(Debug)]
pub(crate) struct Shapes(HashMap<(String, String), Shape>);

impl Shapes {
    /// Reads the files.
    pub(crate) fn read(paths: &[PathBuf]) -> Self {
        let files: Vec<Value> = paths
            .iter()
            .map(|path| serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON"))
            .collect();
        let mut shapes = HashMap::new();
        // Extensions add references to resources of other projects.
        let mut extensions: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
        for file in &files {
            let project = &file["projectSchema"];
            for (endpoint, schema) in project["resourceSchemas"].as_object().expect("resources") {
                let resource = text(&schema["resourceName"]);
                if schema["isResourceExtension"] == true {
                    extensions.entry(resource).or_default().extend(references(schema));
                    continue;
                }
                let key = (text(&project["projectEndpointName"]), endpoint.clone());
                shapes.insert(key, shape(text(&project["projectName"]), resource, schema));
            }
        }
        for shape in shapes.values_mut() {
            shape.references.extend(extensions.get(&shape.resource).into_iter().flatten().cloned());
        }
        Self(shapes)
    }

    /// Returns the type of an endpoint.
    pub(crate) fn of(&self, project_endpoint: &str, endpoint: &str) -> &Shape {
        let key = (project_endpoint.to_owned(), endpoint.to_owned());
        self.0.get(&key).unwrap_or_else(|| panic!("unknown endpoint {key:?}"))
    }
}

fn shape(project: String, resource: String, schema: &Value) -> Shape {
    let superclass = (schema["isSubclass"] == true).then(|| Superclass {
        project: text(&schema["superclassProjectName"]),
        resource: text(&schema["superclassResourceName"]),
        identity_path: schema["superclassIdentityJsonPath"].as_str().map(str::to_owned),
    });
    Shape {
        project,
        resource,
        is_descriptor: schema["isDescriptor"] == true,
        identity_paths: schema["identityJsonPaths"].as_array().expect("identity").iter().map(text).collect(),
        references: references(schema),
        superclass,
        query_paths: query_paths(&schema["queryFieldMapping"]),
    }
}

fn query_paths(mapping: &Value) -> BTreeMap<String, Vec<String>> {
    let fields = mapping.as_object().into_iter().flatten();
    let paths = |field: &Value| field.as_array().into_iter().flatten().map(|entry| text(&entry["path"])).collect();
    fields.map(|(name, field)| (name.clone(), paths(field))).collect()
}

fn references(schema: &Value) -> Vec<Reference> {
    let mappings = schema["documentPathsMapping"].as_object().expect("mappings").values();
    let documents = mappings.filter(|mapping| mapping["isReference"] == true && mapping["isDescriptor"] != true);
    documents.map(reference).collect()
}

fn reference(mapping: &Value) -> Reference {
    let mut object = Vec::new();
    let mut members = Vec::new();
    for pair in mapping["referenceJsonPaths"].as_array().expect("a reference has members") {
        let path = text(&pair["referenceJsonPath"]);
        let (above, leaf) = path.rsplit_once('.').expect("a member of an object");
        object = above.split('.').skip(1).map(str::to_owned).collect();
        members.push((text(&pair["identityJsonPath"]), leaf.to_owned()));
    }
    Reference { project: text(&mapping["projectName"]), resource: text(&mapping["resourceName"]), object, members }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string")).to_owned()
}
