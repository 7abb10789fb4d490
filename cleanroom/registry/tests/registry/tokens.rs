use cleanroom_policy::PartnerName;
use cleanroom_registry::{Actor, Identity, RegistryError, Role};
use time::{Duration, OffsetDateTime};

use crate::house::{House, agency};

#[tokio::test]
async fn a_token_is_recognised_until_it_is_revoked() {
    let house = House::furnished().await;
    let registry = &house.registry;
    let issued = registry.issue_token(&agency(), Role::Member, "laptop", None, &Actor::operator()).await.unwrap();
    assert_eq!(issued.secret.len(), "crs_".len() + 43);
    let identity = Identity { partner: Some(agency()), role: Role::Member, token_id: issued.id.clone() };
    assert_eq!(registry.authenticate(&issued.secret).await.unwrap(), Some(identity));
    let mut other = issued.secret.clone();
    other.replace_range(10..11, if other.get(10..11) == Some("A") { "B" } else { "A" });
    for wrong in [other.as_str(), "", "crs_", issued.id.as_str(), issued.secret.trim_start_matches("crs_")] {
        assert_eq!(registry.authenticate(wrong).await.unwrap(), None);
    }
    registry.revoke_token(&issued.id, &Actor::operator()).await.unwrap();
    registry.revoke_token(&issued.id, &Actor::operator()).await.unwrap();
    assert_eq!(registry.authenticate(&issued.secret).await.unwrap(), None);
    assert!(matches!(registry.revoke_token("none", &Actor::operator()).await, Err(RegistryError::NoSuchToken(_))));
    let kinds = house.kinds().await;
    assert_eq!(kinds.get(3..).unwrap(), ["token.issued", "token.revoked"]);
}

#[tokio::test]
async fn a_token_expires() {
    let house = House::empty().await;
    let now = OffsetDateTime::now_utc();
    for (expires, alive) in [(now - Duration::seconds(1), false), (now + Duration::hours(1), true)] {
        let issued =
            house.registry.issue_token(&agency(), Role::Member, "", Some(expires), &Actor::operator()).await.unwrap();
        assert_eq!(house.registry.authenticate(&issued.secret).await.unwrap().is_some(), alive);
    }
}

#[tokio::test]
async fn the_secret_is_stored_nowhere() {
    let house = House::furnished().await;
    let issued = house.registry.issue_token(&agency(), Role::Member, "", None, &Actor::operator()).await.unwrap();
    assert!(!format!("{issued:?}").contains(&issued.secret));
    house.registry.close().await;
    let needle = issued.secret.as_bytes();
    for entry in std::fs::read_dir(house.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn the_first_start_makes_one_administrator() {
    let house = House::furnished().await;
    let secret = house.registry.ensure_admin_token().await.unwrap().unwrap();
    let identity = house.registry.authenticate(&secret).await.unwrap().unwrap();
    assert_eq!((identity.partner, identity.role), (None, Role::Admin));
    let house = house.reopened().await;
    assert_eq!(house.registry.ensure_admin_token().await.unwrap(), None);
    house.registry.revoke_token(&identity.token_id, &Actor::operator()).await.unwrap();
    assert_eq!(house.registry.ensure_admin_token().await.unwrap(), None);
}

#[tokio::test]
async fn a_token_is_logged_only_where_it_opens_something() {
    let house = House::furnished().await;
    let stranger = PartnerName::new("stranger").unwrap();
    house.registry.issue_token(&stranger, Role::Member, "", None, &Actor::operator()).await.unwrap();
    assert_eq!(house.kinds().await.len(), 3);
}
