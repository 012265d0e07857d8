-- Columns of secrets hold the place of a sealed value in the vault, never the value.
CREATE TABLE settings (
    person text NOT NULL,
    organization text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    changed_ms bigint NOT NULL,
    language text,
    agent text,
    max_iterations bigint,
    security_analyzer text,
    confirmation_mode boolean,
    llm_model text,
    llm_api_key text,
    llm_base_url text,
    remote_runtime_resource_factor bigint,
    enable_default_condenser boolean,
    enable_sound_notifications boolean,
    enable_proactive_conversation_starters boolean,
    enable_solvability_analysis boolean,
    user_consents_to_analytics boolean,
    sandbox_base_container_image text,
    sandbox_runtime_container_image text,
    mcp_config text,
    search_api_key text,
    sandbox_api_key text,
    max_budget_per_task double precision,
    condenser_max_size bigint,
    git_user_name text,
    git_user_email text,
    v1_enabled boolean,
    PRIMARY KEY (person, organization)
);

CREATE TABLE custom_secret (
    person text NOT NULL,
    organization text NOT NULL,
    name text NOT NULL,
    value text NOT NULL,
    description text,
    PRIMARY KEY (person, organization, name)
);

CREATE TABLE provider_token (
    person text NOT NULL,
    organization text NOT NULL,
    provider text NOT NULL,
    token text,
    user_id text,
    host text,
    PRIMARY KEY (person, organization, provider)
);

-- Every place that was ever written to and is not yet known to be empty again.
CREATE TABLE place (
    name text PRIMARY KEY,
    organization text NOT NULL,
    made_ms bigint NOT NULL
);

CREATE INDEX place_made ON place (made_ms);
