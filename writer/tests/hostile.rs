//! Mutated bodies go from parsing to rows without a panic, in bounded time, and with a deterministic result.
#![allow(clippy::print_stderr, reason = "tests report progress on stderr")]

use millstream_testkit::World;
use millstream_writer::{Validators, WriteError, body};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Minimum number of cases within the budget; fewer means a severe slowdown.
const CASES_MIN: u32 = 500;
const BUDGET: Duration = Duration::from_secs(10);

/// One mutation: a path into the tree (child index modulo the number of children) and a value.
#[derive(Debug, Clone)]
enum Mutation {
    Replace(Vec<usize>, Value),
    Remove(Vec<usize>),
    Repeat(Vec<usize>),
    Add(Vec<usize>, String, Value),
}

fn junk() -> impl Strategy<Value = Value> {
    let number = |text: &str| serde_json::from_str::<Value>(text).expect("a JSON number");
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        Just(number("1e400")),
        Just(number("-0.0")),
        Just(number("123456789012345678901234567890.123456789")),
        Just(number("5.0")),
        Just(Value::from("nul\0inside")),
        Just(Value::from(" padded ")),
        Just(Value::from("2031-02-30")),
        Just(Value::from("2/29/2032")),
        Just(Value::from("uri://none.example/XDescriptor#İ")),
        Just(Value::from("x".repeat(5_000))),
        Just(Value::Array(vec![])),
        Just(Value::Object(Map::new())),
        ".{0,20}".prop_map(Value::from),
        prop::collection::vec(any::<i32>().prop_map(Value::from), 1..4).prop_map(Value::Array),
    ]
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let steps = || prop::collection::vec(0..12_usize, 1..5);
    prop_oneof![
        (steps(), junk()).prop_map(|(at, value)| Mutation::Replace(at, value)),
        steps().prop_map(Mutation::Remove),
        steps().prop_map(Mutation::Repeat),
        (steps(), "[a-z_]{1,8}", junk()).prop_map(|(at, name, value)| Mutation::Add(at, name, value)),
    ]
}

fn apply(value: &mut Value, mutation: &Mutation) {
    let (steps, remove) = match mutation {
        Mutation::Remove(steps) => (steps, true),
        Mutation::Replace(steps, _) | Mutation::Repeat(steps) | Mutation::Add(steps, ..) => (steps, false),
    };
    let Some((last, path)) = steps.split_last() else { return };
    let mut at = value;
    for step in path {
        at = match at {
            Value::Object(members) if !members.is_empty() => {
                let index = step % members.len();
                members.values_mut().nth(index).expect("within")
            }
            Value::Array(items) if !items.is_empty() => {
                let index = step % items.len();
                &mut items[index]
            }
            _ => return,
        };
    }
    match (at, mutation) {
        (Value::Object(members), Mutation::Add(_, name, junk)) => {
            members.insert(name.clone(), junk.clone());
        }
        (Value::Object(members), _) if !members.is_empty() => {
            let name = members.keys().nth(last % members.len()).expect("within").clone();
            match mutation {
                Mutation::Replace(_, junk) => members[&name] = junk.clone(),
                _ if remove => {
                    members.shift_remove(&name);
                }
                _ => {}
            }
        }
        (Value::Array(items), _) if !items.is_empty() => {
            let index = last % items.len();
            match mutation {
                Mutation::Replace(_, junk) => items[index] = junk.clone(),
                Mutation::Repeat(_) => items.push(items[index].clone()),
                _ if remove => {
                    items.remove(index);
                }
                _ => {}
            }
        }
        _ => {}
    }
}

#[test]
fn mutated_bodies_are_refused_or_flattened_and_never_panic() {
    let world = World::corpus().unwrap_or_else(World::fixtures);
    let validators = Validators::compile(&world.mapping).expect("schemas compile");
    let files = world.corpus.document_paths();
    let bodies: Vec<(usize, Value)> = files
        .iter()
        .flat_map(|path| millstream_testkit::corpus::read(path).expect("the file can be read"))
        .map(|document| document.expect("a document"))
        .step_by(if world.mapping.resources.len() > 100 { 17 } else { 1 })
        .map(|document| {
            let resource = world.mapping.route(&document.project, &document.resource).expect("a route");
            (resource.0 as usize, serde_json::from_slice(document.body()).expect("JSON"))
        })
        .collect();
    let (cases, accepted, started) = (Cell::new(0_u32), Cell::new(0_u32), Instant::now());
    let mut runner = TestRunner::new(Config { cases: 200_000, failure_persistence: None, ..Config::default() });
    let strategy = (
        0..bodies.len(),
        prop::collection::vec(mutation(), 1..6),
        prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    );
    runner
        .run(&strategy, |(at, mutations, flip)| {
            if started.elapsed() > BUDGET {
                return Ok(());
            }
            let (resource, original) = &bodies[at];
            let mut body = original.clone();
            mutations.iter().for_each(|mutation| apply(&mut body, mutation));
            let mut bytes = serde_json::to_vec(&body).expect("serialises");
            if let Some((index, byte)) = flip {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            let resource = &world.mapping.resources[*resource];
            let first = body::plan(resource, &validators, &bytes);
            prop_assert!(
                matches!(first, Ok(_) | Err(WriteError::Malformed { .. } | WriteError::Invalid { .. })),
                "{first:?}"
            );
            let again = body::plan(resource, &validators, &bytes);
            prop_assert_eq!(first.as_ref().ok(), again.as_ref().ok());
            cases.set(cases.get() + 1);
            accepted.set(accepted.get() + u32::from(first.is_ok()));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    eprintln!("{} mutated bodies, {} of them still valid, in {:?}", cases.get(), accepted.get(), started.elapsed());
    assert!(cases.get() >= CASES_MIN, "only {} cases in {BUDGET:?}", cases.get());
    assert!(accepted.get() > 0 && accepted.get() < cases.get(), "the mutations must reach both outcomes");
}

/// BOUNDED: neither the time nor the response grows quadratically with the number of problems.
#[test]
fn a_hundred_thousand_problems_are_reported_in_a_hundred_messages() {
    let world = World::fixtures();
    let validators = Validators::compile(&world.mapping).expect("schemas compile");
    let resource = world.mapping.resource(world.mapping.route("meadow", "students").expect("a route"));
    let bodies = ["\"same\"", "\" padded\""].map(|name| {
        let items = vec![format!("{{\"otherName\":{name}}}"); 100_000].join(",");
        format!(
            r#"{{"studentUniqueId":"A","firstName":"A","lastSurname":"B","birthData":{{"birthDate":"2020-01-01"}},"otherNames":[{items}]}}"#
        )
    });
    let started = Instant::now();
    for text in bodies {
        let refused = body::plan(resource, &validators, text.as_bytes()).expect_err("the body is invalid");
        let WriteError::Invalid { validation_errors, errors } = refused else { panic!("{refused:?}") };
        assert_eq!(validation_errors.values().map(Vec::len).sum::<usize>(), 100);
        assert_eq!(errors.len(), 1, "{errors:?}");
    }
    let duration = started.elapsed();
    eprintln!("2 bodies with 100,000 problems each: {duration:?}");
    assert!(duration < BUDGET, "{duration:?}");
}
