//! A new plugin in a file: what `jackfield plugin new NAME --dylib` makes builds, is loaded, answers, handles deliveries, and is
//! switched by each command.

use jackfield_tests::host::binary;
use serde_json::Value;

use super::{SOON, built, cargo, change, deliver, get, new_plugin, place, row, setup, until};

const SECRET: &str = "a secret of the front desk";

#[tokio::test(flavor = "multi_thread")]
async fn a_new_plugin_in_a_file_is_loaded_called_and_switched() {
    let Some(_) = binary() else { return };
    let plugin = new_plugin(&place("thirdparty-new"), "front-desk");
    built(cargo(&["build", "--offline"]), &plugin);
    let file = plugin.join("plugins.toml");
    let before = std::fs::read_to_string(&file).unwrap();

    let setup = setup(plugin.clone()).with("FRONT_DESK_SECRET", SECRET);
    let (code, out, _) = setup.run(&["plugins", "verify", "target/debug/libfront_desk.so"]);
    assert_eq!(code, 0, "{out}");
    let host = setup.start().await;

    let now = row(&host, "front-desk").await;
    for (member, value) in [("carrier", "dylib"), ("state", "active"), ("version", "0.1.0")] {
        assert_eq!(now[member], value, "{now}");
    }
    assert_eq!((&now["routes"], &now["webhooks"]), (&Value::from(1), &Value::from(1)));
    assert_eq!(
        get(&host, "/front-desk/hello").await,
        (200, r#"{"text":"Hello, world!"}"#.to_owned())
    );

    // As README.md of the new plugin says: the command signs and sends.
    std::fs::write(plugin.join("ada.json"), r#"{"who":"Ada"}"#).unwrap();
    let sent = host
        .setup
        .run_aside(&["deliveries", "send", "ada.json", "--plugin", "front-desk"])
        .await;
    assert!(sent.0 == 0 && sent.1.contains("stored as"), "{sent:?}");
    until(&host, "/front-desk/hello", "Hello, Ada!").await;
    let done = host.settle(&["done"], SOON).await;
    assert_eq!(done[0]["outcome"], "Ada arrived");
    let (hook, signature) = ("/front-desk/events", "x-signature-256");
    assert_eq!(
        deliver(&host, hook, signature, "another secret", r#"{"who":"Eve"}"#).await,
        401
    );

    // Paused, what is delivered is kept, and runs when the pause ends.
    change(&host, "pause", "front-desk").await;
    assert_eq!(row(&host, "front-desk").await["state"], "paused");
    assert_eq!(deliver(&host, hook, signature, SECRET, r#"{"who":"Bob"}"#).await, 200);
    let rows = host.settle(&["held", "done"], SOON).await;
    assert_eq!(rows.iter().filter(|row| row["state"] == "held").count(), 1);
    change(&host, "resume", "front-desk").await;
    host.settle(&["done"], SOON).await;
    until(&host, "/front-desk/hello", "Hello, Bob!").await;

    // Switched off and on in the file, whose comments stay.
    change(&host, "disable", "front-desk").await;
    assert!(!get(&host, "/front-desk/hello").await.1.contains("Hello"));
    let now = row(&host, "front-desk").await;
    assert_eq!(
        (&now["state"], &now["enabled"]),
        (&Value::from("disabled"), &Value::from(false))
    );
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        before.replacen("\"auto\" ", "false ", 1)
    );
    change(&host, "enable", "front-desk").await;
    assert_eq!(get(&host, "/front-desk/hello").await.0, 200);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        before.replacen("\"auto\" ", "true ", 1)
    );

    let generation = row(&host, "front-desk").await["generation"].as_u64().unwrap();
    change(&host, "reload", "front-desk").await;
    let now = row(&host, "front-desk").await;
    assert_eq!(
        (&now["state"], &now["generation"]),
        (&Value::from("active"), &Value::from(generation + 1))
    );
    let (code, out, error) = host.setup.run_aside(&["plugins", "list", "--json"]).await;
    let listed: Vec<Value> = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}{error}"));
    let listed = listed.iter().find(|row| row["id"] == "front-desk").unwrap();
    assert_eq!(
        (&listed["carrier"], &listed["generation"]),
        (&now["carrier"], &now["generation"])
    );
    assert_eq!(deliver(&host, hook, signature, SECRET, r#"{"who":"Cyd"}"#).await, 200);
    until(&host, "/front-desk/hello", "Hello, Cyd!").await;
}
