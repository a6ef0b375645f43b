//! The command line: the list of verbs. What each takes is in its own file.

use clap::{Parser, Subcommand};

use crate::verbs::{
    apply, complete, control, dev, embed, explain, get, history, keys, limits, node, nodes, prices,
    providers, subjects, validate,
};

/// An LLM gateway: exact limits over many nodes, failover, and one API for every provider.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, propagate_version = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What `tollgate` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run everything in one process, to try it out (not for production)
    Dev(dev::Arguments),
    /// Run the control plane
    Control(control::Arguments),
    /// Run a data-plane node
    Node(node::Arguments),
    /// Make a policy the current one, if it has no faults
    Apply(apply::Arguments),
    /// Check a policy without talking to anybody
    Validate(validate::Arguments),
    /// Show what models cost, and where the figures come from
    Prices(prices::Arguments),
    /// Print the current policy, or an earlier one
    Get(get::Arguments),
    /// List the revisions of the policy
    History(history::Arguments),
    /// Create, list and revoke the keys of callers
    Keys(keys::Arguments),
    /// Say what holds for the keys of a subject: tier, labels, whether they are refused
    Subjects(subjects::Arguments),
    /// List the nodes and the policy revision each runs
    Nodes(nodes::Arguments),
    /// Show the live state of limits: limit, spent, held, free, by node
    Limits(limits::Arguments),
    /// Ask a provider of a policy whether it has what the policy says of it
    Providers(providers::Arguments),
    /// Send a prompt to a model and stream the answer to the terminal
    Complete(complete::Arguments),
    /// Tell what would become of a prompt, and why: route, deployments, limits; nothing is sent
    Explain(explain::Arguments),
    /// Turn texts into vectors
    Embed(embed::Arguments),
}
