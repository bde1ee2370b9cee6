//! What prepares the engines: a Job for each content of its settings.

use serde_json::{Value, json};

use super::super::{
    Names, Object,
    pod::{Pod, Probes, config_volume},
};
use super::{External, FILE, security, settings};
use crate::build::fingerprint;
use crate::crd::Resources;

/// Component of the pod.
pub(in super::super) const COMPONENT: &str = "provision";

/// Times that it is tried again: for ever, ever more slowly, because engines may come later than the cluster.
const TRIES: u32 = 1_000_000;

pub(super) fn objects(names: &Names<'_>, engines: External<'_>) -> Vec<Object> {
    let settings = settings::provision(names, engines);
    let template = &names.0.spec.workers.pod_template;
    let mut volumes = vec![config_volume(names.of(COMPONENT))];
    volumes.extend(settings.volumes());
    let mut pod = names.pod(&Pod {
        component: COMPONENT,
        account: COMPONENT,
        template,
        resources: &Resources::default(),
        default_resources: ("50m", "64Mi"),
        image: &names.0.images.workers,
        args: json!(["-c", format!("/etc/chat/{FILE}"), "provision", "--result", "/dev/termination-log"]),
        env: Vec::new(),
        ports: Value::Null,
        // It ends by itself.
        probes: Probes { startup: Value::Null, readiness: Value::Null, liveness: Value::Null },
        volumes,
        settings: fingerprint(&settings.text),
        grace: 10,
        security: security(),
    });
    pod["spec"]["restartPolicy"] = "OnFailure".into();
    let mut objects: Vec<_> = names.service_account(template, COMPONENT).into_iter().collect();
    objects.push(names.config_map(&names.of(COMPONENT), COMPONENT, FILE, &settings.text));
    // A Job cannot be changed: another content is another Job, and the former one goes.
    let content = fingerprint(&pod.to_string());
    objects.push(Object::new(json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": names.metadata(&names.of(&format!("{COMPONENT}-{content}")), COMPONENT),
        "spec": { "backoffLimit": TRIES, "template": pod },
    })));
    objects
}
