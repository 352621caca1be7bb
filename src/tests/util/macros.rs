//! Macros for tests on both databases and for snapshots.

/// Makes two tests of each function: `<function>::sqlite` and `<function>::postgres`. Attributes before a name apply to
/// both. A function that is missing from the list is dead code, which the lints reject.
macro_rules! both {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::util::{App, Backend};

            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name(App::start(Backend::Sqlite).await).await;
            }

            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$name(App::start(Backend::Postgres).await).await;
            }
        }
    )+};
}

/// Compares a text with a snapshot in the source. The line may run more than once: on each database, and in a loop.
macro_rules! snapshot {
    ($text:expr, @$expected:literal) => {
        insta::allow_duplicates! {
            insta::assert_snapshot!($text, @$expected);
        }
    };
}

pub(crate) use {both, snapshot};
