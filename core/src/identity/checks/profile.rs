//! Names, phones and limits.

use super::World;
use crate::amount::CpuMilli;
use crate::entity::{Limits, LogFilter, PageRequest};
use crate::error::Error;
use crate::plane::Profile;

pub(super) async fn a_profile_and_limits_are_changed_and_logged_once(world: &World) {
    let cloud = &world.cloud;
    let user = world.user().await;
    let changed = cloud.update_profile(user.id, Profile::new().phone("+81 3 1234")).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.phone.as_deref()), ("Ada", Some("+81 3 1234")));
    let named = Profile::new().name("Ada Lovelace");
    let changed = cloud.update_profile(user.id, named.clone()).await.unwrap();
    assert_eq!((changed.phone.as_deref(), changed.revision), (Some("+81 3 1234"), 3));
    assert_eq!(cloud.update_profile(user.id, named).await.unwrap(), changed, "it is so already");
    let none = cloud.update_profile(user.id, Profile::new().phone("")).await.unwrap();
    assert_eq!(none.phone, None);
    let wrong = cloud.update_profile(user.id, Profile::new().name("a\nb")).await;
    assert!(matches!(wrong, Err(Error::Invalid { .. })), "{wrong:?}");
    let long = cloud.update_profile(user.id, Profile::new().phone("1".repeat(33))).await;
    assert!(matches!(long, Err(Error::Invalid { ref field, .. }) if field.contains("phone")), "{long:?}");

    let limits = Limits::default().instances(1).nodes(0).cpu(CpuMilli::from_u32(1));
    cloud.set_limits(user.id, limits).await.unwrap();
    let kept = cloud.set_limits(user.id, limits).await.unwrap();
    assert_eq!((kept.limits(), kept.revision), (limits, 2));
    let about = LogFilter { subject_id: Some(user.id.uuid()), ..LogFilter::default() };
    let lines = cloud.repositories().logs().list(about, PageRequest::default()).await.unwrap().entries;
    let titles: Vec<_> = lines.iter().map(|line| line.title.as_str()).collect();
    let times = |title: &str| titles.iter().filter(|other| **other == title).count();
    assert_eq!((times("user.create"), times("user.update"), times("quota.set")), (1, 3, 1), "{titles:?}");
}
