//! What a new configuration takes over from the one in force: an app or a gate that would be made of the same again.
//!
//! A reload reads and verifies every file anew. But where nothing has changed, what is there goes on, with its warm
//! instances: so a reload costs what has changed, and those whom it does not concern notice nothing.

use parking_lot::Mutex;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// What everything here can be, and what it was made of.
type Anything = dyn Any + Send + Sync;

/// What it was made of, and where it is.
type Known = (Box<Anything>, Weak<Anything>);

/// Things that live, by what and whose they are, each with everything that it was made of.
#[derive(Default)]
pub(crate) struct Kept {
    all: Mutex<HashMap<(TypeId, String), Known>>,
}

impl Kept {
    /// What has this name, if it lives and was made of this.
    pub(crate) fn find<T: Any + Send + Sync, Origin: Any + PartialEq>(
        &self,
        name: &str,
        origin: &Origin,
    ) -> Option<Arc<T>> {
        let all = self.all.lock();
        let (known, thing) = all.get(&(TypeId::of::<T>(), name.to_owned()))?;
        let same = known.downcast_ref() == Some(origin);
        thing.upgrade().filter(|_| same)?.downcast().ok()
    }

    /// Remembers what was made for as long as it lives, in place of what had its name.
    pub(crate) fn keep<T: Any + Send + Sync, Origin: Any + Send + Sync>(
        &self,
        name: String,
        origin: Origin,
        thing: &Arc<T>,
    ) {
        let thing: Arc<Anything> = thing.clone();
        let mut all = self.all.lock();
        if all.len() == all.capacity() {
            all.retain(|_, (_, thing)| thing.strong_count() > 0);
        }
        all.insert((TypeId::of::<T>(), name), (Box::new(origin), Arc::downgrade(&thing)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_found_while_it_lives_and_anything_else_never() {
        let kept = Kept::default();
        let thing = Arc::new("made");
        kept.keep("acme/web".into(), 1_i32, &thing);
        let found = |name, origin: i32| kept.find::<&str, _>(name, &origin);
        assert_eq!(found("acme/web", 1), Some(thing.clone()));
        assert_eq!(found("acme/web", 2), None);
        assert_eq!(found("acme/api", 1), None);
        assert_eq!(kept.find::<String, _>("acme/web", &1), None, "it is of another kind");
        drop(thing);
        assert_eq!(found("acme/web", 1), None);
    }

    #[test]
    fn what_is_gone_takes_no_room() {
        let kept = Kept::default();
        for number in 0..10_000 {
            kept.keep(number.to_string(), number, &Arc::new(()));
        }
        assert!(kept.all.lock().len() < 10);
    }
}
