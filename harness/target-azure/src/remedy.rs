//! A cause in words, and the command that removes it.

use wi_engine::Unreadable;

/// What stands in the way of signing in.
pub(super) fn of_sign_in(fault: &Unreadable, tenant: &str) -> String {
    let why = &fault.why;
    let remedy = match code(why) {
        Some("AADSTS90002" | "AADSTS900023" | "AADSTS50034") => {
            format!("tenant {tenant} does not exist: `az account show --query tenantId` prints yours")
        }
        Some("AADSTS700016") => format!(
            "the client does not exist in tenant {tenant}: check the tenant with `az ad app show --id CLIENT_ID`"
        ),
        Some("AADSTS7000215") => {
            "the client secret is invalid: `az ad app credential reset --id CLIENT_ID` creates a new one".to_owned()
        }
        Some("AADSTS7000222") => {
            "the client secret has expired: `az ad app credential reset --id CLIENT_ID` creates a new one".to_owned()
        }
        Some("AADSTS700024" | "AADSTS700082" | "AADSTS70043") => {
            "the token for signing in has expired: get a new one, or run `az login`".to_owned()
        }
        Some("AADSTS70021" | "AADSTS700211" | "AADSTS700212" | "AADSTS700213") => {
            "no federated credential of the client matches our token: `az ad app federated-credential list --id CLIENT_ID`"
                .to_owned()
        }
        _ => "check the target's credential, or `az login`".to_owned(),
    };
    format!("cannot sign in: {remedy} ({why})")
}

/// What stands in the way of reading the subscription.
pub(super) fn of_subscription(fault: &Unreadable, subscription: &str, client: &str) -> String {
    let remedy = match (fault.status, fault.code.as_deref()) {
        (Some(401), Some("InvalidAuthenticationTokenTenant")) => {
            "the subscription belongs to another tenant: `az account show --query tenantId` prints it".to_owned()
        }
        (Some(401), _) => "the access token was refused or has expired: `az login`".to_owned(),
        (Some(404), _) | (_, Some("SubscriptionNotFound" | "InvalidSubscriptionId")) => {
            "not found, or no permission to read it: `az account list --query '[].id'` lists the visible subscriptions"
                .to_owned()
        }
        (Some(403), _) => {
            format!(
                "no permission to read it: `az role assignment create --role Contributor --assignee {client} --scope /subscriptions/{subscription}`"
            )
        }
        (None, _) => "Resource Manager does not answer: check the network and the target's `cloud`".to_owned(),
        _ => "Resource Manager refuses".to_owned(),
    };
    format!("subscription {subscription}: {remedy} ({})", fault.why)
}

fn code(text: &str) -> Option<&str> {
    let start = text.find("AADSTS")?;
    let digits = text[start + 6..].bytes().take_while(u8::is_ascii_digit).count();
    Some(&text[start..start + 6 + digits])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: Option<u16>, code: Option<&str>, why: &str) -> Unreadable {
        Unreadable { status, code: code.map(str::to_owned), why: why.to_owned() }
    }

    #[test]
    fn every_cause_has_its_own_remedy_in_one_line() {
        let told = |why: &str| of_sign_in(&fault(None, None, why), "t1");
        assert!(told("no token: AADSTS90002: Tenant 't1' not found.").contains("tenant t1 does not exist"));
        assert!(told("AADSTS7000215: Invalid client secret").contains("credential reset"));
        assert!(told("AADSTS700016: Application").contains("does not exist in tenant t1"));
        assert!(told("no route to host").contains("az login"));
        let told = |status, code| of_subscription(&fault(status, code, "w"), "s1", "c1");
        assert!(told(Some(403), Some("AuthorizationFailed")).contains("--assignee c1 --scope /subscriptions/s1"));
        assert!(told(Some(404), Some("SubscriptionNotFound")).contains("az account list"));
        assert!(told(None, None).contains("does not answer"));
    }
}
