//! What the operator's verbs share: where the control plane is, who asks, and how to answer.

use tollgate_proto::admin::v1::key_service_client::KeyServiceClient;
use tollgate_proto::admin::v1::limit_service_client::LimitServiceClient;
use tollgate_proto::admin::v1::node_service_client::NodeServiceClient;
use tollgate_proto::admin::v1::policy_service_client::PolicyServiceClient;
use tollgate_proto::admin::v1::subject_service_client::SubjectServiceClient;

use crate::error::Error;
use crate::output::Format;
use crate::remote::{CONTROL, Channel, LARGEST_MESSAGE, Remote};
use crate::secret::Secret;

/// Most entries asked for at a time.
pub(crate) const PAGE: u32 = 1000;

/// Flags of every operator's verb.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Operator {
    /// Address of the control plane; of several, separated by commas, the first that answers
    #[arg(
        long,
        env = "TOLLGATE_CONTROL",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8081"
    )]
    control: Vec<String>,
    /// Token that the control plane was started with
    #[arg(long, env = "TOLLGATE_TOKEN", hide_env_values = true)]
    token: Option<Secret>,
    /// Form of the output
    #[arg(long, short, env = "TOLLGATE_OUTPUT", value_name = "FORM")]
    output: Option<Format>,
}

impl Operator {
    /// Form of the output.
    pub(crate) fn output(&self) -> Format {
        self.output.unwrap_or_default()
    }

    /// Connects to the control plane.
    ///
    /// # Errors
    /// Why it cannot be reached, and what to set.
    pub(crate) async fn connect(&self) -> Result<Control, Error> {
        let remote = Remote::connect(&CONTROL, &self.control, self.token.as_ref()).await?;
        Ok(Control { remote })
    }
}

/// A connection to the control plane.
#[derive(Debug)]
pub(crate) struct Control {
    /// The connection, which waits for calls and explains their failures.
    pub(crate) remote: Remote,
}

impl Control {
    /// Connects to a control plane that wants no token.
    ///
    /// # Errors
    /// Why it cannot be reached.
    pub(crate) async fn at(url: &str) -> Result<Self, Error> {
        let remote = Remote::connect(&CONTROL, &[url.to_owned()], None).await?;
        Ok(Self { remote })
    }

    /// A client of the policy.
    pub(crate) fn policy(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.remote.channel())
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE)
    }

    /// A client of the keys.
    pub(crate) fn keys(&self) -> KeyServiceClient<Channel> {
        KeyServiceClient::new(self.remote.channel())
    }

    /// A client of the subjects.
    pub(crate) fn subjects(&self) -> SubjectServiceClient<Channel> {
        SubjectServiceClient::new(self.remote.channel())
    }

    /// A client of the nodes.
    pub(crate) fn nodes(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.remote.channel()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// A client of the limits.
    pub(crate) fn limits(&self) -> LimitServiceClient<Channel> {
        LimitServiceClient::new(self.remote.channel()).max_decoding_message_size(LARGEST_MESSAGE)
    }
}
