//! `tollgate keys`: the keys that callers prove themselves by.

use clap::Subcommand;
use tollgate_proto::admin::v1::{
    CreateKeyRequest, Key, ListKeysRequest, ListKeysResponse, RevokeKeyRequest,
};

use crate::error::Error;
use crate::operator::{Operator, PAGE};
use crate::table::Table;
use crate::{json, output};

/// Arguments of `tollgate keys`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key; its secret is printed once, on standard output, and kept nowhere
    Create {
        /// To whom it belongs, such as acme/search/ada
        #[arg(long, env = "TOLLGATE_SUBJECT", value_name = "ORG/TEAM/USER")]
        subject: String,
        /// Name to know it by
        #[arg(long, default_value = "")]
        name: String,
        /// The tier it is of, whatever its subject's is
        #[arg(long, default_value = "")]
        tier: String,
        #[command(flatten)]
        operator: Operator,
    },
    /// List keys, revoked ones included
    List {
        /// Only those of this subject and of what is below it
        #[arg(long, env = "TOLLGATE_SUBJECT", value_name = "ORG/TEAM/USER")]
        subject: Option<String>,
        #[command(flatten)]
        operator: Operator,
    },
    /// Revoke a key; every connected node refuses it within a second
    Revoke {
        /// Its identifier, as `keys list` shows it
        id: String,
        #[command(flatten)]
        operator: Operator,
    },
}

/// Does what is asked for with keys.
///
/// # Errors
/// Why the control plane did not do it.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    match arguments.action {
        Action::Create {
            subject,
            name,
            tier,
            operator,
        } => {
            let request = CreateKeyRequest {
                subject,
                name,
                tier,
            };
            create(request, &operator).await
        }
        Action::List { subject, operator } => list(subject.unwrap_or_default(), &operator).await,
        Action::Revoke { id, operator } => revoke(id, &operator).await,
    }
}

async fn create(request: CreateKeyRequest, operator: &Operator) -> Result<(), Error> {
    let control = operator.connect().await?;
    let mut client = control.keys();
    let created = control.remote.call(client.create_key(request)).await?;
    let key = created.key.clone().unwrap_or_default();
    output::show(
        operator.output(),
        || json::of(&created, "tollgate.admin.v1.CreateKeyResponse"),
        || format!("{}\n", created.secret),
    )?;
    output::note(&format!(
        "key {} for {}: the secret is shown this once, keep it now",
        key.id, key.subject
    ));
    Ok(())
}

async fn list(subject: String, operator: &Operator) -> Result<(), Error> {
    let control = operator.connect().await?;
    let mut all = ListKeysResponse::default();
    loop {
        let request = ListKeysRequest {
            subject: subject.clone(),
            page_size: PAGE,
            page_token: std::mem::take(&mut all.next_page_token),
        };
        let mut client = control.keys();
        let page = control.remote.call(client.list_keys(request)).await?;
        all.keys.extend(page.keys);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    output::show(
        operator.output(),
        || json::of(&all, "tollgate.admin.v1.ListKeysResponse"),
        || table(&all.keys),
    )
}

async fn revoke(id: String, operator: &Operator) -> Result<(), Error> {
    let control = operator.connect().await?;
    let mut client = control.keys();
    let call = client.revoke_key(RevokeKeyRequest { id });
    let revoked = control.remote.call(call).await?;
    let key = revoked.key.clone().unwrap_or_default();
    output::show(
        operator.output(),
        || json::of(&revoked, "tollgate.admin.v1.RevokeKeyResponse"),
        || format!("key {} of {} is revoked\n", key.id, key.subject),
    )
}

fn table(keys: &[Key]) -> String {
    if keys.is_empty() {
        return "no keys; make one with `tollgate keys create --subject ORG/TEAM/USER`\n"
            .to_owned();
    }
    let mut table = Table::new(["ID", "SUBJECT", "NAME", "TIER", "CREATED", "REVOKED"]);
    for key in keys {
        table.row([
            key.id.clone(),
            key.subject.clone(),
            key.name.clone(),
            key.tier.clone(),
            key.created_at.map(|at| at.to_string()).unwrap_or_default(),
            key.revoked_at.map(|at| at.to_string()).unwrap_or_default(),
        ]);
    }
    table.render()
}
