//! Names of packages as WIT writes them: `namespace:name`.

use std::fmt;
use std::str::FromStr;

use crate::text::shown;

/// Longest namespace or name, in bytes.
const MAX_LABEL_BYTES: usize = 64;

/// A text is not a package name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a package name: write `namespace:name`, each in lower-case kebab-case such as `acme:web-shop` (at most 64 characters)"
)]
pub struct PackageNameError(String);

/// The name of a package, `namespace:name`, both in kebab-case.
///
/// Kebab-case as in the component model, lower case only: words of letters and digits joined by single
/// hyphens, the first of which begins with a letter. One spelling per package keeps a rule from being side-stepped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName {
    text: String,
    colon: usize,
}

impl PackageName {
    /// The part before the colon.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// The part after the colon.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.get(self.colon + 1..).unwrap_or_default()
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for PackageName {
    type Err = PackageNameError;

    fn from_str(text: &str) -> Result<Self, PackageNameError> {
        match text.split_once(':') {
            Some((namespace, name)) if is_kebab(namespace) && is_kebab(name) => {
                Ok(Self { text: text.to_owned(), colon: namespace.len() })
            }
            _ => Err(PackageNameError(shown(text))),
        }
    }
}

/// Whether a text is a lower-case kebab-case label of a length that we take.
pub(crate) fn is_kebab(text: &str) -> bool {
    text.len() <= MAX_LABEL_BYTES
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.split('-').all(|word| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_split_at_the_colon() {
        let name: PackageName = "acme-corp:web-shop-2".parse().unwrap();
        assert_eq!((name.namespace(), name.name()), ("acme-corp", "web-shop-2"));
    }

    #[test]
    fn names_that_are_not_kebab_case_are_refused() {
        for bad in [
            "",
            ":",
            "acme",
            "acme:",
            ":web",
            "Acme:web",
            "acme:web_shop",
            "acme:-web",
            "acme:web-",
            "acme:a--b",
        ] {
            assert!(bad.parse::<PackageName>().is_err(), "{bad}");
        }
        for bad in ["acme:web:shop", "acme:2web", "acme:web@1.0.0", "acme:web ", "acme:*", "acmé:web"] {
            assert!(bad.parse::<PackageName>().is_err(), "{bad}");
        }
        assert!(format!("acme:{}", "a".repeat(65)).parse::<PackageName>().is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_name_is_written_as_it_was_read(text in "[a-z0-9:-]{0,12}") {
            if let Ok(name) = text.parse::<PackageName>() {
                prop_assert_eq!(format!("{}:{}", name.namespace(), name.name()), text);
            }
        }
    }
}
