//! The route table: built from routes of the input's choice and asked for requests of its choice, beside a model that
//! looks at every route.

mod gate;

use crate::input::Input;
use http::Method;
use tollgate_runtime::doors::routed;
use tollgate_runtime::{FailureMode, HostPattern, House, Name, Route, RouteError, Tenant, TenantTotals};

const HOSTS: [&str; 7] = ["a", "b.a", "c.b.a", "d.c.b.a", "xa", "a.", ""];
const PATHS: [&str; 10] = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/a//", "/b", "/a/b/", "/a%2Fb"];
const METHODS: [Method; 3] = [Method::GET, Method::POST, Method::PUT];

/// Makes a table, and asks it.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut routes = Vec::new();
    for number in 0..input.below(12) {
        routes.push(route(&mut input, number));
    }
    let tenant = Tenant {
        name: name("acme"),
        totals: TenantTotals::default(),
        gate: gate::any(),
        clients: Vec::new(),
    };
    let wanted: Vec<Known> = routes.iter().map(Known::of).collect();
    let house = House::new(vec![tenant], routes);
    let collides =
        wanted.iter().enumerate().any(|(place, one)| wanted[..place].iter().any(|other| one.meets(other)));
    let house = match house {
        Ok(house) => house,
        Err(RouteError::Collision { .. }) => return assert!(collides),
        Err(RouteError::NoTenant { .. }) => panic!("the tenant is there"),
    };
    assert!(!collides, "a collision was not noticed");
    for _ in 0..8 {
        let host = input.choice(&HOSTS);
        let path = path(&mut input);
        let method = METHODS[input.below(METHODS.len())].clone();
        let found = routed(&house, host, &path, &method).map(|route| route.name.as_str().to_owned());
        assert_eq!(found, model(&wanted, host, &path, &method), "{method} {host} {path}: {wanted:?}");
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn path(input: &mut Input<'_>) -> String {
    let mut path = input.choice(&PATHS).to_owned();
    for _ in 0..input.below(3) {
        path += input.choice(&PATHS);
    }
    path
}

fn route(input: &mut Input<'_>, number: usize) -> Route {
    let host = input.choice(&HOSTS).to_owned();
    Route {
        tenant: name("acme"),
        name: name(&format!("r{number}")),
        host: match input.byte() % 3 {
            0 => HostPattern::Exact(host),
            1 => HostPattern::Below(host),
            _ => HostPattern::Any,
        },
        path: path(input),
        methods: METHODS.iter().filter(|_| input.flag()).cloned().collect(),
        app_name: name("web"),
        app: None,
        headers: Vec::new(),
        failure: FailureMode::Closed,
    }
}

/// What the model knows of a route.
#[derive(Debug)]
struct Known {
    name: String,
    host: HostPattern,
    /// Segments; a final slash means nothing.
    path: Vec<String>,
    methods: Vec<Method>,
}

impl Known {
    fn of(route: &Route) -> Self {
        let path = route.path.trim_end_matches('/');
        Self {
            name: route.name.as_str().to_owned(),
            host: route.host.clone(),
            path: path.split('/').skip(1).map(str::to_owned).collect(),
            methods: route.methods.clone(),
        }
    }

    fn meets(&self, other: &Self) -> bool {
        let both = |method: &Method| self.takes(method) && other.takes(method);
        let any = self.methods.is_empty() && other.methods.is_empty();
        self.host == other.host && self.path == other.path && (any || METHODS.iter().any(both))
    }

    fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// How many labels of the host it names, with its own host before every pattern; none if it is for others.
    fn fits(&self, host: &str) -> Option<usize> {
        match &self.host {
            HostPattern::Exact(own) => (own == host).then_some(usize::MAX),
            HostPattern::Below(parent) => host.ends_with(&format!(".{parent}")).then_some(parent.len() + 1),
            HostPattern::Any => Some(0),
        }
    }
}

fn model(routes: &[Known], host: &str, path: &str, method: &Method) -> Option<String> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let here = |route: &&Known| {
        let begins =
            segments.len() >= route.path.len() && segments.iter().zip(&route.path).all(|(a, b)| a == b);
        begins && route.takes(method) && route.fits(host).is_some()
    };
    let best = routes.iter().filter(here).max_by_key(|route| (route.fits(host), route.path.len()))?;
    Some(best.name.clone())
}
