//! How many deliveries of a plugin, and of one of its tenants, may be on their way into the store at once. More are shed
//! with 503 before memory grows, so that a flood of one tenant leaves room for the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Deliveries of one plugin.
const PLUGIN: usize = 512;
/// Deliveries of one tenant, once it is known: after verification.
const TENANT: usize = 256;

/// Places of one plugin.
pub(crate) struct Ingress {
    all: Arc<Semaphore>,
    tenants: Mutex<HashMap<String, usize>>,
}

/// A tenant's place; given back when dropped.
pub(crate) struct TenantPlace<'i> {
    ingress: &'i Ingress,
    tenant: String,
}

impl Default for Ingress {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(PLUGIN)),
            tenants: Mutex::default(),
        }
    }
}

impl Ingress {
    /// A place for one more delivery of the plugin.
    pub(crate) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).try_acquire_owned().ok()
    }

    /// A place for one more delivery of `tenant`. Where no tenant is known, all share one.
    pub(crate) fn enter_tenant(&self, tenant: &str) -> Option<TenantPlace<'_>> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = tenants.entry(tenant.to_owned()).or_default();
        if *inside >= TENANT && !tenant.is_empty() {
            return None;
        }
        *inside += 1;
        Some(TenantPlace {
            ingress: self,
            tenant: tenant.to_owned(),
        })
    }
}

impl Drop for TenantPlace<'_> {
    fn drop(&mut self) {
        let mut tenants = self.ingress.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(inside) = tenants.get_mut(&self.tenant) {
            *inside -= 1;
            if *inside == 0 {
                tenants.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_its_own_limit_and_gives_places_back() {
        let ingress = Ingress::default();
        let taken: Vec<_> = (0..TENANT).map_while(|_| ingress.enter_tenant("loud")).collect();
        assert_eq!(taken.len(), TENANT);
        assert!(ingress.enter_tenant("loud").is_none());
        assert!(ingress.enter_tenant("quiet").is_some());
        drop(taken);
        assert!(ingress.enter_tenant("loud").is_some());
        assert!(ingress.tenants.lock().is_ok_and(|tenants| tenants.is_empty()));
    }

    #[test]
    fn a_plugin_has_a_limit() {
        let ingress = Ingress::default();
        let taken: Vec<_> = (0..=PLUGIN).map_while(|_| ingress.enter()).collect();
        assert_eq!(taken.len(), PLUGIN);
    }
}
