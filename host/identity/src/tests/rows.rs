//! What is kept: links, people, devices, the trail, blocked domains.

use std::time::Duration;

use jackfield_sdk::identity::AuditEntry;
use jackfield_storage::entity::{audit, blocked_email_domain};
use sea_orm::{ActiveValue::Set, EntityTrait, QueryFilter, sea_query::Expr};

use super::{World, pass, with_key};
use crate::{
    devices::{Decided, Polled},
    sessions::From,
};

#[tokio::test]
async fn a_fresh_installation_has_a_link_until_somebody_came() {
    let world = World::new().await;
    let token = |path: &str| path.split_once("token=").unwrap().1.to_owned();
    let first = world.identity.first_link().await.unwrap().unwrap();
    let again = world.identity.first_link().await.unwrap().unwrap();
    assert!(
        world.identity.redeem(&token(&first.path)).await.unwrap().is_none(),
        "only the last one is good"
    );
    let owner = world.identity.redeem(&token(&again.path)).await.unwrap().unwrap();
    assert!(owner.operator);
    assert!(
        world.identity.redeem(&token(&again.path)).await.unwrap().is_none(),
        "once"
    );
    world.identity.begin_session(&owner.id, From::default()).await.unwrap();
    assert!(world.identity.first_link().await.unwrap().is_none());
    let link = world.identity.link(&owner.id).await.unwrap();
    world.clock.advance(Duration::from_secs(900));
    assert!(
        world.identity.redeem(&token(&link.path)).await.unwrap().is_none(),
        "late"
    );
    assert_eq!(world.identity.users().await.unwrap().len(), 1);
}

#[tokio::test]
async fn two_first_sign_ins_make_one_person() {
    let world = World::new().await;
    let (one, two) = tokio::join!(world.person("ann"), world.person("ann"));
    assert_eq!(one.id, two.id);
    let places = world.identity.memberships("ann").await.unwrap();
    assert_eq!(places.len(), 1);
    assert_eq!(places[0].name, "user_ann_org");
}

#[tokio::test]
async fn a_device_gets_its_key_once_and_after_approval() {
    let world = World::new().await;
    world.person("ann").await;
    let codes = world.identity.new_device().await.unwrap();
    assert_eq!((codes.device.len(), codes.user.len()), (128, 8));
    let poll = async || {
        world.clock.advance(Duration::from_secs(5));
        world.identity.poll_device(&codes.device).await.unwrap()
    };
    assert!(matches!(poll().await, Polled::Pending));
    let soon = world.identity.poll_device(&codes.device).await.unwrap();
    assert!(matches!(soon, Polled::TooOften { wait_s: 10 }));
    world.clock.advance(Duration::from_secs(5));
    let soon = world.identity.poll_device(&codes.device).await.unwrap();
    assert!(
        matches!(soon, Polled::TooOften { wait_s: 15 }),
        "it was told to wait 10"
    );
    world.clock.advance(Duration::from_secs(15));
    let decide = async |approve| {
        world
            .identity
            .decide_device(&codes.user, approve, "ann", "ann")
            .await
            .unwrap()
    };
    assert_eq!(decide(true).await, Decided::Done);
    assert_eq!(decide(false).await, Decided::Over);
    let Polled::Key(created) = poll().await else {
        panic!("no key")
    };
    assert_eq!(
        created.listed.name,
        Some(format!("Device Link Access Key ({})", codes.user))
    );
    assert!(pass(&world.identity, with_key(&created.key)).await.is_ok());
    assert!(matches!(poll().await, Polled::Unknown), "handed out once");
    assert_eq!(
        world
            .identity
            .decide_device("NOTTHERE", true, "ann", "ann")
            .await
            .unwrap(),
        Decided::Unknown
    );
}

#[tokio::test]
async fn a_denied_device_and_a_late_one_get_no_key() {
    let world = World::new().await;
    world.person("ann").await;
    let denied = world.identity.new_device().await.unwrap();
    world
        .identity
        .decide_device(&denied.user, false, "ann", "ann")
        .await
        .unwrap();
    assert!(matches!(
        world.identity.poll_device(&denied.device).await.unwrap(),
        Polled::Denied
    ));
    let late = world.identity.new_device().await.unwrap();
    world
        .identity
        .decide_device(&late.user, true, "ann", "ann")
        .await
        .unwrap();
    world.clock.advance(Duration::from_secs(600));
    assert!(matches!(
        world.identity.poll_device(&late.device).await.unwrap(),
        Polled::Expired
    ));
    assert!(world.identity.keys("ann", "ann").await.unwrap().is_empty());
}

#[tokio::test]
async fn the_trail_shows_what_was_changed_in_it() {
    let world = World::new().await;
    for number in 0..5 {
        let entry = AuditEntry {
            actor: "ann".to_owned(),
            action: "key.created".to_owned(),
            target: format!("key:{number}"),
            address: None,
            detail: serde_json::json!({ "n": number }),
        };
        world.identity.record(entry).await.unwrap();
    }
    let sound = async || {
        let rows = world.identity.audit(0, 100).await.unwrap();
        rows.iter().map(|row| row.sound).collect::<Vec<_>>()
    };
    assert_eq!(sound().await, [true; 5]);
    let page = world.identity.audit(2, 2).await.unwrap();
    assert_eq!(
        page.iter().map(|row| (row.seq, row.sound)).collect::<Vec<_>>(),
        [(3, true), (4, true)]
    );
    let write = world.database.writer();
    audit::Entity::update_many()
        .col_expr(audit::Column::Target, Expr::value("key:9"))
        .filter(sea_orm::ColumnTrait::eq(&audit::Column::Seq, 2))
        .exec(write)
        .await
        .unwrap();
    assert_eq!(sound().await, [true, false, true, true, true]);
    audit::Entity::delete_by_id(4).exec(write).await.unwrap();
    assert_eq!(sound().await, [true, false, true, false]);
}

#[tokio::test]
async fn blocked_domains_block_what_is_below_them() {
    let world = World::new().await;
    let row = blocked_email_domain::ActiveModel {
        domain: Set("evil.example".to_owned()),
        created_ms: Set(0),
    };
    blocked_email_domain::Entity::insert(row)
        .exec_without_returning(world.database.writer())
        .await
        .unwrap();
    for (domain, blocked) in [
        ("evil.example", true),
        ("mail.Evil.example", true),
        ("notevil.example", false),
        ("example", false),
    ] {
        assert_eq!(world.identity.is_blocked(domain).await.unwrap(), blocked, "{domain}");
    }
}
