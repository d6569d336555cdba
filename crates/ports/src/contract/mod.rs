//! The suite every adapter must pass: one function a promise, each with names of its own, so that all may run
//! at once against one store.
//!
//! An adapter's test file needs one line. `make` answers the ports and whatever must live as long as they do:
//!
//! ```ignore
//! async fn make() -> (ports::Ports, impl Sized) { … }
//! ports::contract_tests!(make);
//! ```
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a promise that is broken ends its test")]

pub mod bucket;
pub mod bus;
pub mod kv;
pub mod log;
pub mod rpc;

use std::future::Future;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use types::{ConversationId, LogId, SandboxId};

/// How long a promise may take to come true.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes a named test of every promise, or of those of some ports: `contract_tests!(make, log bus)`. With
/// `contract_tests!(in run)` each is run by `run`, which is given a function from ports to what is to be done with them. With
/// `contract_tests!(together make)` those of one port are one test, for stores that take long to make.
#[macro_export]
macro_rules! contract_tests {
    ($make:ident) => {
        $crate::contract_tests!($make, log kv bucket bus rpc);
    };
    (in $run:ident) => {
        $crate::contract_tests!([$run], log kv bucket bus rpc);
    };
    (together $make:ident) => {
        $crate::contract_tests!({$make}, log kv bucket bus rpc);
    };
    ($how:tt, $($group:ident)+) => {
        $($crate::contract_tests!(@$group $how);)+
    };
    (@log $how:tt) => {
        $crate::contract_tests!($how, log:
            an_append_after_the_tail_is_stored_in_order,
            an_append_elsewhere_conflicts_and_names_the_tail,
            of_racing_appends_one_wins,
            records_of_one_append_are_never_mixed_with_others,
            an_append_of_nothing_changes_nothing,
            records_are_published_once_stored_and_in_order,
            a_conflicting_append_is_never_published,
            pages_join_without_gap_or_repetition,
            the_first_records_are_read_however_short_a_page_is,
            a_position_inside_a_log_finds_the_record_after_it,
            an_absent_log_is_empty,
            a_deleted_log_is_gone_and_can_be_made_anew,
            what_is_dropped_from_the_front_leaves_the_rest_where_it_was,
            records_of_one_append_are_dropped_without_tearing_any,
            the_last_record_of_a_log_is_never_dropped,
            dropping_twice_or_from_an_absent_log_changes_nothing,
            a_truncated_log_is_deleted_and_made_anew,
            logs_do_not_mix,
            snapshots_are_stored_and_dropped_from_the_front_and_not_published,
            a_sandbox_knows_its_bash_logs,
            large_and_strange_records_come_back_unchanged,
        );
    };
    (@kv $how:tt) => {
        $crate::contract_tests!($how, kv:
            a_value_comes_back_with_its_revision,
            a_key_is_created_once,
            only_the_current_revision_can_be_replaced,
            anything_can_be_overwritten,
            of_racing_creations_one_wins,
            deletion_honours_its_condition,
            revisions_grow_over_a_deletion,
            a_list_is_in_key_order_with_values,
            a_scan_is_read_as_it_is_taken,
            a_scan_ends_although_keys_keep_changing,
            buckets_do_not_mix,
            a_watcher_sees_every_change_in_order,
            the_largest_value_comes_back_and_a_larger_one_is_refused,
        );
    };
    (@bucket $how:tt) => {
        $crate::contract_tests!($how, bucket:
            of_many_who_change_a_value_none_loses_its_change,
            of_those_who_make_a_value_one_is_told_so,
            a_change_decides_from_what_is_stored_and_may_remove_it,
            a_belief_that_is_wrong_costs_a_round_and_loses_nothing,
            what_cannot_be_read_is_told_of_and_holds_up_nothing,
        );
    };
    (@bus $how:tt) => {
        $crate::contract_tests!($how, bus:
            a_message_reaches_every_matching_pattern_once,
            messages_of_one_publisher_arrive_in_order,
            of_a_group_one_member_gets_each_message,
            what_is_published_before_a_subscription_is_not_seen,
            a_dropped_subscription_ends,
            a_request_gets_its_answer,
            a_request_nobody_listens_to_fails_at_once,
            a_request_without_an_answer_fails_at_its_deadline,
            more_than_the_largest_parcel_is_refused_at_once,
            a_slow_subscriber_is_told_that_it_lags_and_goes_on,
        );
    };
    (@rpc $how:tt) => {
        $crate::contract_tests!($how, rpc:
            a_call_carries_body_and_blob_both_ways,
            a_fault_arrives_as_it_was_given,
            a_call_nobody_serves_is_unavailable,
            a_body_of_the_wrong_form_is_invalid,
            a_call_too_large_to_be_sent_is_refused_and_reaches_nobody,
            calls_are_served_side_by_side,
            a_handler_that_panics_is_answered_for,
            a_call_beyond_the_room_is_refused_at_once,
            who_has_patience_gets_room,
            a_call_whose_caller_has_given_up_is_not_begun,
            a_call_of_another_version_is_not_begun,
            an_answer_too_large_to_be_sent_is_a_fault,
            what_only_reads_ends_with_its_caller_and_what_acts_is_finished,
            a_service_that_stops_finishes_what_it_began_and_begins_nothing,
            a_call_left_in_a_subscription_that_ends_is_refused_at_once,
            a_call_a_bus_has_no_room_for_is_refused_at_once,
        );
    };
    ($make:ident, $group:ident: $($promise:ident,)*) => {
        mod $group {
            $(
                #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let (ports, _keep_alive) = super::$make().await;
                    $crate::contract::$group::$promise(ports).await;
                }
            )*
        }
    };
    ({$make:ident}, $group:ident: $($promise:ident,)*) => {
        #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $group() {
            let (ports, _keep_alive) = $make().await;
            $(
                println!("{}", stringify!($promise));
                $crate::contract::$group::$promise(ports.clone()).await;
            )*
        }
    };
    ([$run:ident], $group:ident: $($promise:ident,)*) => {
        mod $group {
            $(
                #[test]
                fn $promise() {
                    super::$run($crate::contract::$group::$promise);
                }
            )*
        }
    };
}

/// A token no other test uses.
fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn new_log() -> LogId {
    LogId::conversation(&SandboxId::shared(), ConversationId::random())
}

/// The next item, which must come.
async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> T {
    in_time(stream.next()).await.expect("the stream goes on")
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("this takes no longer than patience lasts")
}
