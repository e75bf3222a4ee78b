CREATE TABLE {{verifications}} (
    "id" uuid NOT NULL,
    "kind" text COLLATE "C" NOT NULL,
    "target" text COLLATE "C" NOT NULL,
    "user_id" uuid,
    "secret" text COLLATE "C" NOT NULL,
    "algorithm" text COLLATE "C" NOT NULL,
    "digits" bigint NOT NULL,
    "period" bigint NOT NULL,
    "char_set" text COLLATE "C" NOT NULL,
    "new_email" text COLLATE "C",
    "expires_at" timestamptz,
    "created_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "verifications_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "verifications_kind" CHECK ("kind" IN ('onboarding', 'reset-password', 'change-email', '2fa', '2fa-verify')),
    CONSTRAINT "verifications_algorithm" CHECK ("algorithm" IN ('SHA-1', 'SHA-256', 'SHA-512')),
    CONSTRAINT "verifications_digits_at_least_four" CHECK ("digits" >= 4),
    CONSTRAINT "verifications_digits_at_most_32" CHECK ("digits" <= 32),
    CONSTRAINT "verifications_period_positive" CHECK ("period" >= 1)
);

CREATE UNIQUE INDEX {{bare:verifications_target}} ON {{verifications}} ("target", "kind");

CREATE INDEX {{bare:verifications_expires_at}} ON {{verifications}} ("expires_at" NULLS FIRST, "id");

CREATE INDEX {{bare:verifications_user}} ON {{verifications}} ("user_id" NULLS FIRST, "id");
