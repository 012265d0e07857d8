//! What the macros say to whoever uses them wrongly: one sentence that says what to write instead, pinned as it is shown.
//!
//! After a change of a sentence: `TRYBUILD=overwrite cargo test -p jackfield-sdk --test misuse`, and read the difference.

#[test]
fn every_mistake_has_a_sentence() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/misuse/*.rs");
    cases.pass("tests/accepted/*.rs");
}
