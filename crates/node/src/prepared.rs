//! A request as it is understood, before any limit is asked and anything is sent: what answering, counting and
//! explaining have in common.

use std::sync::Arc;

use tollgate_policy::condition::{Budget, Features};
use tollgate_policy::price::Bounds;
use tollgate_policy::table::Model;

use crate::asked::Asked;
use crate::counting::Counted;
use crate::error::Error;
use crate::keys::Known;
use crate::plan::Plan;
use crate::revision::Revision;

/// A request as it is understood.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The policy that it is decided by.
    pub(crate) revision: Arc<Revision>,
    /// Who asks.
    pub(crate) key: Arc<Known>,
    /// The model that is asked.
    pub(crate) model: Arc<Model>,
    /// What is asked for. Its answer has a ceiling.
    pub(crate) asked: Asked,
    /// How its tokens were counted.
    pub(crate) counted: Counted,
    /// The most that it may use.
    pub(crate) bounds: Bounds,
}

impl Prepared {
    /// Finds the model, caps the answer, and counts what goes in.
    ///
    /// # Errors
    /// There is no such model, or it allows no such answer.
    pub(crate) fn new(
        revision: Arc<Revision>,
        key: Arc<Known>,
        mut asked: Asked,
    ) -> Result<Self, Error> {
        let model = find_model(&revision, asked.model())?;
        asked.cap_output(&model)?;
        let counted = asked.count(revision.counting(&model));
        let bounds = asked.bounds(counted.held());
        Ok(Self {
            revision,
            key,
            model,
            asked,
            counted,
            bounds,
        })
    }

    /// Looks whether limits on money can tell what is asked for: a cost that nobody knows must not pass for that of
    /// texts. Everything else has a price wherever money is limited, as policies without are refused.
    ///
    /// # Errors
    /// There are pictures to be embedded, sound, or searches to be made, and a deployment whose price for them is not
    /// known.
    pub(crate) fn check_price(&self, plan: &Plan) -> Result<(), Error> {
        if !plan.bounds_money() {
            return Ok(());
        }
        let mut extras = self.asked.extras().into_iter();
        let unpriced = extras.find_map(|extra| {
            let mut reached = self.revision.table.deployments_of(&self.model);
            let at = reached.find(|at| extra.reaches(at) && !extra.is_priced(at))?;
            let problem = format!(
                "is {}, of which nobody says what it costs at deployment `{}`, and a limit counts money; leave it out, or \
                 have the operator set `price.{}` there",
                extra.what(),
                at.name,
                extra.part().as_str()
            );
            Some(Error::field(extra.field, problem))
        });
        unpriced.map_or(Ok(()), Err)
    }

    /// What conditions of routes can tell apart about it, and how far the limits are used that they ask for.
    pub(crate) fn features<'a>(&'a self, budgets: &'a [Budget]) -> Features<'a> {
        Features {
            complexity: if self.model.weighs_complexity {
                self.asked.complexity()
            } else {
                0.0
            },
            budgets,
            ..self.asked.features(&self.bounds)
        }
    }
}

/// The model of that name, or alias.
///
/// # Errors
/// There is none.
fn find_model(revision: &Revision, name: &str) -> Result<Arc<Model>, Error> {
    if name.is_empty() {
        return Err(Error::field("model", "must name a model"));
    }
    match revision.table.model(name) {
        Some(model) => Ok(Arc::clone(model)),
        None => Err(Error::ModelNotFound {
            model: name.chars().take(128).collect(),
        }),
    }
}
