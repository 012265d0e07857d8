//! A new generation of one plugin because somebody asked for it, also when nothing of it has changed.

use super::{ChangeError, Plugins};
use crate::{
    table::RouteTable,
    wanted::{Enablement, Wanted},
};

impl Plugins {
    /// A new generation of one plugin: of what is wanted of it now, or with what it has. It starts without the faults of the
    /// one before, so this ends a quarantine.
    pub async fn reload(&self, id: &str, fresh: Option<Wanted>) -> Result<(), ChangeError> {
        self.renew(id, fresh, true).await
    }

    /// The same with the faults of the one before.
    pub async fn replace(&self, id: &str) -> Result<(), ChangeError> {
        self.renew(id, None, false).await
    }

    async fn renew(&self, id: &str, fresh: Option<Wanted>, forgive: bool) -> Result<(), ChangeError> {
        let _one = self.0.changing.lock().await;
        let wanted = fresh.or_else(|| self.slots().get(id).map(|slot| slot.wanted.clone()));
        let wanted = wanted.ok_or_else(|| ChangeError::Unknown(id.to_owned()))?;
        let mut all: Vec<Wanted> = self.slots().values().map(|slot| slot.wanted.clone()).collect();
        all.retain(|one| one.id != id);
        all.push(wanted.clone());
        RouteTable::check(&self.0.own_routes, &self.declared(&all))?;
        let fix = match &wanted.enablement {
            Enablement::Enabled(_) => None,
            Enablement::Disabled(_) => Some("enable it first".to_owned()),
            Enablement::Refused(why) => Some(why.clone()),
        };
        let mut replaced = Vec::new();
        self.bring(wanted, true, &mut replaced).await;
        if forgive && fix.is_none() {
            self.lift_quarantine(id).await?;
        }
        self.rebuild().await?;
        self.retire(replaced);
        fix.map_or(Ok(()), |fix| {
            Err(ChangeError::State {
                id: id.to_owned(),
                state: self.state_of(id),
                fix,
            })
        })
    }
}
