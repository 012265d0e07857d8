//! The door on the real engine.

use jackfield_example_door::Door;
use jackfield_testing::{State, TestHost};

const SETTINGS: &str = "greeting = 'Welcome'\nsecrets = 'bell-signs-with-this'";

#[tokio::test]
async fn visitors_are_greeted() {
    let host = TestHost::new().plugin::<Door>(SETTINGS).start().await;
    let reply = host.get("/door").await.expect(200);
    assert_eq!(reply.text(), "Welcome, visitor");
}

#[tokio::test]
async fn a_ring_is_noted_once_also_through_a_crash() {
    let host = TestHost::new().plugin::<Door>(SETTINGS).start().await;
    host.deliver("door-bell").json("Ada").forged().await.expect(401);
    host.crash_after("note");
    let id = host.deliver("door-bell").json("Ada").await.expect(200).id();
    assert!(host.deliver("door-bell").json("Ada").await.expect(200).is_duplicate());
    host.finish().await;

    let work = host.work(id).await;
    assert_eq!(work.state(), State::Done);
    assert_eq!(work.done(), "Welcome, Ada");
    assert_eq!(host.crashes(), 1);
}
