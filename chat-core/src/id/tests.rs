use super::*;

#[test]
fn user_ids_are_checked_byte_by_byte() {
    for good in ["a", "ann@example.org", "x:1|2~3+4-5_6", "...", &"u".repeat(128)] {
        assert_eq!(UserId::new(good).expect(good).as_str(), good);
    }
    for bad in ["", ".", "..", "a b", "a/b", "ä", "a\n", &"u".repeat(129)] {
        assert_eq!(UserId::new(bad), Err(IdError::User), "{bad:?}");
    }
}

#[test]
fn a_pair_meets_in_one_direct_chat_whoever_writes_first() {
    let (ann, bob) = (UserId::new("ann").unwrap(), UserId::new("bob").unwrap());
    assert_eq!(ChatId::direct(&ann, &bob), ChatId::direct(&bob, &ann));
    // Part of protocol v1: clients compute it too.
    assert_eq!(ChatId::direct(&ann, &bob).to_string(), "b369bdc0-9003-5014-8218-1c64e9a468af");
    assert!(ChatId::direct(&ann, &bob).is_direct());
}

#[test]
fn only_canonical_lower_case_uuids_are_ids() {
    let good = "0195c6a8-7d2e-7c00-8000-000000000001";
    assert_eq!(good.parse::<MessageId>().unwrap().to_string(), good);
    for bad in [
        "0195C6A8-7d2e-7c00-8000-000000000001",
        "0195c6a87d2e7c008000000000000001",
        "{0195c6a8-7d2e-7c00-8000-000000000001}",
        "x",
    ] {
        assert_eq!(bad.parse::<MessageId>(), Err(IdError::Uuid), "{bad}");
    }
}

#[test]
fn client_made_ids_are_bounded_in_time() {
    let now = Time::from_millis(1_764_000_000_000);
    let at = |ms: u64| Uuid::from_u128((u128::from(ms) << 80) | (7 << 76) | (0b10 << 62));
    let day = 24 * 3600 * 1000;
    assert_eq!(check_client_made(at(now.millis()), now), Ok(()));
    assert_eq!(check_client_made(at(now.millis() - 29 * day), now), Ok(()));
    assert_eq!(check_client_made(at(now.millis() - 29 * day - 1), now), Err(IdError::TooOld));
    assert_eq!(check_client_made(at(now.millis() + day), now), Ok(()));
    assert_eq!(check_client_made(at(now.millis() + day + 1), now), Err(IdError::TooNew));
    assert_eq!(check_client_made(Uuid::new_v5(&DIRECT_NAMESPACE, b"x"), now), Err(IdError::NotV7));
}
