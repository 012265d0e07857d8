//! What a host has grown to when many plugins are compiled in: 99 more of them with 4,990 routes, beside the ten routes of the
//! smallest size. They are on when `BENCH_GROWN` is set.

use jackfield_sdk::prelude::*;

/// Switches them on.
#[derive(Config)]
pub(crate) struct GrownConfig {
    /// Any text.
    #[config(env = "BENCH_GROWN", enables)]
    on: String,
}

/// One of them.
pub(crate) struct Grown<const NUMBER: usize>;

/// Routes of most of them.
const ROUTES: usize = 50;
/// The first one makes the number round.
const FIRST: usize = 90;

macro_rules! grown {
    ($($number:literal $id:literal)*) => {$(
        #[plugin(id = $id)]
        impl Plugin for Grown<$number> {
            type Config = GrownConfig;

            fn validate(config: &GrownConfig) -> Result<()> {
                match config.on.as_str() {
                    "" => Err(Error::permanent("`on` is empty")),
                    _ => Ok(()),
                }
            }

            async fn create(_: GrownConfig, _: Host) -> Result<Self> {
                Ok(Self)
            }

            fn routes(routes: &mut Routes<Self>) {
                bench_plugin::declare(routes, $id, if $number == 1 { FIRST } else { ROUTES });
            }
        }
    )*};
}

grown! {
    1 "grown-1" 2 "grown-2" 3 "grown-3" 4 "grown-4" 5 "grown-5" 6 "grown-6" 7 "grown-7"
    8 "grown-8" 9 "grown-9" 10 "grown-10" 11 "grown-11" 12 "grown-12" 13 "grown-13" 14 "grown-14"
    15 "grown-15" 16 "grown-16" 17 "grown-17" 18 "grown-18" 19 "grown-19" 20 "grown-20" 21 "grown-21"
    22 "grown-22" 23 "grown-23" 24 "grown-24" 25 "grown-25" 26 "grown-26" 27 "grown-27" 28 "grown-28"
    29 "grown-29" 30 "grown-30" 31 "grown-31" 32 "grown-32" 33 "grown-33" 34 "grown-34" 35 "grown-35"
    36 "grown-36" 37 "grown-37" 38 "grown-38" 39 "grown-39" 40 "grown-40" 41 "grown-41" 42 "grown-42"
    43 "grown-43" 44 "grown-44" 45 "grown-45" 46 "grown-46" 47 "grown-47" 48 "grown-48" 49 "grown-49"
    50 "grown-50" 51 "grown-51" 52 "grown-52" 53 "grown-53" 54 "grown-54" 55 "grown-55" 56 "grown-56"
    57 "grown-57" 58 "grown-58" 59 "grown-59" 60 "grown-60" 61 "grown-61" 62 "grown-62" 63 "grown-63"
    64 "grown-64" 65 "grown-65" 66 "grown-66" 67 "grown-67" 68 "grown-68" 69 "grown-69" 70 "grown-70"
    71 "grown-71" 72 "grown-72" 73 "grown-73" 74 "grown-74" 75 "grown-75" 76 "grown-76" 77 "grown-77"
    78 "grown-78" 79 "grown-79" 80 "grown-80" 81 "grown-81" 82 "grown-82" 83 "grown-83" 84 "grown-84"
    85 "grown-85" 86 "grown-86" 87 "grown-87" 88 "grown-88" 89 "grown-89" 90 "grown-90" 91 "grown-91"
    92 "grown-92" 93 "grown-93" 94 "grown-94" 95 "grown-95" 96 "grown-96" 97 "grown-97" 98 "grown-98"
    99 "grown-99"
}
