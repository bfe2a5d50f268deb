//! `tollgate check --target`.

use super::read_capped;
use crate::config::{Config, Tenant};
use crate::output::{Failure, Output, config_failure};
use serde::Serialize;
use std::path::Path;
use tollgate_derive::Target;
use tollgate_derive::report::{Demand, Offer, Report, keeps, report};
use tollgate_runtime::{Consistency, FailureMode, MAX_COMPONENT_BYTES, Unit};

/// One component against the target.
#[derive(Serialize)]
struct Component {
    /// The file, or `tenant/app`.
    name: String,
    fits: bool,
    #[serde(flatten)]
    report: Report,
}

/// One thing that the configuration asks for, against the target.
#[derive(Serialize)]
struct Asked {
    /// The table that asks for it.
    place: String,
    demand: Demand,
    #[serde(flatten)]
    offer: Offer,
}

#[derive(Serialize)]
struct Portability {
    fits: bool,
    target: Target,
    components: Vec<Component>,
    settings: Vec<Asked>,
}

/// Says what of a component, or if there is none of a whole configuration, a target can run and keep.
pub(super) fn run(
    target: Target,
    file: Option<&Path>,
    config: &Path,
    is_json: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let (components, settings) = match file {
        Some(file) => (vec![component(file.display().to_string(), file, target)?], Vec::new()),
        None => {
            let config = Config::read(config).map_err(config_failure)?;
            output.warnings(&config.warnings);
            let all = config.tenants.iter();
            let apps = all.flat_map(|tenant| tenant.apps.iter().map(move |app| (tenant, app)));
            // An app with an origin runs there, and Fastly has only the gate before it.
            let apps = apps.filter(|(_, app)| target != Target::Fastly || app.origin.is_none());
            let apps = apps.map(|(tenant, app)| {
                component(format!("{}/{}", tenant.name, app.name), &app.component, target)
            });
            (apps.collect::<Result<_, _>>()?, settings(&config, target))
        }
    };
    let fits = components.iter().all(|one| one.fits) && settings.iter().all(|asked| asked.offer.is_enough());
    let all = Portability { fits, target, components, settings };
    if is_json {
        output.json(&all)?;
    } else {
        show(&all, output)?;
    }
    if fits { Ok(()) } else { Err(Failure::said()) }
}

fn component(name: String, file: &Path, target: Target) -> Result<Component, Failure> {
    let bytes = read_capped(file, MAX_COMPONENT_BYTES)?;
    let report = report(&bytes, target)
        .map_err(|error| Failure::new(format!("`{}` can't be measured: {error}", file.display())))?;
    Ok(Component { name, fits: report.fits(), report })
}

fn settings(config: &Config, target: Target) -> Vec<Asked> {
    let mut settings: Vec<Asked> = Vec::new();
    let mut ask =
        |place: String, demand| settings.push(Asked { place, demand, offer: keeps(target, demand) });
    for tenant in &config.tenants {
        for (place, demand) in demands(tenant) {
            ask(format!("tenants.{}.{place}", tenant.name), demand);
        }
    }
    let engines = || config.tenants.iter().map(|tenant| tenant.policy.component.as_ref());
    if engines().zip(engines().skip(1)).any(|(one, other)| one != other) {
        ask("tenants".to_owned(), Demand::SeveralEngines);
    }
    settings
}

fn demands(tenant: &Tenant) -> Vec<(String, Demand)> {
    let mut demands = Vec::new();
    for bucket in &tenant.buckets {
        let place = format!("buckets.{}", bucket.name);
        if bucket.unit == Unit::Gas {
            demands.push((place.clone(), Demand::GasQuota));
        }
        let counts = match bucket.consistency {
            Consistency::Exact => Demand::ExactCounts,
            Consistency::Approximate => Demand::ApproximateCounts,
            Consistency::Eventual => Demand::EventualCounts,
        };
        demands.push((place, counts));
    }
    let open = tenant.routes.iter().filter(|route| route.failure == FailureMode::Open);
    demands.extend(open.map(|route| (format!("routes.{}", route.name), Demand::OpenRoute)));
    demands
}

fn show(all: &Portability, output: &mut Output) -> Result<(), Failure> {
    for Component { name, report, .. } in &all.components {
        output.text(format_args!("{name} on {report}\n"))?;
    }
    if all.settings.is_empty() {
        return Ok(());
    }
    output.line("the configuration")?;
    let width = all.settings.iter().map(|asked| asked.place.len()).max().unwrap_or_default();
    for Asked { place, demand, offer } in &all.settings {
        output.line(format_args!("  {place:width$}  {:22}{offer}", demand.to_string()))?;
    }
    Ok(())
}
