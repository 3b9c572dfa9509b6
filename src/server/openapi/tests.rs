//! The description is that of the routes and of the readers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;

use super::kinds::{Field, Kind};
use super::*;
use crate::backend::cpu::{CpuBackend, CpuOptions};
use crate::chat::Date;
use crate::engine::{BatchOptions, Batcher, ChatFormat, ModelFiles, Pooling, SamplingWishes, SessionOptions};
use crate::grammar::Grammars;
use crate::sampling::SamplingParams;
use crate::server::Keys;
use crate::server::catalog::{Catalog, Offer};
use crate::server::fields::seen;
use crate::server::model::{Described, Embeddings, Model};
use crate::server::settings::Settings;
use crate::server::state::Shared;

#[test]
fn every_path_of_every_route_is_described() {
    let document = document();
    let described = document["paths"].as_object().unwrap();
    let paths: BTreeSet<String> =
        routes().iter().flat_map(|route| route.paths).map(|path| path.replace("{*", "{")).collect();
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), paths);
    assert!(described["/v1/completions"]["post"]["security"].is_array());
    assert!(described["/v1/health"]["get"]["security"].is_null());
}

/// The demo model, as a server has it that computes no text.
fn shared() -> Arc<Shared> {
    static SHARED: OnceLock<Arc<Shared>> = OnceLock::new();
    let make = || {
        let files = ModelFiles::demo().unwrap();
        let template = "{% for m in messages %}{{ m.content }}{% endfor %}";
        let chat = ChatFormat::new(&files.tokenizer_config, Some(template), Date::today());
        let (form, generation) = (files.prompt_form(), files.generation.clone());
        let session = SessionOptions { max_seq_len: 64, ..SessionOptions::default() };
        let options = BatchOptions { session, texts: 1, slots: 64, prefixes: 0 };
        let cpu = CpuBackend::new(CpuOptions { threads: Some(1), ..CpuOptions::default() }).unwrap();
        let batcher = Batcher::load(cpu, files, options, &mut |_| ()).unwrap();
        let settings = Settings {
            keys: Keys::default(),
            isolate_keys: false,
            origins: Vec::new(),
            hosts: None,
            page: false,
            slots: true,
            max_body: 1 << 20,
            max_tokens: None,
            default_max_tokens: None,
            verbose: false,
            parallel: 1,
            queue: 1000,
            models: None,
            unload_after: None,
            library: None,
            drain: Duration::ZERO,
        };
        // Whoever would compute the texts is not there: each request fails after it was read.
        let (sender, _) = channel();
        let catalog =
            Catalog::new(vec![Offer { names: vec!["demo".into()], bytes: 0, path: None, is_found: false }]);
        let shared = Shared::new(settings, Box::new(|_| ()), catalog, sender);
        let described = Described {
            format: "safetensors",
            file: "demo".into(),
            family: "llama".into(),
            weights: String::new(),
            weight_bytes: 0,
            parameters: 0,
            hidden_size: 0,
            layers: 0,
            trained: 64,
            template: Some(template.into()),
            loaded: SystemTime::now(),
        };
        let model = Model {
            number: 0,
            eos: Vec::new(),
            described,
            grammars: Grammars::new(batcher.tokenizer(), &[], batcher.limits().vocab),
            embeddings: Embeddings { pooling: Pooling::Last, size: 128, at_once: None },
            tokenizer: batcher.tokenizer(),
            form,
            chat: Ok(chat.unwrap()),
            date: None,
            variables: serde_json::Map::new(),
            thinking: None,
            limits: batcher.limits(),
            context: 64,
            generation,
            wishes: SamplingWishes::default(),
            sampling: SamplingParams::default(),
            seed: None,
        };
        shared.catalog.set(0, Some(Arc::new(model)));
        shared.begin();
        Arc::new(shared)
    };
    Arc::clone(SHARED.get_or_init(make))
}

/// The names of all fields, those in objects and lists included, with what the readers call them.
fn names(groups: &[&[Field]], path: &str, all: &mut BTreeMap<String, Option<&'static str>>) {
    for field in groups.iter().copied().flatten() {
        let name = format!("{path}{}", field.name);
        match field.kind {
            Kind::Object(groups) => names(groups, &format!("{name}."), all),
            Kind::List(groups) => names(groups, &format!("{name}[0]."), all),
            _ => {}
        }
        assert!(all.insert(name, field.kind.expected()).is_none(), "{path}{} is there twice", field.name);
    }
}

/// A value of a field, with everything in it that has to be there.
fn example(field: &Field) -> Value {
    match (field.name, field.kind) {
        ("role", _) => json!("user"),
        ("model", _) => json!("demo"),
        ("source" | "destination", _) => json!("x"),
        ("type", _) => json!("enabled"),
        (_, Kind::Text) | ("content" | "prompt" | "input", _) => json!("x"),
        (_, Kind::Whole | Kind::Integer | Kind::Number) => json!(1),
        (_, Kind::Ids) => json!([1]),
        (_, Kind::Object(groups)) => whole(groups),
        (_, Kind::List(groups)) => json!([whole(groups)]),
        (name, kind) => panic!("no example for {name}: {kind:?}"),
    }
}

/// An object with the fields that have to be there, and those with fields of their own.
fn whole(groups: &[&[Field]]) -> Value {
    let fields = groups.iter().copied().flatten();
    let wanted = fields
        .filter(|field| field.required || field.name == "content" || matches!(field.kind, Kind::Object(_)));
    wanted.map(|field| (field.name.to_owned(), example(field))).collect::<Map<_, _>>().into()
}

#[test]
fn the_fields_are_those_that_are_read() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for route in routes() {
        let Some(groups) = route.described.and_then(|described| described.request) else { continue };
        let path = route.paths[0];
        let body = whole(groups).to_string().into();
        let call = Call {
            shared: shared(),
            id: "x".into(),
            key_salt: None,
            path: path.into(),
            headers: HeaderMap::new(),
            body,
        };
        seen::take();
        let answered = runtime.block_on((route.handler)(call));
        if let Err(refusal) = &answered {
            // There is no thread that computes, and no directory of models: all else is read by then.
            use crate::server::refusal::Kind::{Failed, NotAllowed};
            assert!(matches!(refusal.kind, Failed | NotAllowed), "{path}: {refusal:?}");
        }
        let mut read: BTreeMap<String, &str> = BTreeMap::new();
        for (name, expected) in seen::take() {
            // A field that is read in two ways is of no kind.
            let known = read.entry(name).or_insert(expected);
            *known = if known.is_empty() { expected } else { known };
        }
        let mut described = BTreeMap::new();
        names(groups, "", &mut described);
        let missing: Vec<_> = read.iter().filter(|(name, _)| !described.contains_key(*name)).collect();
        let gone: Vec<_> = described.keys().filter(|name| !read.contains_key(*name)).collect();
        assert!(missing.is_empty(), "{}: not in its fields (openapi/requests.rs): {missing:?}", path);
        assert!(gone.is_empty(), "{}: nothing reads {gone:?}", path);
        for (name, expected) in described {
            if let Some(expected) = expected {
                assert_eq!(read[&name], expected, "{}: {name}", path);
            }
        }
    }
}

#[test]
fn references_lead_somewhere() {
    let document = document();
    let text = document.to_string();
    let references: Vec<&str> =
        text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(references.len() > 20);
    assert!(references.iter().all(|pointer| document.pointer(pointer).is_some()), "{references:?}");
    assert!(document["paths"]["/v1/models/{name}"]["get"]["parameters"][0]["name"] == "name");
}
