//! What the host says of its own routes is what it serves.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jackfield_storage::{KeyRing, Vault};
use serde_json::Value;

use super::World;
use crate::{Keycloak, KeycloakProvider, KeycloakSettings, Local, OwnRoute, Provider};

const METHODS: [&str; 2] = ["get", "post"];

fn documented(document: &Value) -> BTreeSet<(String, String, bool)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        METHODS.iter().filter_map(move |method| {
            let operation = item.get(*method)?;
            let public = operation
                .get("security")
                .is_some_and(|security| security == &serde_json::json!([]));
            Some((method.to_uppercase(), path.clone(), public))
        })
    });
    operations.collect()
}

fn served(routes: &[OwnRoute]) -> BTreeSet<(String, String, bool)> {
    let row = |route: &OwnRoute| (route.method.to_owned(), route.path.to_owned(), route.policy == "public");
    routes.iter().map(row).collect()
}

#[tokio::test]
async fn the_document_names_every_route_of_the_host_and_no_other() {
    let world = World::new().await;
    let all: BTreeSet<_> = world.identity.openapi().iter().flat_map(documented).collect();
    assert_eq!(all, served(&world.identity.own_routes()));

    let ring = KeyRing::parse("k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").unwrap();
    let vault = Vault::open(world.database.clone(), ring).await.unwrap();
    let settings = KeycloakSettings {
        server_url: "http://127.0.0.1:9".to_owned(),
        browser_url: "http://127.0.0.1:9".to_owned(),
        realm: "allhands".to_owned(),
        client_id: "allhands".to_owned(),
        client_secret: "of-nobody".into(),
        public_url: "http://127.0.0.1:3000/".parse().unwrap(),
        role_check: false,
        duplicate_email_check: true,
        timeout: Duration::from_secs(5),
        extra_ca: None,
    };
    let keycloak = KeycloakProvider(Keycloak::new(settings, Arc::new(vault)).unwrap());
    for provider in [&Local as &dyn Provider, &keycloak] {
        let document: Value = serde_json::from_str(provider.openapi()).unwrap();
        assert_eq!(documented(&document), served(&provider.own_routes()));
    }
}
