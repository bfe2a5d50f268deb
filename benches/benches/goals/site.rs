//! Sites: what hosts of these goals are configured with. Every tenant has ten policies and two buckets.

use benchkit::TEN_POLICIES;
use std::fmt::Write as _;
use std::path::Path;
use testkit::{App, Case, Site, Tenant, guest, key, sign};

/// Limits that nothing here reaches: they are armed all the same.
pub(crate) const WIDE: &str = "fuel = 1_000_000_000_000_000_000\ngas = 1_000_000_000_000_000_000\ncpu-ms = 600_000\n\
     deadline-ms = 600_000\nhost-calls = 1_000_000_000\n\
     request-body-bytes = 4_294_967_296\nresponse-body-bytes = 4_294_967_296";

/// The same for a tenant in all.
pub(crate) const WIDE_TOTALS: &str = "gas-per-hour = 1_000_000_000_000_000_000";

/// Two buckets on a route: one for each address, one for the tenant.
const BUCKETS: [&str; 2] = [
    "[buckets.burst]\nunit = \"requests\"\nquota = 1_000_000_000\nwindow = \"1m\"\nkey = [\"client-address\"]",
    "[buckets.day]\nunit = \"requests\"\nquota = 1_000_000_000\nwindow = \"1d\"\nkey = [\"tenant\"]",
];

fn policies(tenant: &str) -> String {
    // Bodies are sent without a token: what nobody without one may write is kept to one place.
    let writes = r#"forbid(principal is Anonymous, action in Action::"write", resource)"#;
    let some = format!(r#"{writes} when {{ context.path like "/drafts/*" }}"#);
    let ten = TEN_POLICIES.replace(writes, &some).replace("acme/", &format!("{tenant}/"));
    format!("{ten}\n@id(\"all\") permit(principal, action, resource);")
}

/// One tenant `acme` with one app at `/`.
pub(crate) fn one(app: App) -> Case {
    let tenant =
        Tenant::new("acme").app(app.route("buckets = [\"burst\", \"day\"]")).policy(&policies("acme"));
    let tenant = BUCKETS.iter().fold(tenant, |tenant, bucket| tenant.tables(bucket));
    Case::new().capacity("instances = 1000").tenant(tenant)
}

/// A tenant of a large site, and the files of its apps' components. The app `a3` answers for `NAME.test` at `/a3`.
pub(crate) struct Many {
    pub(crate) name: String,
    pub(crate) components: Vec<String>,
}

/// So many tenants with ten apps each, of a few components that all of them share.
pub(crate) fn shared(tenants: usize, files: &[String]) -> Vec<Many> {
    let components = |tenant: usize| (0..10).map(|app| files[(tenant + app) % files.len()].clone()).collect();
    (0..tenants).map(|n| Many { name: format!("t{n:04}"), components: components(n) }).collect()
}

/// A site of many tenants; their components are put there by [`place`].
pub(crate) fn many(tenants: &[Many]) -> Site {
    let site = Case::new().capacity("instances = 1000").write();
    let mut toml = site.configuration();
    for Many { name, components } in tenants {
        let _ = write!(toml, "\n[tenants.{name}]\npolicy = {{ text = '''{}''' }}\n", policies(name));
        for bucket in BUCKETS {
            toml += &format!("{}\n", bucket.replacen('[', &format!("[tenants.{name}."), 1));
        }
        for (number, file) in components.iter().enumerate() {
            let _ = write!(
                toml,
                "[tenants.{name}.apps.a{number}]\ncomponent = \"{file}\"\n\
                 [[tenants.{name}.routes]]\nname = \"a{number}\"\napp = \"a{number}\"\nhost = \"{name}.test\"\n\
                 path = \"/a{number}\"\nbuckets = [\"burst\", \"day\"]\n"
            );
        }
    }
    site.configure(&toml);
    site
}

/// Puts guests there, signed; returns their files' names.
pub(crate) fn place(site: &Path, guests: &[&str]) -> Vec<String> {
    let mut files = Vec::new();
    for name in guests {
        files.push(format!("{name}.wasm"));
        std::fs::copy(guest(name), site.join(format!("{name}.wasm"))).unwrap();
        sign(&site.join(format!("{name}.wasm")), "test:guest", key());
    }
    files
}

/// Puts components there that do what a guest does and are each of other bytes, so that each has code of its own.
pub(crate) fn place_distinct(site: &Path, name: &str, count: usize) -> Vec<String> {
    let bytes = std::fs::read(guest(name)).unwrap();
    let one = |number: usize| {
        // A custom section: its id, its length, its name with the name's length.
        let label = format!("copy{number:04}");
        let mut own = bytes.clone();
        own.extend([0, label.len() as u8 + 1, label.len() as u8]);
        own.extend(label.bytes());
        let file = format!("{name}-{number:04}.wasm");
        std::fs::write(site.join(&file), own).unwrap();
        sign(&site.join(&file), "test:guest", key());
        file
    };
    (0..count).map(one).collect()
}
