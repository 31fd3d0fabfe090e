//! A pod and its account, as an admission review brings them to the reference webhook.
#![no_main]

use serde_json::Value;
use wi_reference_webhook::mutate::mutate;
use wi_reference_webhook::{Config, Profile, patch, service_account_name};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(Value::Array(parts)) = serde_json::from_slice(data) else { return };
    let [pod, account, ..] = parts.as_slice() else { return };
    for profile in [Profile::V1_5, Profile::V1_6] {
        let config = Config { tenant_id: "tenant".to_owned(), profile, ..Config::default() };
        let _ = service_account_name(&config, pod);
        if let Ok(mutated) = mutate(&config, "app", pod, Some(account)) {
            let _ = patch(pod, &mutated);
        }
    }
});
