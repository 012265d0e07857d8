//! The boundary's structs as they are laid out, pinned: a plugin that was built with one of them runs in every later host.
//!
//! A change here is either an addition at a struct's end, which raises `MINOR` and adds lines, or a break, which raises
//! `MAJOR`. A line that is here is never changed otherwise.

use std::mem::{align_of, offset_of, size_of};

use jackfield_abi as abi;

/// Fields and their offsets, in words of the machine, so that both word sizes are pinned.
macro_rules! layout {
    ($($type:ident: $words:literal { $($field:ident $at:literal),* })*) => {$(
        #[test]
        #[allow(non_snake_case)]
        fn $type() {
            const WORD: usize = size_of::<usize>();
            assert_eq!(align_of::<abi::$type>(), WORD);
            let fields: &[(&str, usize, usize)] = &[$((stringify!($field), offset_of!(abi::$type, $field), $at)),*];
            for (field, at, pinned) in fields {
                assert_eq!(*at, pinned * WORD, "{}::{field}", stringify!($type));
            }
            assert_eq!(size_of::<abi::$type>(), $words * WORD);
        }
    )*};
}

#[cfg(target_pointer_width = "64")]
layout! {
    Slice: 2 { ptr 0, len 1 }
    Buffer: 4 { ptr 0, len 1, owner 2, free 3 }
    Waker: 1 { vtable 0 }
    WakerVtable: 5 { size 0, clone 1, wake 2, wake_by_ref 3, drop 4 }
    Future: 2 { data 0, vtable 1 }
    FutureVtable: 3 { size 0, poll 1, drop 2 }
    Header: 4 { name 0, value 2 }
    RequestHead: 10 { size 0, method 1, uri 3, headers 5, headers_len 6, principal 7, span 9 }
    Body: 2 { data 0, vtable 1 }
    BodyVtable: 4 { size 0, poll 1, remaining 2, drop 3 }
    Response: 8 { size 0, status 1, headers 2, headers_len 3, owner 4, free 5, body 6 }
    ResponseFuture: 2 { data 0, vtable 1 }
    ResponseFutureVtable: 3 { size 0, poll 1, drop 2 }
    Entry: 5 { size 0, major 1, descriptor 2, validate 3, instance 4 }
    Instance: 1 { vtable 0 }
    // `tasks` since minor 1.
    InstanceVtable: 6 { size 0, call 1, serve 2, retire 3, release 4, tasks 5 }
    Host: 1 { vtable 0 }
    // `record` since minor 1.
    HostVtable: 12 {
        size 0, retain 1, release 2, call 3, now_ms 4, metric 5, level 6, span 7, close 8, event 9, spawn 10, record 11
    }
}

#[test]
fn numbers_that_cross_are_what_they_were() {
    assert_eq!((abi::MAJOR, abi::MINOR), (1, 1));
    assert_eq!(offset_of!(abi::Entry, minor), offset_of!(abi::Entry, major) + 4);
    let statuses = [
        abi::PENDING,
        abi::READY,
        abi::FAILED,
        abi::PANICKED,
        abi::ENDED,
        abi::TRAILERS,
    ];
    assert_eq!(statuses, [0, 1, 2, 3, 4, 5]);
    let operations = [
        abi::OP_CREATE,
        abi::OP_RUN,
        abi::OP_VERIFY,
        abi::OP_SECRETS,
        abi::OP_HEALTH,
        abi::OP_RECONFIGURE,
        abi::OP_DRAIN,
    ];
    assert_eq!(operations, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!([abi::METRIC_COUNT, abi::METRIC_GAUGE, abi::METRIC_RECORD], [0, 1, 2]);
    let levels = [
        abi::LEVEL_ERROR,
        abi::LEVEL_WARN,
        abi::LEVEL_INFO,
        abi::LEVEL_DEBUG,
        abi::LEVEL_TRACE,
    ];
    assert_eq!(levels, [1, 2, 3, 4, 5]);
    assert_eq!(
        (abi::MANIFEST_PREFIX, abi::ENTRY_PREFIX),
        ("jackfield_manifest_", "jackfield_entry_")
    );
}
