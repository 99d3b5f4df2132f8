use super::*;
use crate::access::Right;

fn put_user(name: &str, tags: Option<&[&str]>, replace: bool) -> TopologyRequest {
    TopologyRequest::PutUser {
        name: name.into(),
        password_hash: name.as_bytes().into(),
        hashing: PasswordHashing::default(),
        tags: tags.map(|tags| tags.iter().map(|&tag| tag.into()).collect()),
        replace,
    }
}

fn set_permission(vhost: &str, user: &str, patterns: [&str; 3]) -> TopologyRequest {
    let [configure, write, read] = patterns.map(Into::into);
    TopologyRequest::SetPermission {
        vhost: vhost.into(),
        user: user.into(),
        configure,
        write,
        read,
    }
}

#[test]
fn an_empty_broker_has_guest_with_all_permissions_in_the_root_vhost() {
    let world = World::new();
    let guest = world.topology.user("guest").expect("there");
    assert_eq!(*guest.password_hash, [1, 2, 3]);
    assert_eq!(guest.tags, ["administrator".into()]);
    let access = world.topology.access(VHOST, "guest").expect("may enter");
    for right in [Right::Configure, Right::Write, Right::Read] {
        assert!(access.allows(right, "anything"));
    }
    assert!(world.topology.access(VHOST, "nobody").is_none());
    assert!(world.topology.access("nowhere", "guest").is_none());
}

#[test]
fn users_are_added_once_and_replaced_on_demand() {
    let mut world = World::new();
    assert_eq!(world.outcome(&put_user("u", None, false)), TopologyOutcome::Created(true));
    world.must(put_user("u", Some(&["monitoring"]), false));
    assert_eq!(
        world.decide(&put_user("u", None, false)),
        Err(TopologyError::UserExists { user: "u".into() })
    );
    assert_eq!(world.outcome(&put_user("u", None, true)), TopologyOutcome::Created(false));
    world.must(put_user("u", None, true));
    assert_eq!(world.topology.user("u").expect("there").tags, ["monitoring".into()]);
    let tags = vec!["policymaker".into()];
    world.must(TopologyRequest::SetUserTags { name: "u".into(), tags: tags.clone() });
    let password_hash: Arc<[u8]> = [9][..].into();
    world.must(TopologyRequest::SetPasswordHash {
        name: "u".into(),
        password_hash: password_hash.clone(),
        hashing: PasswordHashing::Sha512,
    });
    let expected = User {
        name: "u".into(),
        password_hash,
        hashing: PasswordHashing::Sha512,
        tags,
        limits: UserLimits::default(),
    };
    assert_eq!(world.topology.user("u"), Some(&expected));
    assert!(!format!("{expected:?}").contains('9'), "no hash in debug output");
}

#[test]
fn what_concerns_a_missing_user_or_vhost_is_refused() {
    let world = World::new();
    let hash: Arc<[u8]> = [][..].into();
    let (no_user, no_vhost) = ("no user 'u'", "no vhost 'v'");
    let clear = |vhost: &str, user: &str| TopologyRequest::ClearPermission {
        vhost: vhost.into(),
        user: user.into(),
    };
    for (request, text) in [
        (TopologyRequest::SetUserTags { name: "u".into(), tags: Vec::new() }, no_user),
        (
            TopologyRequest::SetPasswordHash {
                name: "u".into(),
                password_hash: hash,
                hashing: PasswordHashing::default(),
            },
            no_user,
        ),
        (TopologyRequest::DeleteUser { name: "u".into() }, no_user),
        (set_permission("v", "u", [""; 3]), no_user),
        (set_permission("v", "guest", [""; 3]), no_vhost),
        (clear("v", "u"), no_user),
        (clear("v", "guest"), no_vhost),
    ] {
        assert_eq!(world.error(request), text);
    }
}

#[test]
fn adding_a_vhost_again_changes_nothing() {
    let mut world = World::new();
    let add = TopologyRequest::AddVhost {
        name: "v".into(),
        description: Some("first".into()),
        tags: Some(vec!["t".into()]),
        default_queue_type: None,
    };
    assert_eq!(world.outcome(&add), TopologyOutcome::Created(true));
    world.must(add.clone());
    assert_eq!(world.outcome(&add), TopologyOutcome::Created(false));
    assert_eq!(world.must(add), []);
    assert_eq!(&*world.topology.vhost("v").expect("there").description, "first");
}

#[test]
fn a_protected_vhost_is_not_deleted_and_protection_changes_nothing_else() {
    let mut world = World::new();
    world.must(TopologyRequest::AddVhost {
        name: "v".into(),
        description: Some("first".into()),
        tags: Some(vec!["t".into()]),
        default_queue_type: Some("classic".into()),
    });
    let before = world.topology.vhost("v").expect("there").clone();
    let protect = |protected| TopologyRequest::ProtectVhost { name: "v".into(), protected };
    world.must(protect(true));
    assert_eq!(world.must(protect(true)), []);
    let expected = Vhost { protected_from_deletion: true, ..before.clone() };
    assert_eq!(world.topology.vhost("v"), Some(&expected));
    let delete = || TopologyRequest::DeleteVhost { name: "v".into() };
    let words = "Refusing to delete virtual host 'v' because it is protected from deletion";
    assert_eq!(world.error(delete()), words);
    world.must(protect(false));
    assert_eq!(world.topology.vhost("v"), Some(&before));
    world.must(delete());
    let missing = TopologyRequest::ProtectVhost { name: "v".into(), protected: true };
    assert_eq!(world.error(missing), world.error(delete()));
}

#[test]
fn permissions_take_effect_when_set_and_end_when_cleared() {
    let mut world = World::new();
    world.must(put_user("u", None, false));
    world.must(set_permission(VHOST, "u", ["", "^w", ".*"]));
    let access = world.topology.access(VHOST, "u").expect("may enter");
    assert!(!access.allows(Right::Configure, "w1"));
    assert!(access.allows(Right::Write, "w1"));
    assert!(!access.allows(Right::Write, "x"));
    assert!(access.allows(Right::Read, "x"));
    let version = world.topology.version();
    world.must(set_permission(VHOST, "u", ["", "^x", ".*"]));
    assert!(world.topology.version() > version);
    let access = world.topology.access(VHOST, "u").expect("may enter");
    assert!(access.allows(Right::Write, "x"));
    let clear = TopologyRequest::ClearPermission { vhost: VHOST.into(), user: "u".into() };
    assert_eq!(world.must(clear.clone()).len(), 1);
    assert!(world.topology.access(VHOST, "u").is_none());
    assert_eq!(world.must(clear), []);
}

#[test]
fn a_permission_that_does_not_compile_is_refused() {
    let world = World::new();
    for at in 0..3 {
        let mut patterns = [".*"; 3];
        patterns[at] = "(";
        let error = world.decide(&set_permission(VHOST, "guest", patterns));
        assert!(
            matches!(error, Err(TopologyError::InvalidRegex { pattern, .. }) if &*pattern == "(")
        );
    }
}

#[test]
fn a_users_permissions_go_with_the_user() {
    let mut world = World::new();
    let changes = world.must(TopologyRequest::DeleteUser { name: "guest".into() });
    assert_eq!(changes.len(), 2);
    assert!(world.topology.user("guest").is_none());
    assert_eq!(world.topology.permissions(VHOST).count(), 0);
}
