//! What is uploaded of a bundle: its modules, and of its `wrangler.jsonc` what the platform is told.

use crate::artifact::Artifact;
use crate::multipart::Part;
use crate::provider::{ProviderError, Secret};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The file of a bundle that says how the worker is set up.
const MANIFEST: &str = "wrangler.jsonc";

/// What `tollgate build` writes into it, without comments. A key that is not known here is an error: it would be left
/// out without a word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    #[serde(rename = "name")]
    _name: String,
    main: String,
    #[serde(rename = "no_bundle")]
    _no_bundle: bool,
    #[serde(rename = "find_additional_modules")]
    _find_additional_modules: bool,
    #[serde(rename = "rules")]
    _rules: Value,
    compatibility_date: String,
    #[serde(default)]
    compatibility_flags: Vec<String>,
    limits: Option<Value>,
    #[serde(default)]
    durable_objects: Objects,
    #[serde(default)]
    migrations: Vec<Migration>,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    version_metadata: Option<Binding>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Objects {
    bindings: Vec<Object>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    name: String,
    class_name: String,
}

#[derive(Deserialize)]
struct Migration {
    tag: String,
    #[serde(flatten)]
    step: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Binding {
    binding: String,
}

/// An upload in the making.
pub(super) struct Upload<'a> {
    artifact: &'a Artifact,
    secrets: &'a [Secret],
    manifest: Manifest,
}

impl<'a> Upload<'a> {
    pub(super) fn of(artifact: &'a Artifact, secrets: &'a [Secret]) -> Result<Self, ProviderError> {
        let text = artifact.file(MANIFEST);
        let text = text.ok_or_else(|| {
            ProviderError::Unfit(format!("the bundle has no {MANIFEST}: build it with `--target cloudflare`"))
        })?;
        let manifest: Manifest = serde_json::from_slice(text).map_err(|error| {
            ProviderError::Unfit(format!("{MANIFEST} of the bundle can't be read: {error}"))
        })?;
        if artifact.file(&manifest.main).is_none() {
            return Err(ProviderError::Unfit(format!("the bundle has no {}", manifest.main)));
        }
        Ok(Self { artifact, secrets, manifest })
    }

    /// The tag of the last change of Durable Object classes that the bundle knows of.
    pub(super) fn last_migration(&self) -> Option<&str> {
        self.manifest.migrations.last().map(|migration| migration.tag.as_str())
    }

    /// The changes that come after one; none if there are none.
    pub(super) fn migrations_after(&self, tag: Option<&str>) -> Option<Value> {
        let all = &self.manifest.migrations;
        let done =
            tag.and_then(|tag| all.iter().position(|migration| migration.tag == tag)).map_or(0, |at| at + 1);
        let left = all.get(done..).filter(|left| !left.is_empty())?;
        let steps: Vec<&Map<String, Value>> = left.iter().map(|migration| &migration.step).collect();
        let mut migrations = json!({ "new_tag": left.last()?.tag, "steps": steps });
        if let (Some(tag), Some(migrations)) = (tag, migrations.as_object_mut()) {
            migrations.insert("old_tag".into(), tag.into());
        }
        Some(migrations)
    }

    /// The form's first part. Secrets that are there stay as they are.
    pub(super) fn metadata(&self, migrations: Option<Value>) -> Vec<u8> {
        let Manifest { main, compatibility_date, compatibility_flags, limits, durable_objects, vars, .. } =
            &self.manifest;
        let mut bindings: Vec<Value> = Vec::new();
        for Object { name, class_name } in &durable_objects.bindings {
            bindings
                .push(json!({"type": "durable_object_namespace", "name": name, "class_name": class_name}));
        }
        for (name, text) in vars {
            bindings.push(json!({"type": "plain_text", "name": name, "text": text}));
        }
        if let Some(Binding { binding }) = &self.manifest.version_metadata {
            bindings.push(json!({"type": "version_metadata", "name": binding}));
        }
        for Secret { name, value } in self.secrets {
            bindings.push(json!({"type": "secret_text", "name": name, "text": **value}));
        }
        let mut metadata = json!({
            "main_module": main,
            "compatibility_date": compatibility_date,
            "compatibility_flags": compatibility_flags,
            "bindings": bindings,
            "keep_bindings": ["secret_text", "secret_key"],
            "annotations": {
                (super::TAG): self.artifact.key().to_string(),
                "workers/message": "tollgate deploy",
            },
        });
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.extend(limits.clone().map(|limits| ("limits".to_owned(), limits)));
            metadata.extend(migrations.map(|migrations| ("migrations".to_owned(), migrations)));
        }
        metadata.to_string().into_bytes()
    }

    /// The form: the metadata, then each module under its path.
    pub(super) fn parts<'b>(&'b self, metadata: &'b [u8]) -> Vec<Part<'b>> {
        let first = Part { name: "metadata", file: None, content_type: "application/json", bytes: metadata };
        let module = |(path, bytes): (&'b String, &'b Vec<u8>)| {
            let content_type = match path.rsplit_once('.')?.1 {
                "js" => "application/javascript+module",
                "wasm" => "application/wasm",
                _ => return None,
            };
            Some(Part { name: path, file: Some(path.as_str()), content_type, bytes })
        };
        std::iter::once(first).chain(self.artifact.files().iter().filter_map(module)).collect()
    }
}
