//! Migrations of a plugin in a shared library: shown and applied without loading it, and a way back to the build before.

use serde_json::Value;

use super::{Place, SOON, library, next_library, patched, ready};

fn applied(out: &str) -> Vec<(String, bool)> {
    let rows: Value = serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"));
    let of_plugin = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["set"] == "misbehaving");
    of_plugin
        .map(|row| {
            (
                row["name"].as_str().unwrap().to_owned(),
                row["applied"].as_bool().unwrap(),
            )
        })
        .collect()
}

fn named(rows: &[(&str, bool)]) -> Vec<(String, bool)> {
    rows.iter()
        .map(|(name, applied)| ((*name).to_owned(), *applied))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_of_a_file_are_shown_and_applied_without_loading_it() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-migrate");
    let run = |arguments: &[&str]| {
        let (code, out, error) = place.setup().run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{error}");
        out
    };
    tokio::task::block_in_place(|| {
        run(&["migrate", "up"]);
        assert_eq!(
            applied(&run(&["migrate", "status", "--json"])),
            named(&[("001_note", true)])
        );
        place.put(&next_library());
        let both = [("001_note", true), ("002_author", false)];
        assert_eq!(applied(&run(&["migrate", "status", "--json"])), named(&both));
        assert_eq!(applied(&run(&["migrate", "plan", "--json"])), named(&both[1..]));
        assert_eq!(
            applied(&run(&["migrate", "status", "--json"])),
            named(&both),
            "looking changes nothing"
        );
        run(&["migrate", "up"]);
        assert!(applied(&run(&["migrate", "plan", "--json"])).is_empty());
        let rows: Value = serde_json::from_str(&run(&["plugins", "list", "--json"])).unwrap();
        let row = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["id"] == "misbehaving")
            .unwrap();
        assert_eq!(row["carrier"], "dylib");
    });
    assert!(
        !place.scratch.0.join("data/plugins/cache").exists(),
        "nothing was copied to be loaded"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_build_before_works_on_the_tables_of_the_next_one() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-back");
    let host = place.start().await;
    let notes = async || host.get("notes").await;
    host.post("services", "").await;
    assert_eq!(notes().await, (200, "[1,0]".to_owned()));
    place.put(&next_library());
    host.until("the next build", async || host.get("fine").await.1 == "next")
        .await;
    host.post("services", "").await;
    assert_eq!(notes().await, (200, "[2,0]".to_owned()));
    place.put(&library());
    host.until("the build before", async || host.get("fine").await.1 == "first")
        .await;
    host.post("services", "").await;
    assert_eq!(notes().await, (200, "[3,0]".to_owned()));
    let (code, out, error) = host.setup.run_aside(&["migrate", "status", "--json"]).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(applied(&out), named(&[("001_note", true), ("002_author", true)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_too_old_for_the_tables_is_refused_and_the_newer_one_stays() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-min-reader");
    // The next build, whose second migration says that whoever knows less cannot work on the result.
    let second = r#"{"number":2,"min_reader":0,"#;
    patched(&next_library(), second, &second.replace("\":0", "\":2"), &place.file());
    let host = place.start().await;
    assert_eq!(host.get("fine").await, (200, "next".to_owned()));
    place.put(&library());
    host.await_plugin("misbehaving", "failed", SOON).await;
    let reason = host.row().await["reason"].as_str().unwrap().to_owned();
    assert!(
        reason.contains("need a plugin that knows migration 2, this one knows up to 1"),
        "{reason}"
    );
    assert_eq!(
        host.get("fine").await,
        (200, "next".to_owned()),
        "the newer one still serves"
    );
}
