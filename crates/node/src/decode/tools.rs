//! Tools that the model may call.

use tollgate_proto::completion::v1 as wire;
use tollgate_provider::Kind;
use tollgate_provider::chat::{Function, ProviderTool, Tool};

use super::{Faults, filled, is_name, schema};

/// Bound far beyond honest use, which keeps what follows proportional.
const MOST_TOOLS: usize = 1_024;

pub(super) fn tools(wire: Vec<wire::Tool>, faults: &mut Faults) -> Vec<Tool> {
    if wire.len() > MOST_TOOLS {
        faults.add("tools", "must hold at most 1024 tools");
        return Vec::new();
    }
    let decode = |(index, tool): (usize, wire::Tool)| {
        let path = format!("tools[{index}]");
        match tool.tool {
            Some(wire::tool::Tool::Function(function)) => {
                function_tool(function, &path, faults).map(Tool::Function)
            }
            Some(wire::tool::Tool::Provider(own)) => {
                provider_tool(own, &format!("{path}.provider"), faults).map(Tool::Provider)
            }
            None => {
                faults.add(path, "must be a function, or a tool of a provider");
                None
            }
        }
    };
    wire.into_iter().enumerate().filter_map(decode).collect()
}

fn function_tool(wire: wire::FunctionTool, path: &str, faults: &mut Faults) -> Option<Function> {
    if !is_name(&wire.name) {
        faults.add(
            format!("{path}.function.name"),
            "must be 1 to 64 letters, digits, dashes and underscores",
        );
        return None;
    }
    Some(Function {
        name: wire.name,
        description: (!wire.description.is_empty()).then_some(wire.description),
        parameters: schema(
            wire.parameters_json,
            &format!("{path}.function.parameters_json"),
            faults,
        ),
        strict: wire.strict,
    })
}

/// A tool that a provider runs itself. What its settings mean is for that provider to say.
fn provider_tool(
    wire: wire::ProviderTool,
    path: &str,
    faults: &mut Faults,
) -> Option<ProviderTool> {
    if wire.r#type.is_empty() {
        faults.add(format!("{path}.type"), "must be the tool's type there");
        return None;
    }
    if !wire.provider.is_empty() && Kind::parse(&wire.provider).is_none() {
        let problem = "must be a kind of provider, such as anthropic";
        faults.add(format!("{path}.provider"), problem);
        return None;
    }
    let field = format!("{path}.settings_json");
    let settings = schema(wire.settings_json, &field, faults);
    let settings = settings.map_or_else(
        || Ok(serde_json::Map::new()),
        |json| serde_json::from_str::<serde_json::Map<_, _>>(json.get()),
    );
    let Some(settings) = settings.ok().filter(|it| !it.contains_key("type")) else {
        faults.add(field, "must be the settings without the type, each once");
        return None;
    };
    Some(ProviderTool {
        kind: wire.r#type,
        settings,
        provider: filled(wire.provider),
    })
}
