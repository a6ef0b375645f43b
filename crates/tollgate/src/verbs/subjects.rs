//! `tollgate subjects`: what holds for the keys of a subject and of those below it.

use std::collections::{BTreeMap, HashMap};

use clap::Subcommand;
use tollgate_proto::admin::v1::{
    DeleteSubjectRequest, GetSubjectRequest, GetSubjectResponse, ListSubjectsRequest,
    ListSubjectsResponse, SetSubjectRequest, Subject,
};

use crate::error::Error;
use crate::operator::{Operator, PAGE};
use crate::table::Table;
use crate::{json, output};

/// Arguments of `tollgate subjects`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Change what holds for a subject; what is not named stays. In force within a second
    Set(SetArguments),
    /// Show what is said of a subject, and what holds for it with what it inherits
    Get {
        /// Its path, such as acme/search
        path: String,
        #[command(flatten)]
        operator: Operator,
    },
    /// List the subjects of which something is said
    List {
        /// Only this one and those below it
        path: Option<String>,
        #[command(flatten)]
        operator: Operator,
    },
    /// Take back all that is said of a subject; its keys stay
    Delete {
        /// Its path, such as acme/search
        path: String,
        #[command(flatten)]
        operator: Operator,
    },
}

#[derive(Debug, clap::Args)]
struct SetArguments {
    /// Its path, such as acme/search
    path: String,
    /// Its tier; \"\" takes it back, and that of the subject above holds
    #[arg(long)]
    tier: Option<String>,
    /// A label to set; NAME= takes it back
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Refuse its keys and those of all below it
    #[arg(long, conflicts_with = "unblock")]
    block: bool,
    /// Refuse its keys no longer
    #[arg(long)]
    unblock: bool,
    #[command(flatten)]
    operator: Operator,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE, or NAME= to take the label back".to_owned()),
    }
}

/// Does what is asked for with subjects.
///
/// # Errors
/// Why the control plane did not do it.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    match arguments.action {
        Action::Set(arguments) => set(arguments).await,
        Action::Get { path, operator } => get(path, &operator).await,
        Action::List { path, operator } => list(path.unwrap_or_default(), &operator).await,
        Action::Delete { path, operator } => delete(path, &operator).await,
    }
}

async fn set(arguments: SetArguments) -> Result<(), Error> {
    let operator = arguments.operator.clone();
    let control = operator.connect().await?;
    let mut client = control.subjects();
    let call = client.set_subject(request(arguments));
    let set = control.remote.call(call).await?;
    output::show(
        operator.output(),
        || json::of(&set, "tollgate.admin.v1.SetSubjectResponse"),
        || table(set.subject.as_slice()),
    )
}

fn request(arguments: SetArguments) -> SetSubjectRequest {
    let (removed, set): (Vec<_>, Vec<_>) = arguments
        .labels
        .into_iter()
        .partition(|(_, value)| value.is_empty());
    SetSubjectRequest {
        path: arguments.path,
        tier: arguments.tier,
        set_labels: set.into_iter().collect(),
        remove_labels: removed.into_iter().map(|(name, _)| name).collect(),
        blocked: (arguments.block || arguments.unblock).then_some(arguments.block),
    }
}

async fn get(path: String, operator: &Operator) -> Result<(), Error> {
    let control = operator.connect().await?;
    let mut client = control.subjects();
    let call = client.get_subject(GetSubjectRequest { path });
    let found = control.remote.call(call).await?;
    output::show(
        operator.output(),
        || json::of(&found, "tollgate.admin.v1.GetSubjectResponse"),
        || effective(&found),
    )
}

async fn list(path: String, operator: &Operator) -> Result<(), Error> {
    let control = operator.connect().await?;
    let mut all = ListSubjectsResponse::default();
    loop {
        let request = ListSubjectsRequest {
            path: path.clone(),
            page_size: PAGE,
            page_token: std::mem::take(&mut all.next_page_token),
        };
        let mut client = control.subjects();
        let page = control.remote.call(client.list_subjects(request)).await?;
        all.subjects.extend(page.subjects);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    output::show(
        operator.output(),
        || json::of(&all, "tollgate.admin.v1.ListSubjectsResponse"),
        || {
            if all.subjects.is_empty() {
                return "nothing is said of any subject; say it with `tollgate subjects set PATH --tier TIER`\n"
                    .to_owned();
            }
            table(&all.subjects)
        },
    )
}

async fn delete(path: String, operator: &Operator) -> Result<(), Error> {
    let control = operator.connect().await?;
    let mut client = control.subjects();
    let call = client.delete_subject(DeleteSubjectRequest { path: path.clone() });
    let deleted = control.remote.call(call).await?;
    output::show(
        operator.output(),
        || json::of(&deleted, "tollgate.admin.v1.DeleteSubjectResponse"),
        || format!("nothing is said of {path} any more; what is above it holds\n"),
    )
}

fn effective(found: &GetSubjectResponse) -> String {
    let mut subjects = Vec::new();
    subjects.extend(found.effective.clone());
    let mut text = table(&subjects);
    if !found.blocked_by.is_empty() {
        text.push_str("blocked by what is said of ");
        text.push_str(&found.blocked_by);
        text.push('\n');
    }
    match &found.subject {
        None => text.push_str("all of it is inherited: nothing is said of the subject itself\n"),
        Some(own) => {
            text.push_str("of the subject itself:\n");
            text.push_str(&table(std::slice::from_ref(own)));
        }
    }
    text
}

fn table(subjects: &[Subject]) -> String {
    let mut table = Table::new(["SUBJECT", "TIER", "LABELS", "BLOCKED", "CHANGED"]);
    for subject in subjects {
        table.row([
            subject.path.clone(),
            subject.tier.clone(),
            labels(&subject.labels),
            if subject.blocked { "yes" } else { "" }.to_owned(),
            subject
                .updated_at
                .map(|at| at.to_string())
                .unwrap_or_default(),
        ]);
    }
    table.render()
}

fn labels(labels: &HashMap<String, String>) -> String {
    let sorted: BTreeMap<_, _> = labels.iter().collect();
    let pairs: Vec<_> = sorted
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(arguments: &[&str]) -> Result<SetSubjectRequest, clap::Error> {
        let line = Line::try_parse_from(["subjects", "set"].iter().chain(arguments))?;
        let Action::Set(arguments) = line.arguments.action else {
            panic!("not `set`");
        };
        Ok(request(arguments))
    }

    #[test]
    fn only_what_is_named_is_changed() {
        let asked = parse(&["acme"]).unwrap();
        assert_eq!((asked.tier, asked.blocked), (None, None));
        let asked = parse(&[
            "acme", "--tier", "", "--label", "a=b=c", "--label", "d=", "--block",
        ])
        .unwrap();
        assert_eq!(asked.tier.as_deref(), Some(""));
        assert_eq!(asked.set_labels["a"], "b=c");
        assert_eq!(asked.remove_labels, ["d"]);
        assert_eq!(asked.blocked, Some(true));
        assert_eq!(parse(&["acme", "--unblock"]).unwrap().blocked, Some(false));
        for wrong in [
            &["acme", "--block", "--unblock"][..],
            &["acme", "--label", "x"],
            &["acme", "--label", "=x"],
            &[],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_inherited_is_shown_with_its_reason() {
        let subject = Subject {
            path: "acme/search".into(),
            tier: "free".into(),
            labels: [("b".into(), "2".into()), ("a".into(), "1".into())].into(),
            blocked: true,
            updated_at: None,
        };
        let text = effective(&GetSubjectResponse {
            subject: None,
            effective: Some(subject),
            blocked_by: "acme".into(),
        });
        assert!(text.contains("a=1 b=2"), "{text}");
        assert!(text.contains("blocked by what is said of acme"), "{text}");
        assert!(text.contains("all of it is inherited"), "{text}");
    }
}
