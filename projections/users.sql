CREATE TABLE users (
    user_id      text PRIMARY KEY,
    status       text NOT NULL CHECK (status IN ('pending', 'refused', 'active')),
    reason       text NOT NULL,
    channels     text NOT NULL,
    requested_at timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL
);

CREATE OR REPLACE VIEW analytics.users AS
SELECT user_id, status, reason, channels, requested_at, changed_at FROM users;
COMMENT ON VIEW analytics.users IS 'One row a user, by id only: what names a person is nowhere in the read models. Who is erased is gone.';
COMMENT ON COLUMN analytics.users.user_id IS 'The user.';
COMMENT ON COLUMN analytics.users.reason IS 'Why the registration was refused; empty otherwise.';
COMMENT ON COLUMN analytics.users.requested_at IS 'When they asked to be registered.';
COMMENT ON COLUMN analytics.users.changed_at IS 'When it last changed.';
COMMENT ON COLUMN analytics.users.status IS 'pending (the e-mail address is not theirs yet), refused (it is taken) or active';
COMMENT ON COLUMN analytics.users.channels IS 'Which ways they want to be told, the preferred one first.';
