//! README's five minutes, typed as they stand there, give what README says.

use std::{fmt::Write, process::Command, time::Duration};

use jackfield_tests::{
    host::binary,
    process,
    scratch::{Scratch, free_address},
};

const README: &str = include_str!("../../README.md");
/// Seconds between two firings of the GitHub plugin's schedule, whose jobs stand in the listings too.
const SLOT: u64 = 300;

/// A command and what it prints.
#[derive(Debug, Default)]
struct Typed {
    command: String,
    printed: Vec<String>,
}

/// The commands of the tour, without the first block, which builds the host.
fn tour() -> Vec<Typed> {
    let section = README
        .split("## Five minutes")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let blocks = section.split("```console\n").skip(2);
    let mut all: Vec<Typed> = Vec::new();
    for line in blocks.flat_map(|block| block.split("```").next().unwrap().lines()) {
        let here = all.last().is_some_and(|typed| {
            let text = &typed.command;
            let document = text.contains("<<'END'") && !text.ends_with("\nEND");
            document || text.ends_with('\\')
        });
        match (line.strip_prefix("$ "), all.last_mut()) {
            (Some(command), _) if !here => all.push(Typed {
                command: command.to_owned(),
                printed: Vec::new(),
            }),
            (_, Some(typed)) if here => typed.command.push_str(&format!("\n{line}")),
            (_, Some(typed)) => typed.printed.push(line.to_owned()),
            (_, None) => panic!("`{line}` stands before the first command"),
        }
    }
    all
}

/// The tour as one script that marks where each command's output begins.
fn script(tour: &[Typed]) -> String {
    let mut text = String::from("shopt -s expand_aliases\nalias jackfield=\"$HOST_BIN\"\n");
    for typed in tour {
        // People type slower than a script: what they look at has happened by then.
        let pause = if typed.command.contains("deliveries list") || typed.command.contains("readyz") {
            "sleep 2\n"
        } else {
            ""
        };
        // The schedule fires within a second of the start; its job comes first in README as well.
        let after = if typed.command.contains("jackfield serve") {
            "\nfor _ in $(seq 100); do grep -q '^jackfield ' serve.log && break; sleep 0.2; done; sleep 3"
        } else {
            ""
        };
        write!(text, "{pause}echo; echo @@@\n{}{after}\n", typed.command).unwrap();
    }
    text
}

/// Without what differs from run to run; in any order, because metrics have none.
fn plain<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| "\",".contains(c));
        match bare {
            _ if bare.len() == 36 && bare.matches('-').count() == 4 => "ID".to_owned(),
            _ if bare.starts_with("20") && bare.ends_with('Z') => "TIME".to_owned(),
            _ => word.to_owned(),
        }
    };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    let mut all: Vec<String> = lines.map(line).filter(|line| !line.is_empty()).collect();
    for line in &mut all {
        if line.starts_with("\"attempts\":") {
            "\"attempts\": N".clone_into(line);
        }
    }
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_of_the_readme_is_true() {
    let Some(binary) = binary() else { return };
    let tour = tour();
    assert!(tour.len() > 20, "only {} commands were found", tour.len());
    let scratch = Scratch::new("tour");
    let (main, admin) = (free_address(), free_address());
    std::fs::write(
        scratch.0.join("jackfield.toml"),
        format!("listen = \"{main}\"\nadmin_listen = \"{admin}\"\n"),
    )
    .unwrap();
    let here = |text: &str| text.replace("127.0.0.1:3000", &main).replace("127.0.0.1:3001", &admin);
    let into_slot = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() % SLOT;
    if into_slot > SLOT - 45 {
        tokio::time::sleep(Duration::from_secs(SLOT + 1 - into_slot)).await;
    }
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(here(&script(&tour)))
        .current_dir(&scratch.0)
        .env("HOST_BIN", binary);
    for name in [
        "GITHUB_APP_CLIENT_ID",
        "GITHUB_APP_PRIVATE_KEY",
        "GITHUB_APP_WEBHOOK_SECRET",
        "JACKFIELD_DATABASE_URL",
        // The page shows the first generation.
        "JACKFIELD_TEST_CHAOS_RELOAD_MS",
    ] {
        command.env_remove(name);
    }
    let (_, output, errors) = tokio::task::spawn_blocking(move || process::run(command, Duration::from_secs(120)))
        .await
        .unwrap();
    let printed: Vec<&str> = output.split("@@@\n").skip(1).collect();
    assert_eq!(printed.len(), tour.len(), "{output}\n{errors}");
    for (typed, printed) in tour.iter().zip(printed) {
        let expected = plain(
            typed
                .printed
                .iter()
                .map(|line| here(line))
                .collect::<Vec<_>>()
                .iter()
                .map(String::as_str),
        );
        let got = plain(printed.lines());
        let same = expected.len() == got.len()
            && expected
                .iter()
                .zip(&got)
                .all(|(expected, got)| match expected.split_once('…') {
                    Some((begin, _)) => got.starts_with(begin),
                    None => expected == got,
                });
        assert!(
            same,
            "$ {}\nREADME: {expected:#?}\nnow: {got:#?}\n{errors}",
            typed.command
        );
    }
}
