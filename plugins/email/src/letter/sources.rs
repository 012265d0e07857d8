//! The templates.

/// One mail: what it says before and after its one button. `{{ … }}` are values; the button leads to the value `link`.
pub(super) struct Source {
    pub(super) name: &'static str,
    /// Values that must be there.
    pub(super) needs: &'static [&'static str],
    /// Values that may be there.
    pub(super) may: &'static [&'static str],
    pub(super) subject: &'static str,
    pub(super) before: &'static [&'static str],
    pub(super) label: &'static str,
    pub(super) after: &'static [&'static str],
}

pub(super) const SOURCES: [Source; 4] = [
    Source {
        name: "sign-in-link",
        needs: &["link"],
        may: &["expires_in"],
        subject: "Sign in to {{ product }}",
        before: &["Somebody, hopefully you, asked for a link to sign in to {{ product }}."],
        label: "Sign in",
        after: &[
            "The link works once{% if expires_in %}, within {{ expires_in }}{% endif %}. Do not pass it on: whoever has it can sign in as you.",
            "If you did not ask for it, you need not do anything.",
        ],
    },
    Source {
        name: "verify-email",
        needs: &["link"],
        may: &["expires_in"],
        subject: "Confirm your e-mail address for {{ product }}",
        before: &["Confirm that this e-mail address is yours, so that {{ product }} can use it."],
        label: "Confirm the address",
        after: &[
            "The link works once{% if expires_in %}, within {{ expires_in }}{% endif %}.",
            "If you do not know what this is about, somebody has mistyped an address and you need not do anything.",
        ],
    },
    Source {
        name: "email-changed",
        needs: &["link"],
        may: &[],
        subject: "Your e-mail address for {{ product }} was changed",
        before: &[
            "The e-mail address of your {{ product }} account was changed. What is sent to you from now on goes to the new one; this is the last mail to this one.",
        ],
        label: "See your account",
        after: &[
            "If it was you, you need not do anything.",
            "If not, somebody else is signed in as you: end their sessions in your account, or tell whoever runs {{ product }} at once.",
        ],
    },
    Source {
        name: "invitation",
        needs: &["inviter", "organization", "link"],
        may: &["role", "expires_in"],
        subject: "{{ inviter }} invites you to {{ organization }} on {{ product }}",
        before: &[
            "{{ inviter }} invites you to join {{ organization }} on {{ product }}{% if role %} as {{ role }}{% endif %}.",
        ],
        label: "See the invitation",
        after: &[
            "The invitation is for this e-mail address{% if expires_in %} and can be accepted within {{ expires_in }}{% endif %}.",
            "If you do not know {{ inviter }}, you need not do anything.",
        ],
    },
];
