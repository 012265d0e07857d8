//! Operators that need no account: whoever holds the operator key, or sits at the control socket as this host's user or root.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jackfield_sdk::{Principal, PrincipalKind, principal::OPERATOR};
use subtle::ConstantTimeEq;

/// What makes an operator. Cheap to clone.
#[derive(Clone)]
pub struct Operators {
    key: Arc<ArcSwapOption<String>>,
    uid: u32,
}

impl Operators {
    /// With the operator key, when there is one, and the user that this host runs as.
    pub fn new(key: Option<&str>, uid: u32) -> Self {
        Self {
            key: Arc::new(ArcSwapOption::from_pointee(key.map(str::to_owned))),
            uid,
        }
    }

    /// Another key from now on, or none.
    pub fn set_key(&self, key: Option<&str>) {
        self.key.store(key.map(|key| Arc::new(key.to_owned())));
    }

    pub(crate) fn holds(&self, bearer: &str) -> bool {
        let key = self.key.load();
        key.as_deref()
            .is_some_and(|key| bool::from(key.as_bytes().ct_eq(bearer.as_bytes())))
    }

    pub(crate) fn is_ours(&self, uid: u32) -> bool {
        uid == self.uid || uid == 0
    }

    pub(crate) fn principal() -> Principal {
        Principal {
            id: OPERATOR.to_owned(),
            kind: PrincipalKind::Operator,
            scopes: Vec::new(),
            user: None,
            organization: None,
            session: None,
        }
    }
}
