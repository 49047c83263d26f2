//! Fingerprints against published and worked vectors (docs/design/edfi-schema.md#edfi-3).

mod support;

use millstream_schema::apischema::{
    EffectiveSchema, ProjectLine, ResourceKey, effective_schema_hash, load, load_texts, project_hash,
    resource_key_seed_hash,
};
use serde_json::{Map, Value};
use std::path::PathBuf;

fn line(endpoint: &str, name: &str, version: &str, is_extension: bool, hash: &str) -> ProjectLine {
    let [endpoint, name, version, hash] = [endpoint, name, version, hash].map(str::to_owned);
    ProjectLine { endpoint, name, version, is_extension, hash }
}

#[test]
fn the_worked_example_has_its_hashes() {
    let hash = project_hash(
        r#"{"projectVersion":"1.0.0","projectName":"Demo","projectEndpointName":"demo","isExtensionProject":false,
            "openApiBaseDocuments":{"x":1},"description":"a\u00a0b <x> é",
            "resourceSchemas":{"widgets":{"resourceName":"Widget","openApiFragments":{"y":2},"max":10.50},
                               "Gears":{"resourceName":"Gear"}}}"#,
    )
    .expect("the example is JSON");
    assert_eq!(hash, "1c3d4aadf7cfaf45e95bcb6060db1775aa26add639eea2b63bb93eb9779ab217");
    assert_eq!(
        effective_schema_hash("1.0.0", &[line("demo", "Demo", "1.0.0", false, &hash)]),
        "26d7c6942dcd96e427f96747e9a2fdb895323fc0d5a314607c81bb8e12864e2e"
    );
    let keys = [(1, "Gear"), (2, "Widget")].map(|(id, name)| ResourceKey {
        id,
        project_name: "Demo".to_owned(),
        resource_name: name.to_owned(),
        resource_version: "1.0.0".to_owned(),
    });
    assert_eq!(resource_key_seed_hash(&keys), "69a7b7f2fb1b63fa1230d950a1b60c6e4b5991c840b1dabb199bcc7010663529");
}

#[test]
fn published_project_hashes_give_the_published_effective_hashes() {
    let core =
        line("ed-fi", "Ed-Fi", "5.2.0", false, "d027fabe7be0fff4cf67e976cdb6da564c4f8670b1bb297cb070836db9a846ae");
    let tpdm = line("tpdm", "TPDM", "1.1.0", true, "444efc42531b353e449a2770f0de39144f6ce3f9a2ac259ccefbed91f63d7fd8");
    let sample =
        line("sample", "Sample", "1.0.0", true, "119540ff9dc18c366e6ec178d0900b7a782b5d1aeb59849276934128fa5fdd3d");
    let sets: [(&[ProjectLine], &str); 3] = [
        (std::slice::from_ref(&core), "6e60cfa6542d6b591e4cb527850c1431eb114de346d9aa3d0ab466fa615bda61"),
        (&[tpdm, core.clone()], "f329c17a6ddb8403c3ac727ffa8b10bf5d8297cec3381a0fb821de15bdc1eca0"),
        (&[core.clone(), sample], "53ba4ec6718cfdeb81c2c7e1c37932eaada4b858586fe504e2bb00a99e2f5f61"),
    ];
    for (projects, expected) in sets {
        assert_eq!(effective_schema_hash("1.0.0", projects), expected);
    }
}

#[test]
fn the_published_files_have_their_hashes_and_keys() {
    let Some([core, tpdm, sample]) = support::corpus_files() else { return };
    let all = load(&[core.clone(), tpdm.clone(), sample.clone()]).expect("the published files load");
    let hashes: Vec<(&str, &str)> =
        all.projects.iter().map(|p| (p.schema.project_endpoint_name.as_str(), p.hash.as_str())).collect();
    assert_eq!(
        hashes,
        [
            ("ed-fi", "6dece42fc4549a3cc4c69227a3ffaac199ccb1fa670fe628ecf612bc44492004"),
            ("sample", "119540ff9dc18c366e6ec178d0900b7a782b5d1aeb59849276934128fa5fdd3d"),
            ("tpdm", "444efc42531b353e449a2770f0de39144f6ce3f9a2ac259ccefbed91f63d7fd8"),
        ]
    );
    assert_eq!(all.hash, "b2c0874b34dd86ef9ebbc3373c696104c55468864f171e3612a54b373d086368");
    // The key seeds equal those of the published core, which has the same resources.
    let sets: [(&[PathBuf], usize, &str); 4] = [
        (std::slice::from_ref(&core), 351, "fae376b7b81722efe1878226a49200d74ae68febac7d21f5121a0824236e981b"),
        (&[core.clone(), tpdm.clone()], 384, "f7816f4770f793d5e211735a3159b82645766f95178dc8cb784dc6b5cf0bcfb6"),
        (&[core.clone(), sample.clone()], 358, "b2bc1f88c9075a93585e3abfdc25c5c6018c09f18fae7221816b1826eb4190c4"),
        (&[core.clone(), tpdm, sample], 391, "4633740b4629d9f35be033ead2d13f06e6c13e7cc4da78f4ce08ef9597aa8768"),
    ];
    for (files, count, seed) in sets {
        let set = load(files).expect("the published files load");
        assert_eq!((set.resource_keys.len(), set.resource_key_seed_hash.as_str()), (count, seed));
    }
}

#[test]
fn resource_keys_have_the_published_numbers() {
    let Some([core, _, _]) = support::corpus_files() else { return };
    let set = load(&[core]).expect("the published core loads");
    let key = |name: &str| set.resource_keys.iter().find(|k| k.resource_name == name).map(|k| k.id);
    let published = [
        ("EducationOrganization", 95),
        ("GeneralStudentProgramAssociation", 121),
        ("School", 244),
        ("SchoolYearType", 250),
        ("Section", 251),
        ("Session", 259),
        ("Student", 282),
        ("StudentSchoolAssociation", 310),
        ("StudentSectionAssociation", 314),
    ];
    for (name, id) in published {
        assert_eq!(key(name), Some(id), "{name}");
    }
}

/// SAME-BYTES: neither the order of files nor that of keys within them changes anything.
#[test]
fn order_of_files_and_of_keys_does_not_matter() {
    let mut sets: Vec<Vec<PathBuf>> = vec![support::fixture_files().to_vec()];
    sets.extend(support::corpus_files().map(|files| files.to_vec()));
    for files in sets {
        let texts: Vec<(PathBuf, Vec<u8>)> =
            files.iter().map(|file| (file.clone(), std::fs::read(file).expect("the file is there"))).collect();
        let reversed: Vec<(PathBuf, Vec<u8>)> =
            texts.iter().rev().map(|(file, text)| (file.clone(), with_keys_reversed(text))).collect();
        let first = load_texts(&texts).expect("the set loads");
        let second = load_texts(&reversed).expect("the set loads in another order");
        assert_eq!(fingerprints(&first), fingerprints(&second));
        assert_eq!(first.warnings, second.warnings);
    }
}

fn fingerprints(set: &EffectiveSchema) -> (&str, &str, Vec<&str>, &[ResourceKey]) {
    let projects = set.projects.iter().map(|p| p.hash.as_str()).collect();
    (&set.hash, &set.resource_key_seed_hash, projects, &set.resource_keys)
}

fn with_keys_reversed(text: &[u8]) -> Vec<u8> {
    let value: Value = serde_json::from_slice(text).expect("the file is JSON");
    serde_json::to_vec_pretty(&reverse_keys(value)).expect("JSON can be written")
}

fn reverse_keys(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(reverse_keys).collect(),
        Value::Object(members) => {
            let reversed: Map<String, Value> = members.into_iter().rev().map(|(k, v)| (k, reverse_keys(v))).collect();
            Value::Object(reversed)
        }
        other => other,
    }
}
