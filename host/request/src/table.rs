//! Who answers for which host and path.

use http::Method;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Which hosts a route answers for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// Every host below this one: `*.example.com`.
    Below(String),
    /// Every host.
    Any,
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(host) => write!(f, "*.{host}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A table of routes, made once: the most specific host that has one, then the longest path.
#[derive(Debug, Clone)]
pub struct Table<T> {
    exact: HashMap<String, Vec<Place<T>>>,
    below: BTreeMap<String, Vec<Place<T>>>,
    any: Vec<Place<T>>,
}

/// What a route claims below its host. Of one host, longest paths come first.
#[derive(Debug, Clone)]
struct Place<T> {
    path: String,
    methods: Vec<Method>,
    route: T,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), below: BTreeMap::new(), any: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Adds a route for the path and everything below it, and for these methods; for all, if there are none. A final
    /// `/` of the path means nothing.
    ///
    /// # Errors
    /// The route that answers there already.
    pub fn add(&mut self, host: &HostPattern, path: &str, methods: &[Method], route: T) -> Result<(), &T> {
        let places = match host {
            HostPattern::Exact(host) => self.exact.entry(host.clone()).or_default(),
            HostPattern::Below(host) => self.below.entry(host.clone()).or_default(),
            HostPattern::Any => &mut self.any,
        };
        let path = path.trim_end_matches('/');
        let meets = |other: &Place<T>| {
            other.path == path
                && (other.methods.is_empty()
                    || methods.is_empty()
                    || other.methods.iter().any(|method| methods.contains(method)))
        };
        if let Some(taken) = places.iter().position(meets) {
            return places.get(taken).map_or(Ok(()), |other| Err(&other.route));
        }
        let at = places.partition_point(|place| place.path.len() >= path.len());
        places.insert(at, Place { path: path.to_owned(), methods: methods.to_vec(), route });
        Ok(())
    }

    /// The route for a request.
    pub fn find(&self, host: &str, path: &str, method: &Method) -> Option<&T> {
        let exact = self.exact.get(host).and_then(|places| pick(places, path, method));
        let below = || {
            let parents = host.match_indices('.').filter_map(|(dot, _)| host.get(dot + 1..));
            parents.filter_map(|parent| self.below.get(parent)).find_map(|places| pick(places, path, method))
        };
        exact.or_else(below).or_else(|| pick(&self.any, path, method))
    }

    /// Every route.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let all = self.exact.values().chain(self.below.values()).flatten().chain(&self.any);
        all.map(|place| &place.route)
    }

    /// The same table of other routes.
    #[must_use]
    pub fn map<U>(&self, change: impl Fn(&T) -> U) -> Table<U> {
        let all = |places: &Vec<Place<T>>| -> Vec<Place<U>> {
            let one = |place: &Place<T>| Place {
                path: place.path.clone(),
                methods: place.methods.clone(),
                route: change(&place.route),
            };
            places.iter().map(one).collect()
        };
        Table {
            exact: self.exact.iter().map(|(host, places)| (host.clone(), all(places))).collect(),
            below: self.below.iter().map(|(host, places)| (host.clone(), all(places))).collect(),
            any: all(&self.any),
        }
    }
}

fn pick<'a, T>(places: &'a [Place<T>], path: &str, method: &Method) -> Option<&'a T> {
    let below = |prefix: &str| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.is_empty())
    };
    let fits = |place: &&Place<T>| {
        below(&place.path) && (place.methods.is_empty() || place.methods.contains(method))
    };
    places.iter().find(fits).map(|place| &place.route)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(host: &str) -> HostPattern {
        HostPattern::Exact(host.to_owned())
    }

    #[test]
    fn the_most_specific_host_wins_then_the_longest_path() {
        let mut table = Table::default();
        let below = HostPattern::Below("acme.test".to_owned());
        for (host, path, route) in [
            (&HostPattern::Any, "/", "any"),
            (&below, "/", "below"),
            (&exact("a.acme.test"), "/api", "api"),
            (&exact("a.acme.test"), "/api/v1/", "v1"),
        ] {
            table.add(host, path, &[], route).unwrap();
        }
        let find = |host, path| table.find(host, path, &Method::GET).copied();
        assert_eq!(find("a.acme.test", "/api/v1/x"), Some("v1"));
        assert_eq!(find("a.acme.test", "/api/v12"), Some("api"));
        assert_eq!(find("a.acme.test", "/apis"), Some("below"));
        assert_eq!(find("acme.test", "/"), Some("any"));
        assert_eq!(table.map(|route| route.len()).find("x", "/", &Method::GET), Some(&3));
        assert_eq!(table.iter().count(), 4);
    }

    #[test]
    fn two_routes_of_one_place_collide_and_the_first_is_named() {
        let mut table = Table::default();
        table.add(&exact("a"), "/x", &[Method::GET], 1).unwrap();
        table.add(&exact("a"), "/x", &[Method::PUT], 2).unwrap();
        assert_eq!(table.add(&exact("a"), "/x/", &[], 3), Err(&1));
        assert_eq!(table.find("a", "/x", &Method::PUT), Some(&2));
        assert_eq!(table.find("a", "/x", &Method::POST), None);
    }
}
