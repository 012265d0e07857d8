//! Which language models are known, and where one is reached when no address is set (spec/40 §7.4).
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

/// Models that the proxy has, without the prefix `openhands/`.
const OF_THE_PROXY: [&str; 15] = [
    "claude-haiku-4-5-20251001",
    "claude-opus-4-20250514",
    "claude-opus-4-5-20251101",
    "claude-sonnet-4-20250514",
    "claude-sonnet-4-5-20250929",
    "devstral-medium-2507",
    "devstral-small-2505",
    "devstral-small-2507",
    "gemini-2.5-pro",
    "gpt-5-2025-08-07",
    "gpt-5-mini-2025-08-07",
    "kimi-k2-0711-preview",
    "o3",
    "o4-mini",
    "qwen3-coder-480b",
];

/// Models of vendors; anybody may write another one.
const OF_VENDORS: [&str; 24] = [
    "anthropic/claude-haiku-4-5-20251001",
    "anthropic/claude-opus-4-1-20250805",
    "anthropic/claude-opus-4-5-20251101",
    "anthropic/claude-sonnet-4-20250514",
    "anthropic/claude-sonnet-4-5-20250929",
    "deepseek/deepseek-chat",
    "deepseek/deepseek-reasoner",
    "gemini/gemini-2.5-flash",
    "gemini/gemini-2.5-pro",
    "groq/llama-3.3-70b-versatile",
    "mistral/codestral-latest",
    "mistral/devstral-medium-2507",
    "mistral/devstral-small-2507",
    "mistral/mistral-large-latest",
    "moonshot/kimi-k2-0711-preview",
    "openai/gpt-4.1",
    "openai/gpt-4.1-mini",
    "openai/gpt-4o",
    "openai/gpt-5",
    "openai/gpt-5-mini",
    "openai/o3",
    "openai/o4-mini",
    "xai/grok-4",
    "xai/grok-code-fast-1",
];

/// Names of the models that are built in.
pub(crate) fn known() -> impl Iterator<Item = String> {
    let proxy = OF_THE_PROXY.iter().map(|name| format!("openhands/{name}"));
    proxy.chain(OF_VENDORS.iter().map(|name| (*name).to_owned()))
}

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
