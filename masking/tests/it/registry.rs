//! The run-scoped registry: isolation between runs and lifetime of what it remembers.

use std::sync::Arc;

use masking::RunSecretRegistry;

fn masks(registry: &RunSecretRegistry, run: u128) -> bool {
    registry.set(run).finds_in("hunter2")
}

#[test]
fn secrets_11_2_values_of_one_run_never_mask_another() {
    let registry = RunSecretRegistry::new();
    registry.capture(1u128, "hunter2");
    assert!(masks(&registry, 1));
    assert!(!masks(&registry, 2));
    assert!(registry.set_for(None::<u128>).is_empty());
    assert!(registry.set_for(Some(1u128)).finds_in("hunter2"));
}

#[test]
fn secrets_11_3_captures_add_up_and_a_repeated_one_keeps_the_set() {
    let registry = RunSecretRegistry::new();
    registry.capture_all(1u128, ["hunter2", "swordfish"]);
    let before = registry.set(1u128);
    registry.capture(1u128, "hunter2");
    assert!(Arc::ptr_eq(&before, &registry.set(1u128)));
    registry.capture(1u128, "correct horse");
    assert_eq!(
        registry
            .set(1u128)
            .mask_text("hunter2 swordfish correct horse")
            .as_ref(),
        "**** **** ****"
    );
    assert_eq!(before.mask_text("correct horse").as_ref(), "correct horse");
}

#[test]
fn secrets_11_10_secrets_outlive_the_run_while_a_guard_is_held() {
    let registry = RunSecretRegistry::new();
    registry.capture(1u128, "hunter2");
    let branch = registry.guard(1u128);
    let other = registry.guard(1u128);
    registry.drop_run(1u128);
    assert!(masks(&registry, 1));
    drop(branch);
    assert!(masks(&registry, 1));
    drop(other);
    assert!(!masks(&registry, 1));
}

#[test]
fn secrets_11_10_a_guard_alone_does_not_end_a_live_run() {
    let registry = RunSecretRegistry::new();
    drop(registry.guard(1u128));
    assert_eq!(format!("{registry:?}"), "RunSecretRegistry(0 runs)");
    let guard = registry.guard(1u128);
    registry.capture(1u128, "hunter2");
    drop(guard);
    assert!(masks(&registry, 1));
    registry.drop_run(1u128);
    assert!(!masks(&registry, 1));
}
