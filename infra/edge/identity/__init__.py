"""Who may log in: passwords and sessions, in tables of their own and in no topic.

A log cannot forget, so nothing that proves an identity is ever posted: only the registration itself is, with its personal
fields sealed. The gateway speaks to `infra.edge.identity.service`.
"""
