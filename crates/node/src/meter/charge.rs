//! What a request is charged.

use std::sync::Arc;

use tollgate_policy::price::{Part, Served, Service, Tokens};
use tollgate_policy::table::{Deployment, Use};
use tollgate_provider::chat::{Tier, Usage};

use super::{Meter, Sent, Summary};
use crate::asked::{Extra, Operation, Wants};
use crate::counting::Counted;
use crate::permit::{Charge, Needs};

impl Meter {
    /// The prompt was counted.
    pub(crate) fn counted(&mut self, counted: Counted) {
        self.counted = Some(counted);
    }

    pub(super) fn charge(&self) -> Charge {
        self.with_due(self.own_charge())
    }

    fn own_charge(&self) -> Charge {
        if let Some(usage) = self.own_usage() {
            return Charge::Used(self.used(self.answering.as_ref(), &usage));
        }
        let at_work = self.is_at_work();
        match self.sent {
            Sent::Perhaps => Charge::Unknown(self.at_most(self.last())),
            Sent::Nothing | Sent::Refused if at_work => Charge::Unknown(self.at_most(self.last())),
            Sent::Nothing => Charge::Nothing,
            // A stream without usage has its own by estimate.
            Sent::Refused | Sent::Streaming => Charge::Used(Use::default()),
        }
    }

    /// Billionths of a US dollar that this usage of a deployment costs. None where its price is not known, or says nothing
    /// of what costs more than text.
    pub(super) fn cost(&self, deployment: &Deployment, usage: &Usage) -> Option<u64> {
        let price = deployment.price.as_ref()?;
        let mut extras = self.extras.iter().filter(|it| it.reaches(deployment));
        if !extras.clone().all(|it| is_known(it, deployment, usage)) {
            return None;
        }
        // Pictures in a prompt cost what text does, and those that become vectors do not.
        let pictures = match self.operation {
            Operation::Embeddings => usage.input_image,
            Operation::Completion | Operation::Stream => 0,
        };
        let used = [
            (pictures, Part::InputImage),
            (usage.input_audio, Part::InputAudio),
            (usage.output_audio, Part::OutputAudio),
            (usage.output_image, Part::OutputImage),
            (usage.searches, Part::Search),
        ];
        if used
            .iter()
            .any(|(used, part)| *used > 0 && !price.knows(*part))
        {
            return None;
        }
        let mut tokens = tokens(usage);
        if extras.any(|it| matches!(it.wants, Wants::Search { .. })) {
            tokens.searches = tokens.searches.max(1);
        }
        Some(price.cost(self.served(usage), &tokens))
    }

    /// What this usage of a deployment is charged.
    pub(super) fn used(&self, at: Option<&Arc<Deployment>>, usage: &Usage) -> Use {
        let cost = at.and_then(|at| self.cost(at, usage));
        Use {
            requests: 1,
            input: usage.input_total,
            cached_input: usage.cache_read,
            output: usage.output_total,
            // A cost that is not known is never taken for none.
            cost: cost.unwrap_or_else(|| self.needs().worst.cost),
        }
    }

    /// What the request may use, or what is left of it to be tried.
    pub(crate) fn needs(&self) -> Needs {
        self.permit
            .as_ref()
            .map_or_else(Needs::default, |permit| *permit.needs())
    }

    /// What the provider says it did counts before what it was asked for.
    fn served(&self, usage: &Usage) -> Served {
        let asked = self.bounds.served;
        Served {
            service: usage.tier.map_or(asked.service, service),
            ..asked
        }
    }
}

impl Summary {
    /// Revision of the catalog that the price comes from. Empty where it does not, or is not known.
    pub(crate) fn price_catalog(&self) -> &str {
        let price = self.deployment.price.as_ref();
        price
            .and_then(|it| it.catalog.as_deref())
            .unwrap_or_default()
    }
}

/// Whether the price of a deployment says what comes of something that is paid for apart.
fn is_known(extra: &Extra, deployment: &Deployment, usage: &Usage) -> bool {
    match extra.wants {
        // Tokens of sound that are not told from those of text have a price where it is the same.
        Wants::Sound if usage.input_audio == 0 => {
            let price = deployment.price.as_ref();
            price.is_some_and(|it| it.is_same(Part::InputAudio, Part::Input))
        }
        Wants::Search { .. } | Wants::Region { .. } => extra.is_priced(deployment),
        // What came of it is told.
        Wants::Embedding | Wants::Sound | Wants::Speech | Wants::SearchTool => true,
    }
}

fn service(tier: Tier) -> Service {
    match tier {
        Tier::Standard => Service::Standard,
        Tier::Flex => Service::Flex,
        Tier::Priority => Service::Priority,
        Tier::Fast => Service::Fast,
        Tier::Batch => Service::Batch,
    }
}

/// The tokens that are paid for.
fn tokens(usage: &Usage) -> Tokens {
    match usage.billed {
        // What a provider says it charges for has its own discounts in it.
        Some(billed) => Tokens {
            input: billed.input,
            output: billed.output,
            ..Tokens::default()
        },
        None => Tokens {
            input: usage.input_total,
            cached_input: usage.cache_read,
            cache_write: usage.cache_write,
            cache_write_1h: usage.cache_write_1h,
            input_audio: usage.input_audio,
            input_image: usage.input_image,
            output: usage.output_total,
            reasoning: usage.reasoning,
            output_audio: usage.output_audio,
            output_image: usage.output_image,
            searches: usage.searches,
        },
    }
}
