//! A binding as a member of the sets it is found in.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Binding;

/// One binding, shared between its source's and its target's set. What makes it the same
/// binding is source, target, key and arguments (behaviour A75); all bindings of a set are of
/// one vhost.
#[derive(Clone, Debug)]
pub(super) struct BindingRef(pub(super) Arc<Binding>);

impl PartialEq for BindingRef {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&*self.0, &*other.0);
        Arc::ptr_eq(&self.0, &other.0)
            || (a.source == b.source
                && a.target == b.target
                && a.key == b.key
                && a.arguments == b.arguments)
    }
}

impl Eq for BindingRef {}

impl Hash for BindingRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.source.hash(state);
        self.0.target.hash(state);
        self.0.key.hash(state);
        self.0.arguments.hash(state);
    }
}
