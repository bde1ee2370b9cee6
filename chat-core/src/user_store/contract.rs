//! The contract of the store of users, as checks that every engine passes.
//!
//! Each check takes a store and uses its own users. [`user_store_contract!`](crate::user_store_contract) makes one test
//! of each:
//!
//! ```text
//! fn make() -> impl Future<Output = (Arc<dyn UserStore>, impl Sized)> { … } // the second value lives as long as the test
//! chat_core::user_store_contract!(make);
//! ```
#![expect(clippy::missing_panics_doc, reason = "a check panics where the contract is broken; that is its answer")]

use std::sync::Arc;

use uuid::Uuid;

use super::{BlockRow, DeviceRow, ErasureReport, Metric, UsageRow, UserRow, UserStore, UserWrite};
use crate::clock::Time;
use crate::id::UserId;
use crate::message_log::Position;
use crate::push::Platform;

/// Makes one `#[tokio::test]` of each check; see [the module](crate::user_store::contract).
#[macro_export]
macro_rules! user_store_contract {
    ($make:path) => {
        $crate::user_store_contract! { @checks $make:
            a_user_without_a_row_reads_as_the_default,
            last_seen_and_revocation_only_rise,
            hiding_last_seen_leaves_the_rest,
            devices_are_kept_by_user_and_name,
            only_the_refused_token_is_invalid,
            blocks_are_of_one_direction,
            blocks_come_in_pages_in_order,
            of_rollups_the_higher_position_holds,
            rollups_are_read_by_range,
            reports_are_replaced,
            erasure_leaves_the_revocation_and_other_users,
            writes_of_one_call_hold_in_their_order,
            concurrent_writers_lose_nothing,
        }
    };
    (@checks $make:path: $($check:ident),+ $(,)?) => {
        $(#[tokio::test]
        async fn $check() {
            let (store, _guard) = $make().await;
            $crate::user_store::contract::$check(store).await;
        })+
    };
}

const T0: Time = Time::from_millis(1_764_000_000_000);

fn a_user() -> UserId {
    UserId::new(&Uuid::now_v7().to_string()).expect("a UUID is a user id")
}

/// Returns users in order, the name of each the beginning of the next one's, so that a bad key would mix them up.
fn nested_users() -> [UserId; 3] {
    let base = Uuid::now_v7();
    ["", "-", "-a"].map(|end| UserId::new(&format!("{base}{end}")).expect("a user id"))
}

fn a_device(name: &str, token: &str) -> DeviceRow {
    DeviceRow {
        device: name.to_owned(),
        platform: Platform::Fcm,
        push_token: token.to_owned(),
        updated_at: T0,
        invalid_at: None,
    }
}

async fn write(store: &dyn UserStore, writes: impl Into<Vec<UserWrite>>) {
    let writes = writes.into();
    // Twice: every write is idempotent.
    store.write(writes.clone()).await.expect("write");
    store.write(writes).await.expect("write again");
}

async fn user_row(store: &dyn UserStore, user: &UserId) -> UserRow {
    store.users(std::slice::from_ref(user)).await.expect("users")[0]
}

async fn devices_of(store: &dyn UserStore, user: &UserId) -> Vec<DeviceRow> {
    store.devices(std::slice::from_ref(user)).await.expect("devices").remove(0)
}

/// Most users have no row; answers are in the order asked.
pub async fn a_user_without_a_row_reads_as_the_default(store: Arc<dyn UserStore>) {
    let (known, unknown) = (a_user(), a_user());
    write(&*store, [UserWrite::Seen { user: known.clone(), at: T0 }]).await;
    let rows = store.users(&[unknown.clone(), known, unknown.clone()]).await.expect("users");
    let seen = UserRow { last_seen_at: Some(T0), ..UserRow::default() };
    assert_eq!(rows, [UserRow::default(), seen, UserRow::default()]);
    assert!(rows[0].last_seen_visible, "visible until the user hides it");
    assert_eq!(store.devices(std::slice::from_ref(&unknown)).await.expect("devices"), [Vec::new()]);
    assert_eq!(store.blocks(&unknown, None, 10).await.expect("blocks"), []);
    assert_eq!(store.users(&[]).await.expect("users"), []);
}

/// A late sweep must not turn last seen back, nor a late revocation let tokens in again.
pub async fn last_seen_and_revocation_only_rise(store: Arc<dyn UserStore>) {
    let user = a_user();
    for (written, held) in [(5, 5), (9, 9), (7, 9)] {
        let at = T0.plus_millis(written);
        let writes =
            [UserWrite::Seen { user: user.clone(), at }, UserWrite::Revoke { user: user.clone(), not_before: at }];
        write(&*store, writes).await;
        let row = user_row(&*store, &user).await;
        assert_eq!((row.last_seen_at, row.not_before), (Some(T0.plus_millis(held)), Some(T0.plus_millis(held))));
    }
}

/// The time is kept while it is hidden.
pub async fn hiding_last_seen_leaves_the_rest(store: Arc<dyn UserStore>) {
    let user = a_user();
    write(&*store, [UserWrite::Seen { user: user.clone(), at: T0 }]).await;
    for (visible, shown) in [(false, None), (true, Some(T0))] {
        write(&*store, [UserWrite::ShowLastSeen { user: user.clone(), visible }]).await;
        let row = user_row(&*store, &user).await;
        assert_eq!((row.last_seen_at, row.visible_last_seen()), (Some(T0), shown));
    }
}

/// Registering again replaces; removing concerns one device of one user.
pub async fn devices_are_kept_by_user_and_name(store: Arc<dyn UserStore>) {
    let users = nested_users();
    for user in &users {
        for name in ["tablet", "phone"] {
            let device = a_device(name, &format!("{user} {name}"));
            write(&*store, [UserWrite::PutDevice { user: user.clone(), device }]).await;
        }
    }
    let again = DeviceRow { platform: Platform::Apns, updated_at: T0.plus_millis(1), ..a_device("phone", "new") };
    write(&*store, [UserWrite::PutDevice { user: users[0].clone(), device: again.clone() }]).await;
    write(&*store, [UserWrite::RemoveDevice { user: users[1].clone(), device: "tablet".into() }]).await;
    let devices = store.devices(&users).await.expect("devices");
    let expected = |user: &UserId, name: &str| a_device(name, &format!("{user} {name}"));
    assert_eq!(devices[0], [again, expected(&users[0], "tablet")], "ascending by name");
    assert_eq!(devices[1], [expected(&users[1], "phone")]);
    assert_eq!(devices[2], [expected(&users[2], "phone"), expected(&users[2], "tablet")]);
}

/// The vendor's answer is about a token; a device that registered another one since must not suffer from it.
pub async fn only_the_refused_token_is_invalid(store: Arc<dyn UserStore>) {
    let user = a_user();
    let refuse = |token: &str, after: u64| UserWrite::InvalidateDevice {
        user: user.clone(),
        device: "phone".into(),
        push_token: token.into(),
        at: T0.plus_millis(after),
    };
    let put = |token: &str| UserWrite::PutDevice { user: user.clone(), device: a_device("phone", token) };
    write(&*store, [refuse("old", 1)]).await;
    assert_eq!(devices_of(&*store, &user).await, [], "a device that is not there is not made");
    for (writes, invalid_after) in [
        (vec![put("old")], None),
        (vec![refuse("old", 2)], Some(2)),
        (vec![refuse("old", 3)], Some(2)),
        (vec![put("new")], None),
        (vec![refuse("old", 4)], None),
        (vec![refuse("new", 5)], Some(5)),
    ] {
        let about = format!("{writes:?}");
        write(&*store, writes).await;
        let invalid_at = devices_of(&*store, &user).await[0].invalid_at;
        assert_eq!(invalid_at, invalid_after.map(|after| T0.plus_millis(after)), "{about}");
    }
}

/// Who blocks is not thereby blocked.
pub async fn blocks_are_of_one_direction(store: Arc<dyn UserStore>) {
    let (a, b) = (a_user(), a_user());
    let block = |after: u64| UserWrite::Block { user: a.clone(), blocked: b.clone(), at: T0.plus_millis(after) };
    let both = [(a.clone(), b.clone()), (b.clone(), a.clone())];
    write(&*store, [block(0)]).await;
    write(&*store, [block(5)]).await;
    assert_eq!(store.blocked(&both).await.expect("blocked"), [true, false]);
    assert_eq!(store.blocks(&a, None, 10).await.expect("blocks"), [BlockRow { user: b.clone(), at: T0 }]);
    write(&*store, [UserWrite::Unblock { user: a.clone(), blocked: b.clone() }]).await;
    assert_eq!(store.blocked(&both).await.expect("blocked"), [false, false]);
    assert_eq!(store.blocks(&a, None, 10).await.expect("blocks"), []);
}

/// Pages follow each other without gaps, repetitions or another user's blocks.
pub async fn blocks_come_in_pages_in_order(store: Arc<dyn UserStore>) {
    let [user, neighbour, next] = nested_users();
    let mut names: Vec<UserId> = (0..7).map(|_| a_user()).chain([neighbour.clone(), next]).collect();
    for blocked in &names {
        let block = |user: &UserId| UserWrite::Block { user: user.clone(), blocked: blocked.clone(), at: T0 };
        write(&*store, [block(&user), block(&neighbour)]).await;
    }
    names.sort();
    for limit in [1, 4, 9, 100] {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = store.blocks(&user, after.as_ref(), limit).await.expect("blocks");
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.user.clone());
            paged.extend(page.into_iter().map(|row| row.user));
        }
        assert_eq!(paged, names, "in pages of {limit}");
    }
}

/// Hours that no other check uses: checks may share a store.
fn a_range_of_hours() -> u64 {
    u64::try_from(Uuid::now_v7().as_u128() & (u128::MAX >> 72)).expect("56 bits")
}

fn a_rollup(hour: u64, metric: Metric, partition: u32, value: u64, offset: u64) -> UsageRow {
    UsageRow { hour, metric, partition, value, position: Position { epoch: 1, partition, offset } }
}

/// A worker that lost its partition may write late; what the new owner counted further stays.
pub async fn of_rollups_the_higher_position_holds(store: Arc<dyn UserStore>) {
    let hour = a_range_of_hours();
    for (value, offset, held) in [(3, 10, 3), (5, 20, 5), (4, 15, 5), (6, 30, 6), (5, 30, 6), (7, 30, 7)] {
        write(&*store, [UserWrite::Usage(a_rollup(hour, Metric::Messages, 0, value, offset))]).await;
        assert_eq!(store.usage(hour, hour + 1).await.expect("usage")[0].value, held);
    }
}

/// Each metric and partition has its own row.
pub async fn rollups_are_read_by_range(store: Arc<dyn UserStore>) {
    let begin = a_range_of_hours();
    let mut rows = Vec::new();
    for hour in begin..begin + 3 {
        for metric in Metric::ALL {
            for partition in [0, 1, 256] {
                rows.push(a_rollup(hour, metric, partition, hour - begin + u64::from(partition), 7));
            }
        }
    }
    write(&*store, rows.iter().copied().map(UserWrite::Usage).collect::<Vec<_>>()).await;
    assert_eq!(store.usage(begin, begin + 3).await.expect("usage"), rows);
    assert_eq!(store.usage(begin + 1, begin + 2).await.expect("usage"), rows[12..24]);
    for (from, upto) in [(begin, begin), (begin + 3, begin)] {
        assert_eq!(store.usage(from, upto).await.expect("usage"), [], "an empty range is no error");
    }
}

/// A report tells how far the erasure came.
pub async fn reports_are_replaced(store: Arc<dyn UserStore>) {
    let report_id = Uuid::now_v7();
    assert_eq!(store.report(report_id).await.expect("report"), None);
    let begun = ErasureReport {
        report_id,
        user: a_user(),
        requested_at: T0,
        updated_at: T0,
        finished_at: None,
        chats: 0,
        messages: 0,
    };
    let on_its_way = ErasureReport { chats: 1, updated_at: T0.plus_millis(3), ..begun.clone() };
    let done = ErasureReport { finished_at: Some(T0.plus_millis(9)), chats: 2, messages: 5, ..begun.clone() };
    for report in [begun, on_its_way, done] {
        write(&*store, [UserWrite::Report(report.clone())]).await;
        assert_eq!(store.report(report_id).await.expect("report"), Some(report.clone()));
        let unfinished = store.unfinished(10_000).await.expect("unfinished");
        let found = unfinished.into_iter().find(|found| found.report_id == report_id);
        assert_eq!(found, Some(report).filter(|report| report.finished_at.is_none()));
    }
}

/// What stays says nothing of the erased user.
pub async fn erasure_leaves_the_revocation_and_other_users(store: Arc<dyn UserStore>) {
    let users = nested_users();
    for user in &users {
        let writes = [
            UserWrite::Seen { user: user.clone(), at: T0 },
            UserWrite::ShowLastSeen { user: user.clone(), visible: false },
            UserWrite::Revoke { user: user.clone(), not_before: T0 },
            UserWrite::PutDevice { user: user.clone(), device: a_device("phone", "token") },
            UserWrite::Block { user: user.clone(), blocked: users[0].clone(), at: T0 },
            UserWrite::Block { user: user.clone(), blocked: users[1].clone(), at: T0 },
        ];
        write(&*store, writes).await;
    }
    write(&*store, [UserWrite::Erase { user: users[1].clone() }]).await;
    let rows = store.users(&users).await.expect("users");
    let full = UserRow { last_seen_at: Some(T0), last_seen_visible: false, not_before: Some(T0) };
    assert_eq!(rows, [full, UserRow { not_before: Some(T0), ..UserRow::default() }, full]);
    let devices = store.devices(&users).await.expect("devices");
    assert_eq!(devices.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 1]);
    for (user, blocks) in users.iter().zip([2, 0, 2]) {
        assert_eq!(store.blocks(user, None, 10).await.expect("blocks").len(), blocks);
    }
    let never_revoked = a_user();
    write(&*store, [UserWrite::Seen { user: never_revoked.clone(), at: T0 }]).await;
    write(&*store, [UserWrite::Erase { user: never_revoked.clone() }]).await;
    assert_eq!(user_row(&*store, &never_revoked).await, UserRow::default());
}

/// A later write of a call sees the earlier ones.
pub async fn writes_of_one_call_hold_in_their_order(store: Arc<dyn UserStore>) {
    let user = a_user();
    let put = |token: &str| UserWrite::PutDevice { user: user.clone(), device: a_device("phone", token) };
    let invalid = UserWrite::InvalidateDevice {
        user: user.clone(),
        device: "phone".into(),
        push_token: "one".into(),
        at: T0.plus_millis(1),
    };
    write(&*store, [put("one"), invalid.clone()]).await;
    assert!(devices_of(&*store, &user).await[0].invalid_at.is_some());
    write(&*store, [put("two"), put("one"), invalid, UserWrite::Erase { user: user.clone() }, put("three")]).await;
    assert_eq!(devices_of(&*store, &user).await, [a_device("phone", "three")]);
}

/// Calls that are grouped do not overwrite each other's cells.
pub async fn concurrent_writers_lose_nothing(store: Arc<dyn UserStore>) {
    let user = a_user();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..64 {
        let (store, user) = (Arc::clone(&store), user.clone());
        calls.spawn(async move {
            let device = a_device(&format!("d{n}"), "token");
            let writes = vec![
                UserWrite::Seen { user: user.clone(), at: T0.plus_millis(n) },
                UserWrite::PutDevice { user, device },
            ];
            store.write(writes).await.expect("write");
        });
    }
    calls.join_all().await;
    assert_eq!(devices_of(&*store, &user).await.len(), 64);
    assert_eq!(user_row(&*store, &user).await.last_seen_at, Some(T0.plus_millis(63)));
}
