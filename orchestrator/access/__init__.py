"""Who may call, and what for: callers and their tenants, API keys, tokens, TLS, the audit log."""
