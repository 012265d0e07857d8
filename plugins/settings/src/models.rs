//! Where a language model is reached when no address is set (spec/40 §7.4).
//!
//! An address that is the model's own is not stored: what is stored is what somebody chose. Models of the proxy are reached
//! at the proxy, so its keys never go to another vendor.

/// Prefix of the model's name, and its vendor's address.
const VENDORS: [(&str, &str); 20] = [
    ("openai/", "https://api.openai.com"),
    ("anthropic/", "https://api.anthropic.com"),
    ("mistral/", "https://api.mistral.ai/v1"),
    ("deepseek/", "https://api.deepseek.com/beta"),
    ("groq/", "https://api.groq.com/openai/v1"),
    ("xai/", "https://api.x.ai/v1"),
    ("moonshot/", "https://api.moonshot.ai/v1"),
    ("together_ai/", "https://api.together.xyz/v1"),
    ("fireworks_ai/", "https://api.fireworks.ai/inference/v1"),
    ("perplexity/", "https://api.perplexity.ai"),
    ("cerebras/", "https://api.cerebras.ai/v1"),
    ("sambanova/", "https://api.sambanova.ai/v1"),
    ("nvidia_nim/", "https://integrate.api.nvidia.com/v1"),
    ("dashscope/", "https://dashscope.aliyuncs.com/compatible-mode/v1"),
    ("vercel_ai_gateway/", "https://ai-gateway.vercel.sh/v1"),
    ("clarifai/", "https://api.clarifai.com/v2/ext/openai/v1"),
    ("ollama/", "http://localhost:11434"),
    ("lemonade/", "http://localhost:8000/api/v1"),
    ("gpt-", "https://api.openai.com"),
    ("claude-", "https://api.anthropic.com"),
];

/// The address of a model without one of its own; none when there is no such address, or it is not known.
pub(crate) fn address(model: &str, proxy: &str) -> Option<String> {
    if ["openhands/", "litellm_proxy/"]
        .iter()
        .any(|prefix| model.starts_with(prefix))
    {
        return Some(proxy.to_owned());
    }
    if let Some(name) = model.strip_prefix("gemini/") {
        return Some(format!(
            "https://generativelanguage.googleapis.com/v1beta/models/{name}:generateContent"
        ));
    }
    let vendor = VENDORS.iter().find(|(prefix, _)| model.starts_with(prefix));
    vendor.map(|(_, address)| (*address).to_owned())
}

/// What of `chosen` is to be stored or shown: nothing when it is empty, or the model's own address.
pub(crate) fn chosen(chosen: Option<String>, model: Option<&str>, proxy: &str) -> Option<String> {
    let chosen = chosen.filter(|address| !address.trim().is_empty())?;
    let own = model.and_then(|model| address(model, proxy));
    let bare = |address: &str| address.trim().trim_end_matches('/').to_owned();
    (own.as_deref().map(bare) != Some(bare(&chosen))).then_some(chosen)
}
