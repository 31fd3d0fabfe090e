//! Certificates for webhooks that are given theirs.

/// A CA and the serving certificate of a Service.
pub(crate) struct Certificate {
    /// The CA, PEM.
    pub(crate) ca: String,
    /// The serving certificate, PEM.
    pub(crate) cert: String,
    /// Its key, PEM.
    pub(crate) key: String,
}

impl Certificate {
    /// For a Service; `*` for every one of the namespace.
    pub(crate) fn of_service(service: &str, namespace: &str) -> Result<Self, String> {
        use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
        let fault = |error: rcgen::Error| error.to_string();
        let ca_key = KeyPair::generate().map_err(fault)?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, "wi-conformance webhook CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_cert = ca.self_signed(&ca_key).map_err(fault)?;
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().map_err(fault)?;
        let names = [format!("{service}.{namespace}.svc"), format!("{service}.{namespace}.svc.cluster.local")];
        let leaf = CertificateParams::new(names).map_err(fault)?.signed_by(&key, &issuer).map_err(fault)?;
        Ok(Certificate { ca: ca_cert.pem(), cert: leaf.pem(), key: key.serialize_pem() })
    }
}
