//! What every driver promises that runs instances outside of this process, whatever it makes them of. The worker is played by
//! a small shell script.

mod lifecycle;
mod place;
mod reconciled;

pub use lifecycle::*;
pub use place::{PATIENCE, Place, launch};
pub use reconciled::*;

/// The tests of the suite, of one kind of place.
macro_rules! driver_suite {
    ($place:ty $(, #[$attribute:meta])?) => {
        driver_suite! { $place, $(#[$attribute])? =>
            starting_twice_and_stopping_twice_are_fine
            the_spec_reaches_standard_input_and_that_ends
            a_worker_is_asked_to_end_before_it_is_killed
            a_worker_that_does_not_listen_is_killed
            the_end_of_a_worker_is_told_with_its_code_and_last_lines
            files_survive_a_stop_and_go_when_removed
            what_is_anothers_is_not_seen_and_not_touched
            clusters_of_one_name_touch_nothing_of_each_other
            the_end_of_a_cluster_leaves_nothing_of_it_and_all_of_others
            what_a_sandbox_must_have_is_tried_and_nothing_of_it_stays
            a_worker_that_cannot_begin_is_recorded_with_its_last_lines
            a_sandbox_runs_pauses_and_is_deleted_without_a_trace
            a_supervisor_that_stops_leaves_its_instances_running
        }
    };
    ($place:ty, $(#[$attribute:meta])? => $test:ident $($more:ident)*) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $(#[$attribute])?
        async fn $test() {
            crate::suite::$test::<$place>().await;
        }

        driver_suite! { $place, $(#[$attribute])? => $($more)* }
    };
    ($place:ty, $(#[$attribute:meta])? =>) => {};
}
