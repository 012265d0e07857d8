//! Who does not come in, and that nothing is made for them.

use jackfield_tests::keycloak::Browser;
use serde_json::json;

use super::{COOKIE, Site, error};

async fn people(site: &Site) -> usize {
    site.host().admin("/users").await.as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_person_needs_a_verified_address_that_nobody_else_has() {
    let Some(site) = Site::start("kc-checks", &[]).await else {
        return;
    };
    site.somebody("victim").await;
    assert_eq!(people(&site).await, 1);

    let twin = site.realm.create_user("twin").await;
    let change = |email: &str, verified: bool| json!({ "email": email, "emailVerified": verified });
    site.realm
        .change_user(&twin, &change("victim+2@example.com", true))
        .await;
    let mut browser = Browser::new();
    let visit = site.enter(&mut browser, &twin).await;
    assert_eq!(
        visit.url.as_str(),
        site.url("/login?duplicated_email=true"),
        "{visit:#?}"
    );
    assert!(browser.cookie(&site.url("/"), COOKIE).is_none());
    site.realm.record(&twin).await;

    site.realm.change_user(&twin, &change("twin@example.com", false)).await;
    let visit = site.enter(&mut Browser::new(), &twin).await;
    let page = site.url(&format!("/login?email_verification_required=true&user_id={}", twin.id));
    assert_eq!(visit.url.as_str(), page, "{visit:#?}");
    assert_eq!(people(&site).await, 1, "nothing is made for who does not come in");

    site.realm.change_user(&twin, &change("twin@example.com", true)).await;
    site.signed_in(&twin).await;
    assert_eq!(people(&site).await, 2);
    // Whoever was here before is never a duplicate.
    site.realm
        .change_user(&twin, &change("victim+3@example.com", true))
        .await;
    let person = site.signed_in(&twin).await;
    assert_eq!(person.me().await.1["email"], "victim+3@example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_blocked_domains_and_operators_keep_people_out() {
    let Some(site) = Site::start("kc-role", &[("ROLE_CHECK_ENABLED", "true")]).await else {
        return;
    };
    // The realm's client says roles of everybody, until its mapper is gone.
    let client = site.realm.client_settings().await;
    let mappers = client["protocolMappers"].as_array().unwrap();
    let roles = mappers.iter().find(|mapper| mapper["name"] == "roles").unwrap();
    let user = site.realm.create_user("roleless").await;
    site.signed_in(&user).await;
    let path = |of: &serde_json::Value| of["id"].as_str().unwrap().to_owned();
    let path = format!("/clients/{}/protocol-mappers/models/{}", path(&client), path(roles));
    let (status, said) = site.realm.admin(reqwest::Method::DELETE, &path, None).await;
    assert_eq!(status, 204, "{said}");
    let visit = site.enter(&mut Browser::new(), &user).await;
    assert_eq!((visit.status, error(&visit).as_str()), (401, "Missing required role"));
    let user = site.realm.create_user("another").await;
    assert_eq!(site.enter(&mut Browser::new(), &user).await.status, 401);
    assert_eq!(people(&site).await, 1, "nobody was made");

    let Some(site) = Site::start("kc-domain", &[]).await else {
        return;
    };
    let (code, out, err) = site
        .host()
        .setup
        .run(&["admin", "blocked-domains", "add", "blocked.example"]);
    assert_eq!(code, 0, "{out}{err}");
    let user = site.realm.create_user("blocked").await;
    let email = json!({ "email": "b@sub.blocked.example", "emailVerified": true });
    site.realm.change_user(&user, &email).await;
    let visit = site.enter(&mut Browser::new(), &user).await;
    assert_eq!(visit.status, 401, "{visit:#?}");
    assert!(error(&visit).contains("email domain is not allowed"), "{}", visit.body);
    assert_eq!(people(&site).await, 0);
    assert_eq!(
        site.realm.record(&user).await["enabled"],
        true,
        "Keycloak's account is left alone"
    );

    let (user, person) = site.somebody("disabled").await;
    let (code, out, err) =
        site.host()
            .setup
            .run(&["admin", "users", "set", "disabled@example.com", "--disabled", "true"]);
    assert_eq!(code, 0, "{out}{err}");
    person.await_status(401, super::SOON).await;
    let visit = site.enter(&mut Browser::new(), &user).await;
    assert_eq!(visit.status, 401, "{visit:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terms_are_asked_for_before_anything_else() {
    let Some(site) = Site::start("kc-terms", &[("JACKFIELD_IDENTITY__TERMS", "true")]).await else {
        return;
    };
    let user = site.realm.create_user("newcomer").await;
    let mut browser = Browser::new();
    let visit = site.enter(&mut browser, &user).await;
    assert_eq!(visit.url.path(), "/accept-tos", "{visit:#?}");
    let target = super::field(&visit, "redirect_url").unwrap();
    assert_eq!(target, site.url("/?login_method=keycloak"));
    let cookie = browser.cookie(&site.url("/"), COOKIE).unwrap();
    let person = super::Person { site: &site, cookie };
    let keys = person.get("/api/keys").await;
    assert_eq!(keys, (401, json!({ "error": "TosNotAcceptedError" })));
    let accepted = jackfield_tests::host::client()
        .post(site.url("/api/accept_tos"))
        .header("cookie", format!("{COOKIE}={}", person.cookie))
        .json(&json!({ "redirect_url": target }))
        .send()
        .await
        .unwrap();
    assert_eq!(
        accepted.json::<serde_json::Value>().await.unwrap()["redirect_url"],
        target
    );
    assert_eq!(person.get("/api/keys").await.0, 200);
    assert_eq!(site.enter(&mut Browser::new(), &user).await.url.as_str(), target);
}
