//! Each feature of a request, as a test of its own.

use super::check;

/// Every feature, in the order of the table.
pub(super) const FEATURES: [&str; 57] = [
    "plain",
    "text",
    "developer_role",
    "speaker_names",
    "streaming",
    "temperature_and_top_p",
    "top_k",
    "stop_texts",
    "seed",
    "penalties",
    "logit_bias",
    "log_probabilities",
    "top_log_probabilities",
    "several_choices",
    "end_user",
    "service_tier",
    "labels",
    "provider_options",
    "image_data",
    "image_address",
    "image_stored",
    "image_detail",
    "audio_input",
    "audio_output",
    "audio_returned",
    "document_data",
    "document_address",
    "document_stored",
    "document_text",
    "document_to_be_cited",
    "tools",
    "strict_tools",
    "provider_tool",
    "provider_tools_by_kind",
    "server_tool_returned",
    "tool_choice_required",
    "tool_choice_none",
    "tool_choice_by_name",
    "parallel_tool_calls_off",
    "parallel_tool_results",
    "failed_tool_result",
    "image_in_tool_result",
    "document_in_tool_result",
    "text_format",
    "tool_choice_auto",
    "json_object",
    "json_schema",
    "json_schema_description",
    "reasoning_effort",
    "reasoning_budget",
    "reasoning_shown",
    "reasoning_returned",
    "hidden_reasoning_returned",
    "refusal_returned",
    "sources_returned",
    "cache_hints",
    "prompt_cache",
];

#[test]
fn plain() {
    check("plain");
}

#[test]
fn text() {
    check("text");
}

#[test]
fn developer_role() {
    check("developer_role");
}

#[test]
fn speaker_names() {
    check("speaker_names");
}

#[test]
fn streaming() {
    check("streaming");
}

#[test]
fn temperature_and_top_p() {
    check("temperature_and_top_p");
}

#[test]
fn top_k() {
    check("top_k");
}

#[test]
fn stop_texts() {
    check("stop_texts");
}

#[test]
fn seed() {
    check("seed");
}

#[test]
fn penalties() {
    check("penalties");
}

#[test]
fn logit_bias() {
    check("logit_bias");
}

#[test]
fn log_probabilities() {
    check("log_probabilities");
}

#[test]
fn top_log_probabilities() {
    check("top_log_probabilities");
}

#[test]
fn several_choices() {
    check("several_choices");
}

#[test]
fn end_user() {
    check("end_user");
}

#[test]
fn service_tier() {
    check("service_tier");
}

#[test]
fn labels() {
    check("labels");
}

#[test]
fn provider_options() {
    check("provider_options");
}

#[test]
fn image_data() {
    check("image_data");
}

#[test]
fn image_address() {
    check("image_address");
}

#[test]
fn image_detail() {
    check("image_detail");
}

#[test]
fn audio_input() {
    check("audio_input");
}

#[test]
fn document_data() {
    check("document_data");
}

#[test]
fn document_address() {
    check("document_address");
}

#[test]
fn document_text() {
    check("document_text");
}

#[test]
fn tools() {
    check("tools");
}

#[test]
fn strict_tools() {
    check("strict_tools");
}

#[test]
fn tool_choice_required() {
    check("tool_choice_required");
}

#[test]
fn tool_choice_none() {
    check("tool_choice_none");
}

#[test]
fn tool_choice_by_name() {
    check("tool_choice_by_name");
}

#[test]
fn parallel_tool_calls_off() {
    check("parallel_tool_calls_off");
}

#[test]
fn parallel_tool_results() {
    check("parallel_tool_results");
}

#[test]
fn failed_tool_result() {
    check("failed_tool_result");
}

#[test]
fn image_in_tool_result() {
    check("image_in_tool_result");
}

#[test]
fn document_in_tool_result() {
    check("document_in_tool_result");
}

#[test]
fn text_format() {
    check("text_format");
}

#[test]
fn tool_choice_auto() {
    check("tool_choice_auto");
}

#[test]
fn json_object() {
    check("json_object");
}

#[test]
fn json_schema() {
    check("json_schema");
}

#[test]
fn json_schema_description() {
    check("json_schema_description");
}

#[test]
fn reasoning_effort() {
    check("reasoning_effort");
}

#[test]
fn reasoning_budget() {
    check("reasoning_budget");
}

#[test]
fn reasoning_shown() {
    check("reasoning_shown");
}

#[test]
fn reasoning_returned() {
    check("reasoning_returned");
}

#[test]
fn hidden_reasoning_returned() {
    check("hidden_reasoning_returned");
}

#[test]
fn refusal_returned() {
    check("refusal_returned");
}

#[test]
fn document_to_be_cited() {
    check("document_to_be_cited");
}

#[test]
fn sources_returned() {
    check("sources_returned");
}

#[test]
fn cache_hints() {
    check("cache_hints");
}

#[test]
fn audio_output() {
    check("audio_output");
}

#[test]
fn audio_returned() {
    check("audio_returned");
}

#[test]
fn document_stored() {
    check("document_stored");
}

#[test]
fn image_stored() {
    check("image_stored");
}

#[test]
fn provider_tool() {
    check("provider_tool");
}

#[test]
fn provider_tools_by_kind() {
    check("provider_tools_by_kind");
}

#[test]
fn prompt_cache() {
    check("prompt_cache");
}

#[test]
fn server_tool_returned() {
    check("server_tool_returned");
}
