//! What a provider has no words for.

use crate::Error;
use crate::chat::{Document, Function, Message, Modality, Part, Request, Role, Tool, Warning};
use crate::codec::{Kind, Target};

/// Why sound of the model's cannot be sent back.
pub(crate) const NO_SOUND_BACK: &str =
    "it does not know this sound; send its transcript with it, or as text";

/// Where the turns of a conversation are, instructions apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    /// The first of them; where there is none, the end.
    first: usize,
    /// The last of them, if it is an answer.
    answer: Option<usize>,
}

impl Turns {
    pub(crate) fn of(messages: &[Message]) -> Self {
        let is_turn = |it: &Message| !instructs(it.role);
        let last = messages.iter().rposition(is_turn);
        Self {
            first: messages.iter().position(is_turn).unwrap_or(messages.len()),
            answer: last.filter(|last| messages[*last].role == Role::Assistant),
        }
    }
}

fn instructs(role: Role) -> bool {
    matches!(role, Role::System | Role::Developer)
}

/// Refuses what cannot be sent, or notes that it was left out, as the target says.
#[derive(Debug)]
pub(crate) struct Unsupported {
    kind: Kind,
    drop: bool,
    warnings: Vec<Warning>,
}

impl Unsupported {
    pub(crate) fn new(kind: Kind, target: &Target<'_>) -> Self {
        Self {
            kind,
            drop: target.drop_unsupported,
            warnings: Vec::new(),
        }
    }

    /// The kind of provider that it is about.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// To be called for a field that the request has and the provider knows nothing of. After `Ok`
    /// the field must be left out.
    ///
    /// # Errors
    /// The field may not be left out.
    pub(crate) fn field(
        &mut self,
        field: impl Into<String>,
        problem: &'static str,
    ) -> Result<(), Error> {
        if !self.drop {
            return Err(self.refuse(field, problem));
        }
        self.note(field, problem);
        Ok(())
    }

    /// Tells of a field that was left out although it may not be refused, as nothing better could be sent.
    pub(crate) fn note(&mut self, field: impl Into<String>, problem: &'static str) {
        let field = field.into();
        self.warnings.push(Warning { field, problem });
    }

    /// For those who do not tell speakers apart by name. With a tool's result it is the tool's, which is known already.
    ///
    /// # Errors
    /// One may not be left out.
    pub(crate) fn speakers(
        &mut self,
        messages: &[Message],
        problem: &'static str,
    ) -> Result<(), Error> {
        let speaks = |it: &Message| it.name.is_some() && it.role != Role::Tool;
        for (index, _) in messages.iter().enumerate().filter(|(_, it)| speaks(it)) {
            self.field(format!("messages[{index}].name"), problem)?;
        }
        Ok(())
    }

    /// As whose the message is sent that is at this place of a conversation and of this role, where instructions stand
    /// before the conversation and nowhere else. Those that came later move there, or, where the last answer would have
    /// nothing behind it to be answered, become the user's; either is told.
    pub(crate) fn role_of(&mut self, turns: Turns, index: usize, role: Role) -> Role {
        if !instructs(role) || index < turns.first {
            return role;
        }
        let (role, problem) = if turns.answer.is_some_and(|answer| index > answer) {
            let problem =
                "it knows instructions before the conversation only; these were sent as the user's";
            (Role::User, problem)
        } else {
            let problem =
                "it knows instructions before the conversation only; these were moved there";
            (role, problem)
        };
        self.note(format!("messages[{index}].role"), problem);
        role
    }

    /// Calls `field` for those that are there.
    ///
    /// # Errors
    /// One of them may not be left out.
    pub(crate) fn fields<const N: usize>(
        &mut self,
        fields: [(bool, &'static str, &'static str); N],
    ) -> Result<(), Error> {
        for (present, field, problem) in fields {
            if present {
                self.field(field, problem)?;
            }
        }
        Ok(())
    }

    /// For those who tell no sources of what they say: documents of which they are asked for.
    ///
    /// # Errors
    /// That may not be left out.
    pub(crate) fn cited_documents(
        &mut self,
        messages: &[Message],
        problem: &'static str,
    ) -> Result<(), Error> {
        let cited =
            |part: &Part| matches!(part, Part::Document(Document { citations, .. }) if *citations);
        for (index, message) in messages.iter().enumerate() {
            for (at, part) in message.parts.iter().enumerate() {
                let (parts, place) = if let Part::ToolResult { parts, .. } = part {
                    (parts.as_slice(), "tool_result.parts")
                } else {
                    (std::slice::from_ref(part), "document.citations")
                };
                if parts.iter().any(cited) {
                    self.field(format!("messages[{index}].parts[{at}].{place}"), problem)?;
                }
            }
        }
        Ok(())
    }

    /// For those who answer in text only: sound that is asked for.
    ///
    /// # Errors
    /// It may not be left out.
    pub(crate) fn sound(&mut self, request: &Request) -> Result<(), Error> {
        const PROBLEM: &str = "it answers in text only";
        let wanted = request.modalities.contains(&Modality::Audio);
        self.fields([
            (wanted, "output_modalities", PROBLEM),
            (request.audio.is_some(), "audio_output", PROBLEM),
        ])
    }

    /// For those who run no tools: the functions of the caller's.
    ///
    /// # Errors
    /// There is a tool that they would have to run, which may not be left out.
    pub(crate) fn functions<'a>(
        &mut self,
        request: &'a Request,
    ) -> Result<Vec<&'a Function>, Error> {
        let mut functions = Vec::with_capacity(request.tools.len());
        for (index, tool) in request.tools_for(self.kind) {
            match tool {
                Tool::Function(function) => functions.push(function),
                Tool::Provider(_) => {
                    let field = format!("tools[{index}]");
                    self.field(field, "it runs no tools itself; leave it out")?;
                }
            }
        }
        Ok(functions)
    }

    /// A setting that ends at 1 there: none where it is left out.
    ///
    /// # Errors
    /// It is above, and may not be left out.
    pub(crate) fn up_to_one(
        &mut self,
        field: &'static str,
        value: Option<f64>,
    ) -> Result<Option<f64>, Error> {
        if value.is_some_and(|it| it > 1.0) {
            self.field(field, "it takes 0 to 1")?;
            return Ok(None);
        }
        Ok(value)
    }

    /// The error for what can not even be left out: nothing sensible would remain.
    pub(crate) fn refuse(&self, field: impl Into<String>, problem: &'static str) -> Error {
        Error::Unsupported {
            field: field.into(),
            kind: self.kind.as_str(),
            problem,
        }
    }

    /// What was left out.
    pub(crate) fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }
}
